/**
 * @module Appends on their way to the brokers: calls that arrive while a send runs wait together
 * and go into the next one.
 */

import { type EpochMs, realClock, secondMs } from "../clock.ts";
import { ServiceError } from "../error.ts";
import type { NewRecord, Topic } from "./bus.ts";
import { partitionFor } from "./frame.ts";
import type { TopicMessages } from "./kafka-producer.ts";
import { recordBytesMax } from "./kafka-specs.ts";

export interface KafkaAppendsSettings {
  readonly place: string;
  readonly partitions: number;
  /** The most bytes accepted and not yet acknowledged. */
  readonly backlogMax: number;
  /** How long a call waits for the brokers, who may still get what it brought later. */
  readonly waitMsMax: number;
  readonly nameOf: (topic: Topic) => string;
  /** Resolves when the brokers have it. Called again only after it has settled. */
  readonly send: (batch: readonly TopicMessages[]) => Promise<void>;
}

/** Enough for the speed measured, little enough that nobody waits long for it. */
const sendBytesMax = 4 * 1024 * 1024;
const sendRecordsMax = 10_000;
/** What a record costs beside key and value, roughly. */
const frameBytes = 64;

const watchMs = secondMs;

interface Call {
  readonly done: PromiseWithResolvers<void>;
  readonly since: EpochMs;
  failed: boolean;
}

interface Entry {
  readonly call: Call;
  readonly last: boolean;
  readonly bytes: number;
  readonly topic: Topic;
  readonly key: Buffer;
  readonly value: Buffer;
  readonly partition: number;
  readonly appendedAt: EpochMs;
}

/** Takes appends in the order of their calls and sends them in that order, one send at a time. */
export class KafkaAppends {
  readonly #settings: KafkaAppendsSettings;
  readonly #unsettled = new Set<Call>();
  #entries: Entry[] = [];
  #backlog = 0;
  #sending = false;
  #watching = false;

  constructor(settings: KafkaAppendsSettings) {
    this.#settings = settings;
  }

  /**
   * Copies the records at once; resolves when the brokers have them all. Rejects with `intake-full`
   * at the bound, `body-too-large`, or `bus-unavailable` when the brokers refuse or stay away too
   * long: then some of the call's records may be on the bus, or come there.
   */
  async append(records: readonly NewRecord[], appendedAt: EpochMs): Promise<void> {
    if (records.length === 0) return;
    const call: Call = { done: Promise.withResolvers(), since: realClock.now(), failed: false };
    const entries = records.map((record, index): Entry => {
      const { topic, key, value } = record;
      const keyBytes = Buffer.from(key);
      const bytes = frameBytes + keyBytes.byteLength + value.byteLength;
      if (bytes > recordBytesMax) {
        const expected = `a record of at most ${recordBytesMax} bytes`;
        throw this.#refusal("body-too-large", expected, bytes);
      }
      const partition = partitionFor(record, this.#settings.partitions);
      const last = index === records.length - 1;
      return {
        call,
        last,
        bytes,
        topic,
        key: keyBytes,
        value: Buffer.from(value),
        partition,
        appendedAt,
      };
    });
    this.#admit(entries.reduce((sum, { bytes }) => sum + bytes, 0));
    this.#unsettled.add(call);
    this.#watch();
    for (const entry of entries) this.#entries.push(entry);
    if (!this.#sending) {
      this.#sending = true;
      // At the end of this turn of the event loop: what one turn brings goes into one send.
      setImmediate(() => void this.#run());
    }
    return call.done.promise;
  }

  /** Resolves when every append accepted so far has been acknowledged or has failed. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#unsettled].map(({ done }) => done.promise));
  }

  #admit(bytes: number): void {
    // A call larger than the whole bound comes in alone, or it never would.
    const { backlogMax } = this.#settings;
    if (this.#backlog > 0 && this.#backlog + bytes > backlogMax) {
      const expected = `at most ${backlogMax} bytes waiting for the brokers`;
      throw this.#refusal("intake-full", expected, this.#backlog + bytes);
    }
    this.#backlog += bytes;
  }

  #refusal(code: "intake-full" | "body-too-large", expected: string, bytes: number): ServiceError {
    const { place } = this.#settings;
    return new ServiceError({ code, place, expected, found: `${bytes} bytes` });
  }

  async #run(): Promise<void> {
    for (let chunk = this.#take(); chunk.length > 0; chunk = this.#take()) {
      try {
        await this.#settings.send(this.#messages(chunk));
        for (const { call, last } of chunk) {
          if (last) this.#settle(call);
        }
      } catch (error) {
        for (const { call } of chunk) this.#settle(call, error);
      }
      for (const { bytes } of chunk) this.#backlog -= bytes;
    }
    this.#sending = false;
  }

  /** The next entries to send; those of a call that has failed are let go. */
  #take(): readonly Entry[] {
    let bytes = 0;
    let count = 0;
    const chunk: Entry[] = [];
    for (const entry of this.#entries) {
      if (entry.call.failed) {
        this.#backlog -= entry.bytes;
      } else {
        const full = chunk.length === sendRecordsMax || bytes + entry.bytes > sendBytesMax;
        if (full && chunk.length > 0) break;
        bytes += entry.bytes;
        chunk.push(entry);
      }
      count++;
    }
    this.#entries = this.#entries.slice(count);
    return chunk;
  }

  /** The send that waits goes on: another one before it has settled would lose records. */
  #watch(): void {
    if (this.#watching || this.#unsettled.size === 0) return;
    this.#watching = true;
    realClock.after(Math.min(watchMs, this.#settings.waitMsMax), () => {
      this.#watching = false;
      const { place, waitMsMax } = this.#settings;
      const before = realClock.now() - waitMsMax;
      for (const call of this.#unsettled) {
        if (call.since > before) break;
        const expected = `an acknowledgement within ${waitMsMax} ms`;
        const problem = { code: "bus-unavailable", place, expected, found: "none" } as const;
        this.#settle(call, new ServiceError(problem));
      }
      this.#watch();
    });
  }

  #messages(chunk: readonly Entry[]): readonly TopicMessages[] {
    return [...Map.groupBy(chunk, ({ topic }) => topic)].map(([topic, entries]) => ({
      topic: this.#settings.nameOf(topic),
      messages: entries.map(({ key, value, partition, appendedAt }) => {
        return { key, value, partition, timestamp: String(appendedAt) };
      }),
    }));
  }

  #settle(call: Call, error?: unknown): void {
    if (!this.#unsettled.delete(call)) return;
    call.failed = error !== undefined;
    if (error === undefined) call.done.resolve();
    else call.done.reject(error);
  }
}
