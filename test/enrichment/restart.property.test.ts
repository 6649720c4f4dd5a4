// A process that dies at any moment, and facts in any order, end in the answers of a calm day.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { BuildFact } from "../../src/enrichment/enrichment.ts";
import type { Event } from "../../src/event/event.ts";
import { KeptState } from "../state/kept.ts";
import { activity, answer, inventory, sureAnswers, take, told } from "./day.ts";
import { at, jobEvent, preparedEvent } from "./fixture.ts";
import { Task } from "./task.ts";

interface Step {
  readonly event: Event;
  /** Seconds since the step before. */
  readonly after: number;
  /** Whether the batch ends here. */
  readonly commits: boolean;
  /** Whether the table of builds is saved here. */
  readonly savesBuilds: boolean;
  /** Whether the process dies here, and its batch comes again. */
  readonly dies: "no" | "killed" | "rolled back";
}

const order = fc.shuffledSubarray([...told, ...activity], {
  minLength: told.length + activity.length,
});

function steps(after: readonly number[]): fc.Arbitrary<readonly Step[]> {
  const how = fc.record({
    after: fc.constantFrom(...after),
    commits: fc.boolean(),
    savesBuilds: fc.boolean(),
    dies: fc.constantFrom<Step["dies"][]>("no", "no", "killed", "rolled back"),
  });
  const hows = fc.array(how, {
    minLength: told.length + activity.length,
    maxLength: told.length + activity.length,
  });
  return fc.tuple(order, hows).map(([events, all]) => {
    return events.flatMap((event, index) => {
      const one = all[index];
      return one === undefined ? [] : [{ event, ...one }];
    });
  });
}

interface Played {
  /** Each event as it last went on. */
  readonly finals: ReadonlyMap<string, Event>;
  readonly sent: number;
  readonly deaths: number;
}

/** A fact on the topic of builds. */
interface Told {
  readonly fact: BuildFact;
  readonly seconds: number;
}

/**
 * The detect task of a process: its State beside that of the table, which learns from the task at
 * once and from the topic for good. Each is saved on its own.
 */
class Process {
  readonly #events = new KeptState();
  readonly #builds = new KeptState();
  /** What committed batches told; the first `#applied` of them are in what the table saved. */
  readonly #topic: Told[] = [];
  #applied = 0;
  #batch: Told[] = [];
  #task = this.#made();

