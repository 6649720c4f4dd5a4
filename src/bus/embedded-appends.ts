/**
 * @module Group commit: appends that arrive while a commit runs wait together and go into the next
 * one.
 *
 * Two groups may be with the thread at once, so that it never idles between two commits while the
 * next group travels.
 */

import type { EpochMs } from "../clock.ts";
import { ServiceError } from "../error.ts";
import type { NewRecord } from "./bus.ts";
import { type Chunk, FrameWriter, headerBytes, partitionFor, streamOf } from "./frame.ts";

export interface AppendQueueSettings {
  readonly path: string;
  readonly partitions: number;
  /** The most bytes accepted and not yet committed. */
  readonly backlogMax: number;
  /** Commits one group: resolves when it is on the disk. */
  readonly commit: (chunks: readonly Chunk[]) => Promise<void>;
}

/** More than any commit needs to be fast, little enough that nobody waits long for it. */
const groupBytesMax = 4 * 1024 * 1024;
const groupsInFlightMax = 2;
const recordBytesMax = 64 * 1024 * 1024;

interface Group {
  readonly writer: FrameWriter;
  readonly done: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  bytes: number;
}

/** Takes appends in the order of their calls and commits them in that order. */
export class AppendQueue {
  readonly #settings: AppendQueueSettings;
  /** The last one still takes appends. */
  readonly #groups: Group[] = [];
  readonly #unsettled = new Set<Promise<void>>();
  #backlog = 0;
  #inFlight = 0;
  #flushing = false;

  constructor(settings: AppendQueueSettings) {
    this.#settings = settings;
  }

  /**
   * Copies the records at once; resolves after their commit. Rejects with `intake-full` at the
   * bound.
   */
  async append(records: readonly NewRecord[], appendedAt: EpochMs): Promise<void> {
    if (records.length === 0) return;
    const { partitions } = this.#settings;
    // First of all: a call that asks for a partition that is not there leaves nothing behind.
    const streams = records.map((record) => {
      return streamOf(record.topic, partitionFor(record, partitions), partitions);
    });
    const keyBytes = records.map(({ key }) => Buffer.byteLength(key));
    const bytes = this.#admit(records, keyBytes);
    const group = this.#groupFor(bytes);
    group.bytes += bytes;
    this.#backlog += bytes;
    for (const [index, { key, value }] of records.entries()) {
      const stream = streams[index] ?? 0;
      group.writer.write({ stream, offset: 0, appendedAt, value }, key, keyBytes[index] ?? 0);
    }
    this.#flushSoon();
    return group.done;
  }

  /** Resolves when every append accepted so far has been committed or has failed. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#unsettled);
  }

  /** The bytes of one call, if it may come in. */
  #admit(records: readonly NewRecord[], keyBytes: readonly number[]): number {
    let bytes = 0;
    for (const [index, { value }] of records.entries()) {
      const size = headerBytes + (keyBytes[index] ?? 0) + value.byteLength;
      if (size > recordBytesMax) {
        throw this.#refusal("body-too-large", `a record of at most ${recordBytesMax} bytes`, size);
      }
      bytes += size;
    }
    // A call larger than the whole bound comes in alone, or it never would.
    const { backlogMax } = this.#settings;
    if (this.#backlog > 0 && this.#backlog + bytes > backlogMax) {
      const expected = `at most ${backlogMax} bytes waiting for their commit`;
      throw this.#refusal("intake-full", expected, this.#backlog + bytes);
    }
    return bytes;
  }

  #refusal(code: "intake-full" | "body-too-large", expected: string, bytes: number): ServiceError {
    const place = this.#settings.path;
    return new ServiceError({ code, place, expected, found: `${bytes} bytes` });
  }

  #groupFor(bytes: number): Group {
    const last = this.#groups.at(-1);
    if (last !== undefined && last.bytes + bytes <= groupBytesMax) return last;
    const { promise: done, resolve, reject } = Promise.withResolvers<void>();
    const group = { writer: new FrameWriter(), done, resolve, reject, bytes: 0 };
    this.#groups.push(group);
    this.#unsettled.add(done);
    // Each caller has its own promise; this one only keeps the set small.
    const forget = () => this.#unsettled.delete(done);
    done.then(forget, forget);
    return group;
  }

  /** At the end of this turn of the event loop: what one turn brings goes into one commit. */
  #flushSoon(): void {
    if (this.#flushing || this.#inFlight >= groupsInFlightMax) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      while (this.#inFlight < groupsInFlightMax) {
        const group = this.#groups.shift();
        if (group === undefined) return;
        void this.#commit(group);
      }
    });
  }

  async #commit(group: Group): Promise<void> {
    this.#inFlight++;
    try {
      await this.#settings.commit(group.writer.take());
      group.resolve();
    } catch (error) {
      group.reject(error);
    } finally {
      this.#inFlight--;
      this.#backlog -= group.bytes;
      if (this.#groups.length > 0) this.#flushSoon();
    }
  }
}
