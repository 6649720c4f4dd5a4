/**
 * @module One member of a consumer group: reads its partitions in turn and hands batches over, one
 * call at a time.
 */

import { growingMs, secondMs } from "../clock.ts";
import { ServiceError } from "../error.ts";
import type { BusRecord, ConsumerHandler, ConsumerSettings, Offset, Topic } from "./bus.ts";
import type { Cursor } from "./cursor.ts";
import { lostTrouble, type MemberSettings } from "./source.ts";

const batchMaxDefault = 500;
const retryMs = { min: secondMs, max: 30 * secondMs };

/** The group, as its member sees it. */
export interface MemberGroup {
  readonly name: string;
  readonly settings: MemberSettings;
  leave(member: Member): Promise<void>;
  drained(member: Member): Promise<void>;
  /** A cursor has moved or broken: see who has waited for that. */
  progressed(): void;
}

/** What stands in front of the handler: where to begin, records, or why there are none. */
interface Fetch {
  readonly cursor: Cursor;
  readonly epoch: number;
  readonly from: Offset;
  readonly read: Promise<readonly BusRecord[]> | undefined;
}

/** Its handler must not wait for `stop` of the same consumer: stop waits for the handler. */
export class Member {
  readonly topics: ReadonlySet<Topic>;
  readonly #group: MemberGroup;
  readonly #handler: ConsumerHandler;
  readonly #batchMax: number;
  #cursors: readonly Cursor[] = [];
  #at = 0;
  #turn: Promise<void> = Promise.resolve();
  #woken = false;
  #wake: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(group: MemberGroup, settings: ConsumerSettings, handler: ConsumerHandler) {
    this.topics = new Set(settings.topics);
    this.#group = group;
    this.#handler = handler;
    this.#batchMax = Math.max(1, settings.batchMax ?? batchMaxDefault);
  }

  drained(): Promise<void> {
    return this.#group.drained(this);
  }

  behind(topic: Topic, partition: number): number {
    const cursor = this.#cursors.find((at) => at.topic === topic && at.partition === partition);
    if (cursor?.next === undefined) return 0;
    return Math.max(0, this.#group.settings.source.end(topic, partition) - cursor.next);
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await this.#group.leave(this);
    this.wake();
    await this.#running;
  }

  /** There may be something to do. */
  wake(): void {
    this.#woken = true;
    this.#wake?.();
  }

  /** The partition is ours from now on. */
  take(cursor: Cursor): void {
    cursor.owner = this;
    cursor.epoch++;
    cursor.phase = "new";
    cursor.failures = 0;
    this.#cursors = [...this.#cursors, cursor];
    this.#running ??= this.#run();
    this.wake();
  }

  /**
   * Gives the partition up: resolves when no handler call for it is running and none will start.
   */
  async release(cursor: Cursor): Promise<void> {
    cursor.epoch++;
    cursor.phase = "unowned";
    cursor.cancelRetry?.();
    cursor.cancelRetry = undefined;
    this.#cursors = this.#cursors.filter((other) => other !== cursor);
    await this.#exclusive(async () => {
      cursor.owner = undefined;
      if (!cursor.begun) return;
      cursor.begun = false;
      try {
        await this.#handler.revoked(cursor.topic, cursor.partition);
      } catch (error) {
        this.#report(cursor, error, undefined);
      }
    });
  }

  /** Runs handler calls one after the other. `act` never rejects. */
  #exclusive(act: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(act);
    return this.#turn;
  }

  async #run(): Promise<void> {
    let ahead: Fetch | undefined;
    for (;;) {
      const fetch = ahead ?? this.#nextFetch();
      ahead = undefined;
      if (fetch === undefined) {
        if (this.#stopping !== undefined && this.#cursors.length === 0) return;
        await this.#idle();
        continue;
      }
      if (fetch.read === undefined) {
        await this.#exclusive(() => this.#begin(fetch));
        continue;
      }
      let records: readonly BusRecord[] | undefined;
      let failure: unknown;
      try {
        records = await fetch.read;
      } catch (error) {
        failure = error;
      }
      if (records === undefined) {
        this.#unreadable(fetch, failure);
        continue;
      }
      if (!this.#current(fetch)) continue;
      if (records.length === 0) {
        this.#pass(fetch.cursor);
        continue;
      }
      const handed = records;
      // Read on while the handler works; dropped if the handler rejects or the partition moves.
      ahead = this.#nextFetch({ cursor: fetch.cursor, from: after(fetch, handed) });
      await this.#exclusive(() => this.#deliver(fetch, handed));
    }
  }

  async #idle(): Promise<void> {
    if (!this.#woken) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    this.#woken = false;
  }

  /**
   * The next partition with something to read, taken in turn; `after` stands for a batch about to
   * be handled.
   */
  #nextFetch(after?: { cursor: Cursor; from: Offset }): Fetch | undefined {
    const { source } = this.#group.settings;
    const cursors = this.#cursors;
    for (let step = 0; step < cursors.length; step++) {
      const index = (this.#at + step) % cursors.length;
      const cursor = cursors[index];
      if (cursor === undefined) continue;
      const { topic, partition, epoch } = cursor;
      if (cursor.phase === "new") {
        this.#at = index + 1;
        return { cursor, epoch, from: 0, read: undefined };
      }
      if (cursor.phase !== "ready") continue;
      const from = after?.cursor === cursor ? after.from : (cursor.next ?? 0);
      if (from >= source.end(topic, partition)) continue;
      this.#at = index + 1;
      const read = source.read(topic, partition, { from, max: this.#batchMax });
      // It may be dropped unread; its error is then met again by the next read.
      read.catch(() => undefined);
      return { cursor, epoch, from, read };
    }
    return undefined;
  }

  #current(fetch: Fetch): boolean {
    const { cursor } = fetch;
    if (cursor.epoch !== fetch.epoch) return false;
    return fetch.read === undefined
      ? cursor.phase === "new"
      : cursor.phase === "ready" && cursor.next === fetch.from;
  }

  async #begin(fetch: Fetch): Promise<void> {
    if (!this.#current(fetch)) return;
    const { cursor } = fetch;
    const { topic, partition } = cursor;
    const { source } = this.#group.settings;
    let start: Offset;
    try {
      start = await this.#handler.assigned(topic, partition);
    } catch (error) {
      this.#retry(fetch, error);
      return;
    }
    cursor.begun = true;
    if (cursor.epoch !== fetch.epoch) return;
    const end = source.end(topic, partition);
    if (!Number.isSafeInteger(start) || start < 0 || start > end) {
      // Past the end: the log has lost records, and new ones would take the offsets of those lost.
      const place = `${topic}/${partition}, group ${this.#group.name}`;
      const expected = `a saved position from 0 to ${end}`;
      const problem = { code: "bus-corrupt", place, expected, found: String(start) } as const;
      this.#fault(cursor, new ServiceError(problem));
      return;
    }
    // One that has handled nothing yet begins with what there is, and has lost nothing.
    cursor.next = start === 0 ? source.first(topic, partition) : start;
    cursor.failures = 0;
    cursor.phase = "ready";
    this.#pass(cursor);
    this.#group.progressed();
  }

  async #deliver(fetch: Fetch, records: readonly BusRecord[]): Promise<void> {
    if (!this.#current(fetch)) return;
    const { cursor } = fetch;
    try {
      await this.#handler.batch(cursor.topic, cursor.partition, records);
    } catch (error) {
      this.#retry(fetch, error);
      return;
    }
    cursor.next = after(fetch, records);
    cursor.failures = 0;
    this.#group.progressed();
  }

  /** Goes on after records that retention has let go unread, and says so. */
  #pass(cursor: Cursor): void {
    const { topic, partition, next } = cursor;
    const { source, onTrouble } = this.#group.settings;
    const first = source.first(topic, partition);
    if (next === undefined || next >= first) return;
    cursor.next = first;
    onTrouble(lostTrouble({ group: this.#group.name, topic, partition }, next, first));
    this.#group.progressed();
  }

  #unreadable(fetch: Fetch, error: unknown): void {
    if (fetch.cursor.epoch !== fetch.epoch) return;
    const corrupt = error instanceof ServiceError && error.problem.code === "bus-corrupt";
    if (corrupt) this.#fault(fetch.cursor, error);
    else this.#retry(fetch, error);
  }

  /** The partition stands still: reading on would skip a record. */
  #fault(cursor: Cursor, error: ServiceError): void {
    cursor.phase = "faulted";
    cursor.fault = error;
    this.#report(cursor, error, undefined);
    this.#group.progressed();
  }

  #retry(fetch: Fetch, error: unknown): void {
    const { cursor } = fetch;
    if (cursor.epoch !== fetch.epoch) {
      // The next owner begins where the saved position says, without delay.
      this.#report(cursor, error, 0);
      return;
    }
    const delayMs = growingMs(cursor.failures, retryMs);
    cursor.failures++;
    const again = cursor.begun ? "ready" : "new";
    cursor.phase = "waiting";
    cursor.cancelRetry = this.#group.settings.clock.after(delayMs, () => {
      cursor.cancelRetry = undefined;
      cursor.phase = again;
      this.wake();
    });
    this.#report(cursor, error, delayMs);
  }

  #report(cursor: Cursor, error: unknown, retryAfterMs: number | undefined): void {
    const { topic, partition } = cursor;
    const { onTrouble } = this.#group.settings;
    onTrouble({ group: this.#group.name, topic, partition, error, retryAfterMs });
  }
}

/** Where reading goes on; the offsets of a log that is compacted have gaps. */
function after(fetch: Fetch, records: readonly BusRecord[]): Offset {
  return (records.at(-1)?.offset ?? fetch.from - 1) + 1;
}
