// Two tasks over one table: whatever of it fails, is lost or comes late, events end in the answers
// of one who knew all facts first.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EpochMs } from "../../src/clock.ts";
import {
  type BuildFact,
  type BuildTable,
  type Changes,
  createBuildTable,
  createJoiner,
  factKey,
  type Joiner,
} from "../../src/enrichment/enrichment.ts";
import type { Event } from "../../src/event/event.ts";
import { emptyState } from "../../src/state/memory.ts";
import type { State } from "../../src/state/state.ts";
import { KeptState } from "../state/kept.ts";
import { activity, answer, inventory, sureAnswers, told } from "./day.ts";
import { at, falco, jobEvent, preparedEvent } from "./fixture.ts";

interface Step {
  readonly event: Event;
  readonly partition: 0 | 1;
  /** Seconds since the step before. */
  readonly after: number;
  /** Whether this task's batch ends here, and whether the other task hears of changes now. */
  readonly commits: boolean;
  readonly tells: boolean;
  /** Whether the table saves itself here. */
  readonly saves: boolean;
  readonly fails: "no" | "batch" | "process" | "process and table";
}

interface Taken {
  readonly event: Event;
  readonly now: EpochMs;
}

/** A record of the topic: what was told, and when. */
interface Told {
  readonly fact: BuildFact;
  readonly now: EpochMs;
}

/** A task: its events since its last commit, and what they brought about. */
class Part {
  readonly #kept = new KeptState();
  #out: Event[] = [];
  joiner: Joiner;
  batch: Taken[] = [];
  facts: Told[] = [];
  /** Changes it was not told of yet. */
  untold: Changes[] = [];

