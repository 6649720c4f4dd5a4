// A changelog in memory that answers late, twice, not at all, or never, and that is compacted; and
// processes that open it, commit to it and crash in any order.

import fc from "fast-check";
import { expect } from "vitest";
import type { Clock } from "../../src/clock.ts";
import { ServiceError } from "../../src/error.ts";
import type { OwnerSettings } from "../../src/state/kafka-answer.ts";
import { NotAppended, type PartitionLog } from "../../src/state/kafka-batch.ts";
import type { LogRecord, StoredRecord } from "../../src/state/kafka-changelog.ts";
import { type OwnedState, openOwnedState } from "../../src/state/kafka-taking.ts";
import type { State } from "../../src/state/state.ts";
import { contents } from "../contract/state.ts";

/** What becomes of one call of the log. */
export type Fault = "none" | "answer-lost" | "refused" | "late";

/** Everything that waits for its turn; one turn at a time, in an order drawn from a seed. */
export class Turns {
  readonly #waiting: (() => void)[] = [];
  #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  next(): Promise<void> {
    return new Promise((resolve) => void this.#waiting.push(resolve));
  }

  /** Gives turns until `done` has settled and nobody waits any more. */
  async run(done: Promise<unknown>): Promise<void> {
    let settled = false;
    void done.then(
      () => (settled = true),
      () => (settled = true),
    );
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#waiting.length === 0) {
        if (settled) return await done.then(() => undefined);
        throw new Error("everybody waits and nobody has a turn");
      }
      this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0;
      const [given] = this.#waiting.splice((this.#seed >>> 8) % this.#waiting.length, 1);
      given?.();
    }
  }
}

/** Every wait of a crashed process. */
const never = new Promise<never>(() => undefined);

export class LogModel {
  records: StoredRecord[] = [];
  /** Everything before it has been put right by an owner. */
  verified = 0;
  /** Called when the next read begins. */
  beforeRead: (() => void) | undefined;
  /** Resolves when the caller may go on. */
  readonly #turn: () => Promise<void>;
  #end = 0;
  #reading = 0;
  #compactedTo = 0;

  constructor(turn: () => Promise<void>) {
    this.#turn = turn;
  }

  get length(): number {
    return this.#end;
  }

