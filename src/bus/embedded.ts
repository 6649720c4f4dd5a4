/**
 * @module The bus of a single machine: a SQLite file written and read by a thread of its own.
 *
 * An append resolves after its commit has reached the disk. Opening checks the file, and every
 * record is checked again when it is read: a record that is not what was written is reported and
 * stops its partition, never skipped.
 */

import type { Clock } from "../clock.ts";
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
} from "./bus.ts";
import { AppendQueue } from "./embedded-appends.ts";
import type { FileTrim, StreamExtent } from "./embedded-file.ts";
import { BusThread } from "./embedded-thread.ts";
import { type Chunk, placeOf, readFrames, streamOf } from "./frame.ts";
import { Groups } from "./group.ts";
import type { Retention } from "./retention.ts";
import { RetentionSweep, type Swept } from "./retention-sweep.ts";
import { checkPartition, closedError, type ReadRange } from "./source.ts";

export interface EmbeddedBusSettings {
  /** The file; made when absent, its folder is not. SQLite keeps `<path>-wal` beside it. */
  readonly path: string;
  /** Of each topic. Fixed when the file is made: absent means what the file has, or 4. */
  readonly partitions?: number;
  readonly clock: Clock;
  /** The most bytes of appends waiting for their commit; 64 MiB when absent. */
  readonly backlogMax?: number;
  /** The most bytes of the file; without it only the disk is the bound. */
  readonly fileBytesMax?: number;
  /** A larger file is not read through at opening, only as it is consumed; 1 GiB when absent. */
  readonly checkBytesMax?: number;
  /** Without it everything is kept. */
  readonly retention?: Retention;
  /** Called after each sweep of retention. */
  readonly onSwept?: (swept: Swept) => void;
  readonly onTrouble?: OnTrouble;
}

const backlogMaxDefault = 64 * 1024 * 1024;

/**
 * Opens or makes the file. Rejects with ServiceError: bus-corrupt, bus-in-use (one process at a
 * time), bus-unavailable, or config-invalid when the file has another number of partitions.
 */
export async function openEmbeddedBus(settings: EmbeddedBusSettings): Promise<Bus> {
  const thread = new BusThread({
    path: settings.path,
    partitions: settings.partitions,
    fileBytesMax: settings.fileBytesMax,
    checkBytesMax: settings.checkBytesMax,
  });
  try {
    const { partitions, streams } = await thread.opened;
    return new EmbeddedBus({ ...settings, thread, partitions, streams: [...streams] });
  } catch (error) {
    await thread.exited();
    throw error;
  }
}

interface OpenedSettings extends EmbeddedBusSettings {
  readonly thread: BusThread;
  readonly partitions: number;
  readonly streams: StreamExtent[];
}

class EmbeddedBus implements Bus {
  readonly #settings: OpenedSettings;
  readonly #thread: BusThread;
  readonly #appends: AppendQueue;
  readonly #groups: Groups;
  readonly #sweep: RetentionSweep;
  #closed = false;
  #closing: Promise<void> | undefined;

  constructor(settings: OpenedSettings) {
    this.#settings = settings;
    this.#thread = settings.thread;
    this.#appends = new AppendQueue({
      path: settings.path,
      partitions: settings.partitions,
      backlogMax: settings.backlogMax ?? backlogMaxDefault,
      commit: (chunks) => this.#commit(chunks),
    });
    this.#groups = new Groups({
      source: {
        partitions: (topic) => this.partitions(topic),
        first: (topic, partition) => this.#stream(topic, partition).first,
        end: (topic, partition) => this.#stream(topic, partition).next,
        read: (topic, partition, range) => this.#read(topic, partition, range),
        settled: () => this.#appends.settled(),
      },
      clock: settings.clock,
      onTrouble: settings.onTrouble ?? (() => undefined),
    });
    this.#sweep = new RetentionSweep({
      ...{ partitions: settings.partitions, clock: settings.clock, extents: settings.streams },
      retention: settings.retention ?? new Map(),
      handledBy: (topic, partition) => this.#groups.handledBy(topic, partition),
      trim: (trim) => this.#trim(trim),
      onTrouble: settings.onTrouble ?? (() => undefined),
      onSwept: settings.onSwept ?? (() => undefined),
    });
  }

  async append(records: readonly NewRecord[]): Promise<void> {
    if (this.#closed) throw closedError(this.#settings.path);
    return this.#appends.append(records, this.#settings.clock.now());
  }

  async consume(settings: ConsumerSettings, handler: ConsumerHandler): Promise<Consumer> {
    if (this.#closing !== undefined) throw closedError(this.#settings.path);
    return this.#groups.consume(settings, handler);
  }

  partitions(topic: Topic): number {
    return partitionsOf(topic, this.#settings.partitions);
  }

  async first(topic: Topic, partition: number): Promise<Offset> {
    if (this.#closed) throw closedError(this.#settings.path);
    return this.#stream(topic, partition).first;
  }

  async end(topic: Topic, partition: number): Promise<Offset> {
    if (this.#closed) throw closedError(this.#settings.path);
    return this.#stream(topic, partition).next;
  }

  async find(topic: Topic, partition: number, offset: Offset): Promise<BusRecord | undefined> {
    if (this.#closed) throw closedError(this.#settings.path);
    const { first, next } = this.#stream(topic, partition);
    if (!Number.isSafeInteger(offset) || offset < first || offset >= next) return undefined;
    const [record] = await this.#read(topic, partition, { from: offset, max: 1 });
    return record;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#sweep.stop();
    // Consumers before appends: a handler that runs may still append what it made of its batch.
    await this.#groups.stop();
    this.#closed = true;
    await this.#appends.settled();
    try {
      await this.#thread.ask({ kind: "close" });
    } finally {
      await this.#thread.exited();
    }
  }

  async #commit(chunks: readonly Chunk[]): Promise<void> {
    const transfer = chunks.map(({ buffer }) => buffer);
    const answer = await this.#thread.ask({ kind: "append", chunks }, transfer);
    if (answer.kind !== "appended") throw new TypeError(`append answered by ${answer.kind}`);
    const { streams, partitions } = this.#settings;
    for (const [number, extent] of answer.grown) {
      streams[number] = extent;
      const { topic, partition } = placeOf(number, partitions);
      this.#groups.appended(topic, partition);
    }
  }

  async #trim(trim: FileTrim): Promise<void> {
    const answer = await this.#thread.ask({ kind: "trim", trim });
    if (answer.kind !== "trimmed") throw new TypeError(`trim answered by ${answer.kind}`);
    this.#settings.streams[trim.stream] = answer.extent;
  }

  async #read(topic: Topic, partition: number, range: ReadRange): Promise<readonly BusRecord[]> {
    const { partitions } = this.#settings;
    const stream = streamOf(topic, partition, partitions);
    const answer = await this.#thread.ask({ kind: "read", range: { stream, ...range } });
    if (answer.kind !== "records") throw new TypeError(`read answered by ${answer.kind}`);
    return answer.chunks.flatMap((chunk) => readFrames(chunk, partitions));
  }

  #stream(topic: Topic, partition: number): StreamExtent {
    const { partitions, streams } = this.#settings;
    checkPartition(topic, partition, partitionsOf(topic, partitions));
    const stream = streams[streamOf(topic, partition, partitions)];
    if (stream === undefined) throw new RangeError(`no partition ${topic}/${partition}`);
    return stream;
  }
}