  constructor(builds: BuildTable) {
    this.joiner = createJoiner({ state: this.#kept.state, builds });
  }

  emit(events: readonly Event[]): void {
    this.#out.push(...events);
  }

  commit(): { readonly out: readonly Event[]; readonly facts: readonly Told[] } {
    void this.#kept.state.commit();
    const { facts } = this;
    const out = this.#out;
    this.batch = [];
    this.facts = [];
    this.#out = [];
    return { out, facts };
  }

  /** As it was at the last commit, over this table; the batch comes again. */
  remake(builds: BuildTable, how: "rolled back" | "killed"): readonly Taken[] {
    if (how === "rolled back") this.#kept.state.rollback();
    else this.#kept.reopen();
    this.joiner = createJoiner({ state: this.#kept.state, builds });
    const again = this.batch;
    this.batch = [];
    this.facts = [];
    this.#out = [];
    this.untold = [];
    return again;
  }
}

class Process {
  readonly finals = new Map<string, Event>();
  /** The topic, compacted: of equal keys the last. */
  #topic: Told[] = [];
  #table = new KeptState();
  #builds: BuildTable = createBuildTable({ state: this.#table.state, inventory });
  readonly #parts = [new Part(this.#builds), new Part(this.#builds)] as const;

  take(partition: 0 | 1, event: Event, now: EpochMs): void {
    const part = this.#parts[partition];
    part.batch.push({ event, now });
    part.emit(part.joiner.due(now));
    for (const fact of part.joiner.factsOf(event)) {
      const changes = this.#builds.learn(fact, now);
      part.emit(part.joiner.changed(changes, now));
      part.facts.push({ fact, now });
      this.#parts[partition === 0 ? 1 : 0].untold.push(changes);
    }
    const joined = part.joiner.join(event, now);
    if (joined.kind === "ready") part.emit([joined.event]);
  }

  tell(now: EpochMs): void {
    for (const part of this.#parts) {
      for (const changes of part.untold) part.emit(part.joiner.changed(changes, now));
      part.untold = [];
    }
  }

  commit(partition: 0 | 1): void {
    const { out, facts } = this.#parts[partition].commit();
    for (const one of out) this.finals.set(one.id, one);
    const records = [...this.#topic, ...facts];
    const last = new Map(records.map((record) => [factKey(record.fact), record]));
    this.#topic = [...last.values()];
    // From the topic, every process learns it again.
    for (const { fact, now } of facts) expect(this.#builds.learn(fact, now).empty).toBe(true);
  }

  save(): void {
    void this.#table.state.commit();
  }

  /** The table stays as it is, with what the failed batch told it. */
  failBatch(partition: 0 | 1, now: EpochMs): void {
    this.#again(partition, "rolled back", now);
  }

  /** The table comes back as it was last saved, or empty, and reads the topic. */
  die(table: "saved" | "lost", now: EpochMs): void {
    if (table === "lost") this.#table = new KeptState();
    else this.#table.reopen();
    this.#builds = createBuildTable({ state: this.#table.state, inventory });
    for (const record of this.#topic) this.#builds.learn(record.fact, record.now);
    for (const partition of [0, 1] as const) this.#again(partition, "killed", now);
  }

  end(now: EpochMs): void {
    this.tell(now);
    for (const partition of [0, 1] as const) {
      const part = this.#parts[partition];
      part.emit(part.joiner.due(now));
      this.commit(partition);
    }
  }

  /** What this process knows, and what one knows that has read nothing but the topic. */
  tables(): readonly [unknown, unknown] {
    const other = emptyState();
    const builds = createBuildTable({ state: other, inventory });
    for (const { fact, now } of this.#topic) builds.learn(fact, now);
    return [contents(this.#table.state), contents(other)];
  }

  #again(partition: 0 | 1, how: "rolled back" | "killed", now: EpochMs): void {
    const part = this.#parts[partition];
    const again = part.remake(this.#builds, how);
    part.emit(part.joiner.recheck(now));
    for (const taken of again) this.take(partition, taken.event, taken.now);
  }
}

function contents(state: State): unknown {
  return ["runs", "jobs", "prepared", "pulls", "leases"].map((name) => {
    return [...state.table(name).entries()].sort(([a], [b]) => (a < b ? -1 : 1));
  });
}

function play(steps: readonly Step[]): Process {
  const process = new Process();
  let seconds = 1_000;
  // From the start both feeds are known to be connected.
  process.take(0, preparedEvent({ runId: 900, job: "other", runner: "r-900" }), at(seconds));
  process.take(0, jobEvent({ runId: 900, name: "other", runner: "r-900", id: 9 }), at(seconds));
  process.commit(0);
  for (const { event, partition, after, commits, tells, saves, fails } of steps) {
    seconds += after;
    const now = at(seconds);
    process.take(partition, event, now);
    if (tells) process.tell(now);
    if (saves) process.save();
    if (fails === "batch") process.failBatch(partition, now);
    else if (fails !== "no") process.die(fails === "process" ? "saved" : "lost", now);
    if (commits) process.commit(partition);
  }
  process.end(at(seconds + 60));
  return process;
}

/** Two pods take turns at an address; the third sighting is no news. */
const sightings = [
  falco(40, { pod: "r2", address: "10.0.0.7" }, "falco:r2-seen"),
  falco(41, { pod: "r2", address: "10.0.0.7" }, "falco:r2-again"),
  falco(120, { pod: "r9", address: "10.0.0.7" }, "falco:r9-seen"),
];
const everything = [...told, ...activity, ...sightings];

const steps: fc.Arbitrary<readonly Step[]> = fc
  .tuple(
    fc.shuffledSubarray(everything, { minLength: everything.length }),
    fc.array(
      fc.record({
        partition: fc.constantFrom(0 as const, 1 as const),
        after: fc.constantFrom(0, 1, 20, 600, 1_500),
        commits: fc.boolean(),
        tells: fc.boolean(),
        saves: fc.boolean(),
        fails: fc.constantFrom<Step["fails"][]>(
          "no",
          "no",
          "batch",
          "process",
          "process and table",
        ),
      }),
      { minLength: everything.length, maxLength: everything.length },
    ),
  )
  .map(([events, hows]) => {
    return events.flatMap((event, index) => {
      const how = hows[index];
      return how === undefined ? [] : [{ event, ...how }];
    });
  });

describe("two tasks over one table", () => {
  it("end in the answers of one who knew all facts first, whatever fails between", () => {
    const wanted = sureAnswers();
    expect(wanted.size).toBeGreaterThan(told.length + 6);
    fc.assert(
      fc.property(steps, (all) => {
        const process = play(all);
        const { finals } = process;
        const [own, others] = process.tables();
        expect(own).toEqual(others);
        expect(finals.size).toBe(everything.length + 2);
        for (const [id, sure] of wanted) {
          expect([id, answer(finals.get(id))]).toEqual([id, sure]);
        }
      }),
      { seed: 51, numRuns: 40 },
    );
  });
});
