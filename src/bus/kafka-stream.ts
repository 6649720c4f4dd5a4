/** @module What a Kafka consumer has fetched of one partition and not yet handed over. */

import { type EpochMs, realClock, secondMs } from "../clock.ts";
import type { ServiceError } from "../error.ts";
import type { BusRecord, Offset, Topic } from "./bus.ts";
import { type Cursor, newCursor } from "./cursor.ts";
import type { Place } from "./kafka-link.ts";
import type { Reach } from "./kafka-topics.ts";
import { bytesOf } from "./source.ts";

/** Fetching stops at the first and goes on below the second; one fetch may go over it. */
const bytesMax = 512 * 1024;
const bytesResume = 256 * 1024;
const recordsMax = 4_000;
/** Without a word from the broker for this long, nobody knows how far the partition goes. */
const heardMsMax = 2 * secondMs;

export class KafkaStream {
  readonly place: Place;
  readonly cursor: Cursor;
  readonly reach: Reach;
  /** Where kafkajs reads on; undefined until the handler has said where to begin. */
  fetchFrom: Offset | undefined;
  /** What stands at `fetchFrom` can never be read. */
  fault: ServiceError | undefined;
  paused = true;
  /** kafkajs stands elsewhere, and we ask where the log begins and ends. */
  finding = false;
  /** The position last given to the brokers. */
  committed: Offset | undefined;
  /** After the newest record that the brokers are known to have. */
  #logEnd: Offset;
  #heardAt: EpochMs = realClock.now();
  #records: BusRecord[] = [];
  #bytes = 0;

  constructor(place: Place, topic: Topic, reach: Reach) {
    this.place = place;
    this.cursor = newCursor(topic, place.partition);
    this.reach = reach;
    this.#logEnd = reach.end;
  }

  /** After the newest record that can be read now. */
  get end(): Offset {
    // The handler's answer is checked against the whole log.
    if (this.cursor.phase === "new") return this.reach.end;
    const last = this.#records.at(-1);
    if (this.fault !== undefined) return Number.MAX_SAFE_INTEGER;
    return last === undefined ? 0 : last.offset + 1;
  }

  /**
   * Everything before it has been handled. Past the last record handled where what follows holds
   * none: compaction and transactions leave such places.
   */
  get handledTo(): Offset | undefined {
    const { next, phase } = this.cursor;
    if (next === undefined || phase === "new" || this.fetchFrom === undefined) return next;
    const last = this.#records.at(-1);
    const waiting = last !== undefined && last.offset >= next;
    return waiting ? next : Math.max(next, this.fetchFrom);
  }

  /** Records not yet handled; at least 1 while the broker says nothing. */
  get behind(): number {
    const known = Math.max(0, this.#logEnd - (this.handledTo ?? this.reach.first));
    return realClock.now() - this.#heardAt > heardMsMax ? Math.max(1, known) : known;
  }

  /** The broker has told where the log ends now. */
  heard(end: Offset): void {
    this.#logEnd = end;
    this.#heardAt = realClock.now();
  }

  get full(): boolean {
    return this.#bytes >= bytesMax || this.#records.length >= recordsMax;
  }

  get roomy(): boolean {
    return this.#bytes < bytesResume && this.#records.length < recordsMax / 2;
  }

  add(records: readonly BusRecord[]): void {
    for (const record of records) {
      this.#records.push(record);
      this.#bytes += bytesOf(record);
    }
  }

  /** Records from an offset on; compaction may have left none at the very offset. */
  read(from: Offset, max: number): readonly BusRecord[] {
    const at = this.#records.findIndex(({ offset }) => offset >= from);
    if (at < 0) {
      if (this.fault !== undefined) throw this.fault;
      return [];
    }
    return this.#records.slice(at, at + max);
  }

  /** Lets go of what has been handled. */
  trim(before: Offset): void {
    const at = this.#records.findIndex(({ offset }) => offset >= before);
    const gone = this.#records.splice(0, at < 0 ? this.#records.length : at);
    for (const record of gone) this.#bytes -= bytesOf(record);
  }
}
