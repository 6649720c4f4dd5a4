/**
 * @module The owner of one changelog: takes it over, writes each commit as one batch, and finds out
 * by the offset it gets whether anybody wrote in between.
 *
 * There is no lock. Whoever appends an opening record owns the log from that record on. An owner
 * knows at which offset its next batch belongs; when the log answers with a later one, it reads
 * what lies between before the commit resolves. Is an opening among it, this owner is no longer
 * one: the batch does not count, the commit rejects with state-taken, and so does every later one.
 * Is it only outdated rows (see kafka-changelog.ts), the right values of their keys are appended
 * again within the same commit. An owner that commits nothing looks at the end of the log now and
 * then, for the same reason: within the topic's `min.compaction.lag.ms` it must be put right.
 *
 * An append without an answer may or may not be in the log. The same batch is then appended again,
 * and nothing else, until there is an answer: rows twice in a row change nothing, and one that comes
 * later is outdated by its stamp. When no answer comes for too long, nobody knows what was saved, and
 * this owner ends as if the log had been taken: opening it anew reads what it holds, and makes
 * outdated what may still come.
 */

import { randomUUID } from "node:crypto";
import type { Offset } from "../bus/bus.ts";
import type { Clock, EpochMs } from "../clock.ts";
import { secondMs } from "../clock.ts";
import { ServiceError, shown } from "../error.ts";
import { checkSize, chunks, NotAppended, type PartitionLog, tooLarge } from "./kafka-batch.ts";
import {
  Changelog,
  changedRecords,
  compareStamps,
  type LogRecord,
  openingRecord,
  parseKey,
  type RowKey,
  type StoredRecord,
  valueText,
} from "./kafka-changelog.ts";
import type { StateChanges } from "./stage-state.ts";

export interface OwnerSettings {
  readonly log: PartitionLog;
  /** Names the log in problems. */
  readonly place: string;
  /** Says in the log, for people, who owns it. */
  readonly owner: string;
  readonly clock: Clock;
  /** How long an answer of the log is waited for, over all attempts. */
  readonly answerMsMax: number;
  /** Aborted when the store closes. */
  readonly closing: AbortSignal;
}

const pauseMsMin = 50;
const pauseMsMax = 2 * secondMs;
/** An owner that heard nothing for this long looks at the log before it writes to it. */
const heardMsMax = 10 * secondMs;

/** A log just taken over: what it says, and since which offset it is ours. */
export interface TakenLog {
  readonly epoch: Offset;
  readonly contents: Changelog;
}

/**
 * Makes every earlier owner outdated, then reads what they left. Rejects with state-unavailable or
 * state-corrupt.
 */
export async function takeLog(settings: OwnerSettings): Promise<TakenLog> {
  const { log, place, owner } = settings;
  // An opening whose answer was lost stays without rows; should it come late, it ends this owner.
  const opening = openingRecord(randomUUID(), owner);
  const epoch = await insisted(settings, () => log.append([opening]));
  const contents = new Changelog(place);
  await insisted(settings, async () => {
    const from = Math.max(contents.next, await log.first());
    await log.read(from, epoch + 1, (record) => contents.take(record));
  });
  if (contents.newest.epoch !== epoch || contents.next !== epoch + 1) {
    const expected = "the opening record at the end of the log";
    throw unavailable(place, expected, `offset ${contents.next - 1}`);
  }
  return { epoch, contents };
}

/** Calls until it succeeds or the time is up; what is corrupt is not asked for again. */
async function insisted<T>(settings: OwnerSettings, act: () => Promise<T>): Promise<T> {
  const until = settings.clock.now() + settings.answerMsMax;
  for (let attempt = 0; ; attempt++) {
    try {
      return await act();
    } catch (error) {
      if (error instanceof ServiceError) throw error;
      if (settings.closing.aborted || settings.clock.now() >= until) {
        throw unavailable(settings.place, "brokers that answer", textOf(error), error);
      }
    }
    await pause(settings, attempt);
  }
}