  take(event: Event, seconds: number): readonly Event[] {
    this.#batch.push(...this.#task.factsOf(event).map((fact) => ({ fact, seconds })));
    return take(this.#task, event, seconds);
  }

  due(seconds: number): readonly Event[] {
    return this.#task.due(at(seconds));
  }

  commit(): void {
    void this.#events.state.commit();
    this.#topic.push(...this.#batch);
    this.#batch = [];
  }

  saveBuilds(): void {
    void this.#builds.state.commit();
    this.#applied = this.#topic.length;
  }

  /** The batch failed: what the table learned from it stays. */
  rollBack(seconds: number): readonly Event[] {
    this.#events.state.rollback();
    this.#batch = [];
    this.#task = this.#made(this.#task);
    return this.#task.joiner.recheck(at(seconds));
  }

  /** The table catches up with its topic before the first event is joined. */
  restart(seconds: number): readonly Event[] {
    this.#events.reopen();
    this.#builds.reopen();
    this.#batch = [];
    this.#task = this.#made();
    const { builds, joiner } = this.#task;
    for (const one of this.#topic.slice(this.#applied)) builds.learn(one.fact, at(one.seconds));
    return joiner.recheck(at(seconds));
  }

  #made(before?: Task): Task {
    const { state } = this.#events;
    if (before !== undefined) return new Task({ state, inventory, builds: before.builds });
    const { builds } = new Task({ state: this.#builds.state, inventory });
    return new Task({ state, inventory, builds });
  }
}

/**
 * What the table of builds may hold of a batch that is lost: nothing, as when it saves between two
 * batches and each death is the process's; or all, as when it saves at any time or goes on after a
 * batch that failed.
 */
type Deaths = "none" | "table behind" | "table ahead";

/**
 * As the stage does it; an output counts once its batch is committed. A restart takes no time: what
 * is known when an event's wait ends is part of an answer that stays unsure.
 */
function play(all: readonly Step[], mayDie: Deaths): Played {
  const process = new Process();
  const finals = new Map<string, Event>();
  let batch: { readonly event: Event; readonly seconds: number }[] = [];
  let out: Event[] = [];
  let sent = 0;
  let deaths = 0;
  let seconds = 1_000;

  const commit = (): void => {
    process.commit();
    for (const one of out) finals.set(one.id, one);
    sent += out.length;
    batch = [];
    out = [];
  };
  const die = (how: "killed" | "rolled back"): void => {
    deaths += 1;
    const goesOn = how === "rolled back" && mayDie === "table ahead";
    out = [...(goesOn ? process.rollBack(seconds) : process.restart(seconds))];
    for (const one of batch) out.push(...process.take(one.event, one.seconds));
  };
  // From the start both feeds are known to be connected.
  out = [
    ...process.take(preparedEvent({ runId: 900, job: "other", runner: "r-900" }), seconds),
    ...process.take(jobEvent({ runId: 900, name: "other", runner: "r-900", id: 9 }), seconds),
  ];
  commit();
  for (const { event, after, commits, savesBuilds, dies } of all) {
    seconds += after;
    batch.push({ event, seconds });
    out.push(...process.take(event, seconds));
    if (savesBuilds && mayDie === "table ahead") process.saveBuilds();
    if (mayDie !== "none" && dies !== "no") die(dies);
    if (!commits) continue;
    commit();
    if (savesBuilds) process.saveBuilds();
  }
  out.push(...process.due(seconds + 60));
  commit();
  return { finals, sent, deaths };
}

describe("a restart", () => {
  it("at any step, in any order of things, changes no event's final answer", () => {
    let [deaths, again] = [0, 0];
    fc.assert(
      fc.property(steps([0, 1, 20, 600]), (all) => {
        const calm = play(all, "none");
        const killed = play(all, "table behind");
        deaths += killed.deaths;
        again += calm.sent - calm.finals.size;
        expect([...killed.finals.keys()].sort()).toEqual([...calm.finals.keys()].sort());
        for (const [id, one] of calm.finals) {
          const other = killed.finals.get(id);
          expect([id, other?.build, other?.buildJoin]).toEqual([id, one.build, one.buildJoin]);
        }
      }),
      { seed: 31, numRuns: 150 },
    );
    expect(deaths).toBeGreaterThan(1_000);
    expect(again).toBeGreaterThan(1_000);
  });

  it("with a table that knows more than the batch it gives again, changes no sure answer", () => {
    let sure = 0;
    fc.assert(
      fc.property(steps([0, 1, 20, 600]), (all) => {
        const calm = play(all, "none");
        const killed = play(all, "table ahead");
        expect([...killed.finals.keys()].sort()).toEqual([...calm.finals.keys()].sort());
        for (const [id, one] of calm.finals) {
          if (one.buildJoin?.confidence !== "exact") continue;
          sure += 1;
          expect([id, answer(killed.finals.get(id))]).toEqual([id, answer(one)]);
        }
      }),
      { seed: 33, numRuns: 100 },
    );
    expect(sure).toBeGreaterThan(1_000);
  });
});

describe("facts and events in any order, hours apart", () => {
  it("end in the answer of one who knew all facts first", () => {
    const wanted = sureAnswers();
    expect(wanted.size).toBeGreaterThan(told.length + 6);
    fc.assert(
      fc.property(steps([0, 20, 600, 1_500]), (all) => {
        const { finals } = play(all, "table ahead");
        for (const [id, sure] of wanted) {
          expect([id, answer(finals.get(id))]).toEqual([id, sure]);
        }
      }),
      { seed: 32, numRuns: 150 },
    );
  });
});
