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
 * and nothing else, until there is an answer: rows twice in a row change nothing, and one that
 * comes later is outdated by its stamp. When no answer comes for too long, nobody knows what was
 * saved, and this owner ends as if the log had been taken: opening it anew reads what it holds, and
 * makes outdated what may still come.
 */

import type { Offset } from "../bus/bus.ts";
import { type EpochMs, secondMs } from "../clock.ts";
import { ServiceError } from "../error.ts";
import { insisted, type OwnerSettings, pause, textOf, unanswered } from "./kafka-answer.ts";
import { checkSize, chunks, NotAppended, tooLarge } from "./kafka-batch.ts";
import {
  type Changelog,
  changedRecords,
  compareStamps,
  type LogRecord,
  parseKey,
  type RowKey,
  type StoredRecord,
  valueText,
} from "./kafka-changelog.ts";
import type { StateChanges } from "./stage-state.ts";
import { closedState } from "./state.ts";

/** An owner that heard nothing for this long looks at the log before it writes to it. */
const heardMsMax = 10 * secondMs;

/** The value of the last commit, undefined when there is none. */
export type Committed = (key: Exclude<RowKey, { kind: "opening" }>) => unknown;

/** One epoch of a changelog: the writing half of one State. */
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

  /** Offset of its opening record. */
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
      await this.#mend();
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
      if (this.#outdated.size === 0) return;
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
      if (this.#settings.closing.aborted) throw closedState(this.#settings.place);
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
          throw unanswered(place, error);
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
    if (closing.aborted) return closedState(place);
    const expected = `an answer within ${this.#settings.answerMsMax} ms`;
    const found = `none, and the commit may be saved: ${textOf(cause)}`;
    return new ServiceError({ code: "state-taken", place, expected, found }, { cause });
  }
}