/** Growing with the attempts; ends at once when the store closes. */
async function pause({ clock, closing }: OwnerSettings, attempt: number): Promise<void> {
  if (closing.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const pauseMs = Math.min(pauseMsMax, pauseMsMin * 2 ** Math.min(attempt, 10));
  const end = () => resolve();
  const cancel = clock.after(pauseMs, end);
  closing.addEventListener("abort", end);
  await promise;
  closing.removeEventListener("abort", end);
  cancel();
}

/** The value of the last commit, undefined when there is none. */
export type Committed = (key: Exclude<RowKey, { kind: "opening" }>) => unknown;

export class LogOwner {
  readonly #settings: OwnerSettings;
  readonly #epoch: Offset;
  readonly #committed: Committed;
  /** Where the next batch belongs, if nobody else writes. */
  #next: Offset;
  #batch = 0;
  #heardAt: EpochMs;
  /** Keys to be written again. */
  readonly #outdated = new Set<string>();
  /** What the running commit has written: newer than what `#committed` says. */
  #written: ReadonlyMap<string, string | null> = new Map();
  #ended: ServiceError | undefined;
  /** The tail of the queue of acts: no two appends of one owner overlap. */
  #turn: Promise<void> = Promise.resolve();

  constructor(settings: OwnerSettings, epoch: Offset, committed: Committed) {
    this.#settings = settings;
    this.#epoch = epoch;
    this.#committed = committed;
    this.#next = epoch + 1;
    this.#heardAt = settings.clock.now();
  }

  get epoch(): Offset {
    return this.#epoch;
  }

  /** When the log last answered. */
  get heardAt(): EpochMs {
    return this.#heardAt;
  }

  /** Puts right what earlier owners left, and takes their openings out. Rejects like `save`. */
  adopt({ outdated, openings }: Changelog): Promise<void> {
    return this.#exclusive(async () => {
      for (const key of outdated) this.#outdated.add(key);
      await this.#mend();
      // Last: as long as rows are outdated, the log must show by which opening they are.
      const earlier = [...openings].slice(0, -1).map((key) => ({ key, value: null }));
      for (const chunk of chunks(earlier)) await this.#write(chunk);
    });
  }

  /**
   * Resolves when the log holds all of it and this owner was still the owner. Rejects with
   * state-unavailable or state-too-large when nothing was saved, with state-taken when the log has
   * another owner or nobody knows, and with TypeError for a value that JSON cannot hold.
   */
  save(changes: StateChanges): Promise<void> {
    return this.#exclusive(async () => {
      const records = changedRecords(changes);
      if (records.length === 0) return;
      checkSize(records, this.#settings.place);
      if (this.#settings.clock.now() - this.#heardAt > heardMsMax) await this.#glance();
      await this.#write(records);
      this.#written = new Map(records.map(({ key, value }) => [key, value]));
      try {
        await this.#mend();
      } catch (error) {
        // The commit is saved: it must not look as if it could be rolled back.
        throw this.#end(this.#ended ?? this.#unknown(error));
      } finally {
        this.#written = new Map();
      }
    });
  }

  /** Looks whether anybody else has written, and puts it right; does not reject. */
  check(): Promise<void> {
    return this.#exclusive(() => this.#glance()).catch(() => undefined);
  }

  /** The same process has opened the log again. */
  end(): void {
    this.#ended ??= this.#taken("a newer opening in this process");
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  #exclusive(act: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(() => {
      if (this.#settings.closing.aborted) throw closedProblem(this.#settings.place);
      if (this.#ended !== undefined) throw this.#ended;
      return act();
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #write(records: readonly LogRecord[]): Promise<void> {
    const stamp = { epoch: this.#epoch, batch: this.#batch + 1 };
    const base = await this.#append(records.map((record) => ({ ...record, stamp })));
    this.#batch = stamp.batch;
    if (base < this.#next) {
      throw this.#end(this.#taken(`offset ${base} where ${this.#next} comes next`));
    }
    await this.#readOn(base);
    this.#next = base + records.length;
    // What was outdated stands before this batch.
    for (const { key } of records) this.#outdated.delete(key);
  }

  /** The same batch, until the log says where it is. */
  async #append(records: readonly LogRecord[]): Promise<Offset> {
    const { log, clock, closing, answerMsMax, place } = this.#settings;
    const until = clock.now() + answerMsMax;
    let unknown = false;
    for (let attempt = 0; ; attempt++) {
      try {
        const base = await log.append(records);
        this.#heardAt = clock.now();
        return base;
      } catch (error) {
        const nothing = error instanceof NotAppended;
        unknown ||= !nothing;
        if (nothing && error.tooLarge && !unknown) {
          throw tooLarge(place, "a batch that the topic takes", textOf(error));
        }
        if (closing.aborted || clock.now() >= until) {
          if (unknown) throw this.#end(this.#unknown(error));
          throw unavailable(place, "brokers that answer", textOf(error), error);
        }
      }
      await pause(this.#settings, attempt);
    }
  }

  /** Takes in what others, or lost batches of ours, have put at and after `#next`. */
  async #readOn(until: Offset): Promise<void> {
    if (until <= this.#next) return;
    try {
      await insisted(this.#settings, () => {
        return this.#settings.log.read(this.#next, until, (record) => this.#takeForeign(record));
      });
    } catch (error) {
      throw this.#end(error instanceof ServiceError ? this.#unknown(error) : error);
    }
    if (this.#ended !== undefined) throw this.#ended;
  }

  #takeForeign(record: StoredRecord): void {
    const key = parseKey(record.key);
    if (key?.kind === "opening") {
      if (record.value !== null) this.#end(this.#taken(`an opening at offset ${record.offset}`));
      return;
    }
    const newest = { epoch: this.#epoch, batch: this.#batch };
    // A repetition of the newest batch, which is what came last.
    if (record.stamp !== undefined && compareStamps(record.stamp, newest) === 0) return;
    this.#outdated.add(record.key);
  }

  /** A log that does not answer is asked again another time. */
  async #glance(): Promise<void> {
    try {
      await this.#look();
    } catch (error) {
      if (this.#ended !== undefined) throw this.#ended;
      if (error instanceof TypeError) throw error;
    }
  }

  async #look(): Promise<void> {
    const end = await this.#settings.log.end();
    await this.#readOn(end);
    this.#next = Math.max(this.#next, end);
    this.#heardAt = this.#settings.clock.now();
    await this.#mend();
  }

  async #mend(): Promise<void> {
    while (this.#outdated.size > 0) {
      const records = [...this.#outdated].map((key) => ({ key, value: this.#valueOf(key) }));
      for (const chunk of chunks(records)) await this.#write(chunk);
    }
  }

  #valueOf(text: string): string | null {
    const written = this.#written.get(text);
    if (written !== undefined) return written;
    const key = parseKey(text);
    // What we cannot read is nothing of ours: it goes.
    if (key === undefined || key.kind === "opening") return null;
    return valueText(this.#committed(key));
  }

  #end<E>(error: E): E {
    if (error instanceof ServiceError) this.#ended ??= error;
    return error;
  }

  #taken(found: string): ServiceError {
    const expected = `the log of the owner since offset ${this.#epoch}`;
    const { place } = this.#settings;
    return new ServiceError({ code: "state-taken", place, expected, found });
  }

  #unknown(cause: unknown): ServiceError {
    const { place, closing } = this.#settings;
    if (closing.aborted) return closedProblem(place);
    const expected = `an answer within ${this.#settings.answerMsMax} ms`;
    const found = `none, and the commit may be saved: ${textOf(cause)}`;
    return new ServiceError({ code: "state-taken", place, expected, found }, { cause });
  }
}

export function closedProblem(place: string): ServiceError {
  return unavailable(place, "an open state", "a closed one");
}

function unavailable(
  place: string,
  expected: string,
  found: string,
  cause?: unknown,
): ServiceError {
  const problem = { code: "state-unavailable", place, expected, found } as const;
  return new ServiceError(problem, { cause });
}

function textOf(error: unknown): string {
  return shown(error instanceof Error ? error.message : String(error), 200);
}
