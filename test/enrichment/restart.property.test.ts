// A process that dies at any moment, and facts in any order, end in the answers of a calm day.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Event } from "../../src/event/event.ts";
import { openMemoryState } from "../../src/state/memory.ts";
import { activity, answer, inventory, sureAnswers, take, told } from "./day.ts";
import { at, jobEvent, preparedEvent } from "./fixture.ts";
import { Task } from "./task.ts";

interface Step {
  readonly event: Event;
  /** Seconds since the step before. */
  readonly after: number;
  /** Whether the batch ends here. */
  readonly commits: boolean;
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

/**
 * As the stage does it; an output counts once its batch is committed. A restart takes no time: what
 * is known when an event's wait ends is part of an answer that stays unsure.
 */
function play(all: readonly Step[], mayDie: boolean): Played {
  const store = openMemoryState();
  let state = store.open("detect");
  let builds = new Task({ state, inventory });
  const finals = new Map<string, Event>();
  let batch: { readonly event: Event; readonly seconds: number }[] = [];
  let out: Event[] = [];
  let sent = 0;
  let deaths = 0;
  let seconds = 1_000;

  const commit = (): void => {
    state.commit();
    for (const one of out) finals.set(one.id, one);
    sent += out.length;
    batch = [];
    out = [];
  };
  const die = (how: "killed" | "rolled back"): void => {
    deaths += 1;
    if (how === "killed") state = store.open("detect");
    else state.rollback();
    builds = new Task({ state, inventory });
    out = batch.flatMap((one) => take(builds, one.event, one.seconds));
  };
  // From the start both feeds are known to be connected.
  out = [
    ...take(builds, preparedEvent({ runId: 900, job: "other", runner: "r-900" }), seconds),
    ...take(builds, jobEvent({ runId: 900, name: "other", runner: "r-900", id: 9 }), seconds),
  ];
  commit();
  for (const { event, after, commits, dies } of all) {
    seconds += after;
    batch.push({ event, seconds });
    out.push(...take(builds, event, seconds));
    if (mayDie && dies !== "no") die(dies);
    if (commits) commit();
  }
  out.push(...builds.due(at(seconds + 60)));
  commit();
  return { finals, sent, deaths };
}

describe("a restart", () => {
  it("at any step, in any order of things, changes no event's final answer", () => {
    let [deaths, again] = [0, 0];
    fc.assert(
      fc.property(steps([0, 1, 20, 600]), (all) => {
        const calm = play(all, false);
        const killed = play(all, true);
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
});

describe("facts and events in any order, hours apart", () => {
  it("end in the answer of one who knew all facts first", () => {
    const wanted = sureAnswers();
    expect(wanted.size).toBeGreaterThan(told.length + 6);
    fc.assert(
      fc.property(steps([0, 20, 600, 1_500]), (all) => {
        const { finals } = play(all, true);
        for (const [id, sure] of wanted) {
          expect([id, answer(finals.get(id))]).toEqual([id, sure]);
        }
      }),
      { seed: 32, numRuns: 150 },
    );
  });
});