  /** The log as one process sees it; its calls meet `faults` in turn, then none. */
  seenBy(process: { readonly crashed: boolean }, faults: Fault[]): PartitionLog {
    const turn = async () => {
      await this.#turn();
      if (process.crashed) await never;
    };
    const failing = async <T>(act: () => T): Promise<T> => {
      await turn();
      const fault = faults.shift() ?? "none";
      if (fault === "refused") throw new Error("no answer");
      const answer = act();
      await turn();
      if (fault !== "none") throw new Error("answer lost");
      return answer;
    };
    return {
      append: async (records) => {
        await turn();
        const fault = faults.shift() ?? "none";
        if (fault === "refused") throw new NotAppended("refused", false);
        if (fault === "late") {
          void this.#later(records);
          throw new Error("no answer yet");
        }
        const base = this.put(records);
        await turn();
        if (fault === "answer-lost") throw new Error("answer lost");
        return base;
      },
      read: async (from, until, each) => {
        this.#reading += 1;
        this.beforeRead?.();
        try {
          await failing(() => {
            for (const record of [...this.records]) {
              if (record.offset >= from && record.offset < until) each(record);
            }
          });
        } finally {
          this.#reading -= 1;
        }
      },
      first: () => failing(() => this.records[0]?.offset ?? this.#end),
      end: () => failing(() => this.#end),
    };
  }

  /** What was put right up to here may be compacted. */
  putRight(epoch: number): void {
    const last = this.records.findLast(({ stamp, offset }) => {
      return (stamp?.epoch ?? offset) === epoch;
    });
    this.verified = Math.max(this.verified, (last?.offset ?? -1) + 1);
  }

  /** Takes back what was appended from `end` on, as a broker does that was elected although behind. */
  truncate(end: number): void {
    this.records = this.records.filter(({ offset }) => offset < end);
    this.#end = end;
  }

  /** Keeps the last record of each key before `until`, and no tombstone a second time. */
  compact(until: number): void {
    const bound = Math.min(until, this.verified);
    const last = new Map<string, number>();
    for (const { key, offset } of this.records) if (offset < bound) last.set(key, offset);
    this.records = this.records.filter(({ key, offset, value }) => {
      if (offset >= bound) return true;
      if (last.get(key) !== offset) return false;
      // A reader that has begun is given the time to end.
      return value !== null || offset >= this.#compactedTo || this.#reading > 0;
    });
    this.#compactedTo = Math.max(this.#compactedTo, bound);
  }

  /** Appends a batch; gives its first offset. */
  put(records: readonly LogRecord[]): number {
    const base = this.#end;
    for (const record of records) this.records.push({ ...record, offset: this.#end++ });
    return base;
  }

  async #later(records: readonly LogRecord[]): Promise<void> {
    const delay = 1 + ((this.#end * 13) % 50);
    for (let turn = 0; turn < delay; turn++) await this.#turn();
    this.put(records);
  }
}

/** What one process does from its start to its crash. */
export interface Life {
  /** Turns before it opens. */
  readonly startAfter: number;
  readonly commits: readonly Commit[];
  readonly faults: readonly Fault[];
  /** Turns of the scheduler to its crash; absent: it stops after its commits. */
  readonly crashAfter: number | undefined;
}

export interface Commit {
  readonly puts: readonly (readonly [key: string, deleted: boolean])[];
  readonly advance: boolean;
  /** Looks at the log first, as an idle one does. */
  readonly check: boolean;
}

/** What a State was meant to hold after a commit, and after which other commit. */
interface Intended {
  readonly rows: readonly (readonly [string, unknown])[];
  readonly position: number;
  readonly after: string;
}

/**
 * Knows each commit that was tried. Says whether a State is the whole of one of them, and whether
 * every acknowledged one came before it.
 */
export class Oracle {
  readonly #log: LogModel;
  readonly #intended = new Map<string, Intended>([["", { rows: [], position: 0, after: "" }]]);
  #acknowledged = "";
  #count = 0;
  taken = 0;
  commits = 0;

  constructor(log: LogModel) {
    this.#log = log;
  }

  get acknowledged(): string {
    return this.#acknowledged;
  }

  /** Opens and compares; `acknowledged` is what was so before. */
  async open(settings: OwnerSettings): Promise<OwnedState> {
    const before = this.#acknowledged;
    const opened = await openOwnedState(settings);
    this.#log.putRight(opened.owner.epoch);
    const version = versionOf(opened.state);
    const intended = this.#intended.get(version);
    expect(contents(opened.state, "t")).toEqual(intended?.rows);
    expect(opened.state.position("events", 0)).toBe(intended?.position);
    this.#expectBefore(before, version);
    return opened;
  }

  async commit({ state, owner }: OwnedState, commit: Commit): Promise<void> {
    if (commit.check) await owner.check();
    const after = versionOf(state);
    const version = `c${++this.#count}`;
    const table = state.table<string>("t");
    for (const [key, deleted] of commit.puts) {
      if (deleted) table.delete(key);
      else table.put(key, version);
    }
    table.put("version", version);
    if (commit.advance) state.advance("events", 0, state.position("events", 0) + 1);
    const position = state.position("events", 0);
    this.#intended.set(version, { rows: contents(state, "t"), position, after });
    await state.commit();
    this.#log.putRight(owner.epoch);
    this.#expectBefore(this.#acknowledged, version);
    this.#acknowledged = version;
    this.commits += 1;
  }

  #expectBefore(earlier: string, version: string): void {
    const line = [version];
    for (let at = version; at !== ""; ) {
      at = this.#intended.get(at)?.after ?? "";
      line.push(at);
    }
    expect(line).toContain(earlier);
  }
}

function versionOf(state: State): string {
  return state.table<string>("t").get("version") ?? "";
}

export function settingsFor(log: PartitionLog, turn: () => Promise<void>): OwnerSettings {
  let now = 0;
  const clock: Clock = {
    now: () => now,
    after: (delayMs, act) => {
      now += delayMs;
      void turn().then(act);
      return () => undefined;
    },
  };
  const closing = new AbortController().signal;
  return { log, place: "log", owner: "sim", clock, answerMsMax: 100, closing };
}

/** Runs one life: opens, commits, rolls back what was refused, ends when the log was taken. */
export async function live(
  { log, oracle, turns }: { log: LogModel; oracle: Oracle; turns: Turns },
  life: Life,
): Promise<void> {
  const process = { crashed: false };
  const ends = Promise.withResolvers<void>();
  if (life.crashAfter !== undefined) {
    const crash = async () => {
      for (let turn = 0; turn < (life.crashAfter ?? 0); turn++) {
        await turns.next();
      }
      process.crashed = true;
      ends.resolve();
    };
    void crash();
  }
  for (let turn = 0; turn < life.startAfter; turn++) await turns.next();
  const settings = settingsFor(log.seenBy(process, [...life.faults]), () => turns.next());
  const run = async () => {
    const opened = await oracle.open(settings);
    for (const commit of life.commits) {
      try {
        await oracle.commit(opened, commit);
      } catch (error) {
        if (codeOf(error) !== "state-unavailable") throw error;
        opened.state.rollback();
      }
    }
  };
  const running = run().catch((error) => {
    const code = codeOf(error);
    if (code === "state-taken") oracle.taken += 1;
    else if (code !== "state-unavailable") throw error;
  });
  await Promise.race([running, ends.promise]);
}

function codeOf(error: unknown): string {
  return error instanceof ServiceError ? error.problem.code : "";
}

export const lives: fc.Arbitrary<Life[]> = fc.array(
  fc.record({
    commits: fc.array(
      fc.record({
        puts: fc.array(fc.tuple(fc.constantFrom("a", "b", "c"), fc.boolean()), {
          maxLength: 3,
        }),
        advance: fc.boolean(),
        check: fc.nat(4).map((n) => n === 0),
      }),
      { minLength: 1, maxLength: 8 },
    ),
    faults: fc.array(
      fc.oneof(
        { weight: 5, arbitrary: fc.constant<Fault>("none") },
        { weight: 3, arbitrary: fc.constantFrom<Fault>("answer-lost", "refused", "late") },
      ),
      { maxLength: 20 },
    ),
    startAfter: fc.nat(150),
    crashAfter: fc.option(fc.nat(200), { nil: undefined }),
  }),
  { minLength: 2, maxLength: 7 },
);
