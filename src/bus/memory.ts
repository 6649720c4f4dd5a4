/**
 * @module The bus in memory, for `replay` and tests: the contract of `bus.ts` without durability.
 *
 * Its records are bounded by bytes. At the bound it lets go of what every group has handled and of
 * topics without a consumer; when that is not enough, `append` rejects with `intake-full`, as a
 * full disk would. A group that joins after that begins with what is left.
 */

import type { Clock } from "../clock.ts";
import { ServiceError } from "../error.ts";
import {
  type Bus,
  type BusRecord,
  type Consumer,
  type ConsumerHandler,
  type ConsumerSettings,
  type NewRecord,
  type Offset,
  type OnTrouble,
  partitionsOf,
  type Topic,
  topics,
} from "./bus.ts";
import { partitionFor } from "./frame.ts";
import { Groups } from "./group.ts";
import { bytesOf, checkPartition, closedError, type ReadRange } from "./source.ts";

export interface MemoryBusSettings {
  readonly clock: Clock;
  /** Of each topic; 4 when absent. */
  readonly partitions?: number;
  /** The most bytes of records held; 256 MiB when absent. */
  readonly bytesMax?: number;
  readonly onTrouble?: OnTrouble;
}

const partitionsDefault = 4;
const bytesMaxDefault = 256 * 1024 * 1024;

interface Stream {
  readonly topic: Topic;
  readonly partition: number;
  first: Offset;
  records: BusRecord[];
}

/** A bus that forgets everything when closed. Throws RangeError for impossible settings. */
export function openMemoryBus(settings: MemoryBusSettings): Bus {
  return new MemoryBus(settings);
}

class MemoryBus implements Bus {
  readonly #clock: Clock;
  readonly #partitions: number;
  readonly #bytesMax: number;
  readonly #streams = new Map<Topic, readonly Stream[]>();
  readonly #groups: Groups;
  #bytes = 0;
  #closed = false;
  #closing: Promise<void> | undefined;

  constructor(settings: MemoryBusSettings) {
    this.#clock = settings.clock;
    this.#partitions = settings.partitions ?? partitionsDefault;
    if (!Number.isSafeInteger(this.#partitions) || this.#partitions < 1) {
      throw new RangeError(`partitions must be a whole number from 1, not ${this.#partitions}`);
    }
    this.#bytesMax = settings.bytesMax ?? bytesMaxDefault;
    for (const topic of topics) {
      const streams = Array.from({ length: this.partitions(topic) }, (_, partition) => {
        return { topic, partition, first: 0, records: [] };
      });
      this.#streams.set(topic, streams);
    }
    this.#groups = new Groups({
      source: {
        partitions: (topic) => this.partitions(topic),
        first: (topic, partition) => this.#stream(topic, partition).first,
        end: (topic, partition) => endOf(this.#stream(topic, partition)),
        read: (topic, partition, range) => this.#read(this.#stream(topic, partition), range),
        settled: async () => undefined,
      },
      clock: settings.clock,
      onTrouble: settings.onTrouble ?? (() => undefined),
    });
  }

  async append(records: readonly NewRecord[]): Promise<void> {
    if (this.#closed) throw closedError("memory bus");
    // First of all: a call that asks for a partition that is not there leaves nothing behind.
    const placed = records.map((record) => {
      return { record, stream: this.#stream(record.topic, partitionFor(record, this.#partitions)) };
    });
    let bytes = 0;
    for (const record of records) bytes += bytesOf(record);
    if (this.#bytes + bytes > this.#bytesMax) this.#trim();
    if (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) {
      throw new ServiceError({
        code: "intake-full",
        place: "memory bus",
        expected: `at most ${this.#bytesMax} bytes not yet handled`,
        found: `${this.#bytes} and ${bytes} more`,
      });
    }
    this.#bytes += bytes;
    const grown = new Set<Stream>();
    const appendedAt = this.#clock.now();
    for (const { record, stream } of placed) {
      const { topic, key, value } = record;
      const offset = endOf(stream);
      // The same bytes come back as from a file: a copy, and a key that UTF-8 can hold.
      const kept = { key: key.toWellFormed(), value: Uint8Array.from(value) };
      stream.records.push({ topic, partition: stream.partition, offset, ...kept, appendedAt });
      grown.add(stream);
    }
    for (const { topic, partition } of grown) this.#groups.appended(topic, partition);
  }

  async consume(settings: ConsumerSettings, handler: ConsumerHandler): Promise<Consumer> {
    if (this.#closing !== undefined) throw closedError("memory bus");
    return this.#groups.consume(settings, handler);
  }

  partitions(topic: Topic): number {
    return partitionsOf(topic, this.#partitions);
  }

  async first(topic: Topic, partition: number): Promise<Offset> {
    if (this.#closed) throw closedError("memory bus");
    return this.#stream(topic, partition).first;
  }

  async end(topic: Topic, partition: number): Promise<Offset> {
    if (this.#closed) throw closedError("memory bus");
    return endOf(this.#stream(topic, partition));
  }

  async find(topic: Topic, partition: number, offset: Offset): Promise<BusRecord | undefined> {
    if (this.#closed) throw closedError("memory bus");
    const { first, records } = this.#stream(topic, partition);
    return records[offset - first];
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#groups.stop();
    this.#closed = true;
    this.#streams.clear();
  }

  #stream(topic: Topic, partition: number): Stream {
    checkPartition(topic, partition, this.partitions(topic));
    const stream = this.#streams.get(topic)?.[partition];
    if (stream === undefined) throw closedError("memory bus");
    return stream;
  }

  async #read(stream: Stream, range: ReadRange): Promise<readonly BusRecord[]> {
    // A turn of the event loop per batch: signals and sockets live on during a long replay.
    await new Promise((resolve) => setImmediate(resolve));
    const at = range.from - stream.first;
    return at < 0 ? [] : stream.records.slice(at, at + range.max);
  }

  /** Lets go of what every group has handled, and of topics that nobody consumes. */
  #trim(): void {
    for (const streams of this.#streams.values()) {
      for (const stream of streams) {
        const needed = this.#groups.neededFrom(stream.topic, stream.partition) ?? endOf(stream);
        const gone = stream.records.slice(0, Math.max(0, needed - stream.first));
        for (const record of gone) this.#bytes -= bytesOf(record);
        stream.records = stream.records.slice(gone.length);
        stream.first += gone.length;
      }
    }
  }
}

function endOf(stream: Stream): Offset {
  return stream.first + stream.records.length;
}
