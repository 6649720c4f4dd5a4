/**
 * @module The file of the embedded bus: one SQLite table per partition, a checksum per record, one
 * commit per group.
 *
 * `"events/0"` holds the records of partition 0 of events by offset; retention deletes from its
 * head. `streams` holds where each partition begins and ends, to be compared, and its bytes. Pages
 * of deleted records are used again by later ones; the file itself does not shrink.
 * A write is on the disk when its commit returns: write-ahead log with synchronous=FULL. One
 * connection keeps the file locked; the lock dies with its process.
 */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import type { EpochMs } from "../clock.ts";
import type { ServiceError } from "../error.ts";
import { type Offset, type Topic, topics } from "./bus.ts";
import { guarded } from "./embedded-error.ts";
import { type BusFileSettings, corrupt, openDatabase, sizeOfRecord } from "./embedded-schema.ts";
import { type Chunk, checkedFrom, FrameWriter, headerBytes, streamOf } from "./frame.ts";

export interface FileRange {
  readonly stream: number;
  readonly from: Offset;
  readonly max: number;
}

/** What goes from the head of a partition at once; all conditions must hold. */
export interface FileTrim {
  readonly stream: number;
  /** Records before this offset, */
  readonly before: Offset;
  /** appended before this time, */
  readonly appendedBefore: EpochMs;
  /** and not more of them than it takes to free so many bytes. */
  readonly bytes: number;
}

/** Where a partition begins and ends, and the bytes of its records as they are framed. */
export interface StreamExtent {
  readonly first: Offset;
  readonly next: Offset;
  readonly bytes: number;
}

const batchBytesMax = 4 * 1024 * 1024;
/** What one transaction of retention lets go: little, so that appends wait for none of them. */
const trimRecordsMax = 1_000;
const trimBytesMax = 4 * 1024 * 1024;

interface Stream {
  readonly topic: Topic;
  readonly partition: number;
  readonly name: string;
  /** Starts every checksum, so that a record is only right in its own place. */
  readonly seed: number;
  readonly insert: StatementSync;
  readonly select: StatementSync;
  readonly head: StatementSync;
  readonly remove: StatementSync;
  first: Offset;
  next: Offset;
  bytes: number;
}

/** Everything blocks: it belongs in a thread of its own. */
export class BusFile {
  readonly partitions: number;
  readonly #path: string;
  readonly #db: DatabaseSync;
  readonly #streams: Stream[] = [];
  readonly #saveExtent: StatementSync;

  /**
   * Throws ServiceError: bus-corrupt, bus-in-use, bus-unavailable, or config-invalid for
   * `partitions`.
   */
  constructor(settings: BusFileSettings) {
    this.#path = settings.path;
    const { db, partitions } = openDatabase(settings);
    this.#db = db;
    this.partitions = partitions;
    try {
      const save =
        "UPDATE streams SET first = ?, next = ?, bytes = ? WHERE topic = ? AND partition = ?";
      this.#saveExtent = guarded(this.#path, () => db.prepare(save));
      guarded(this.#path, () => this.#load());
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  /** The extent of each stream, by stream number. */
  extents(): StreamExtent[] {
    return this.#streams.map(extentOf);
  }

  /** Saves all records in one transaction, or none; gives the streams that grew. */
  append(chunks: readonly Chunk[]): [number, StreamExtent][] {
    return guarded(this.#path, () => {
      const grown = new Map<number, StreamExtent>();
      this.#transaction(() => {
        for (const chunk of chunks) this.#insert(chunk, grown);
        for (const [stream, extent] of grown) this.#save(this.#stream(stream), extent);
      });
      for (const [stream, extent] of grown) Object.assign(this.#stream(stream), extent);
      return [...grown];
    });
  }

  /**
   * Lets go of records from the head of a stream in one small transaction, of a bounded number: to
   * be repeated until the extent no longer changes. Gives the extent that is left.
   */
  trim({ stream: number, before, appendedBefore, bytes }: FileTrim): StreamExtent {
    const stream = this.#stream(number);
    return guarded(`${this.#path}: ${stream.name}`, () => {
      const bytesMax = Math.min(bytes, trimBytesMax);
      let freed = 0;
      let { first } = stream;
      for (const row of stream.head.iterate(first, before, trimRecordsMax)) {
        const [offset, appendedAt, size] = row as unknown as readonly number[];
        if (offset === undefined || appendedAt === undefined || size === undefined) break;
        if (appendedAt >= appendedBefore || freed >= bytesMax) break;
        freed += size;
        first = offset + 1;
      }
      if (first === stream.first) return extentOf(stream);
      const left = first === stream.next ? 0 : Math.max(0, stream.bytes - freed);
      const extent = { first, next: stream.next, bytes: left };
      this.#transaction(() => {
        stream.remove.run(first);
        this.#save(stream, extent);
      });
      Object.assign(stream, extent);
      return extent;
    });
  }

  /** Records in order from an offset, each checked; none when retention has let that one go. */
  read(range: FileRange): Chunk[] {
    const stream = this.#stream(range.stream);
    if (range.from < stream.first) return [];
    return guarded(`${this.#path}: ${stream.name}`, () => {
      const writer = new FrameWriter();
      let offset = range.from;
      let bytes = 0;
      try {
        for (const row of stream.select.iterate(range.from, range.max)) {
          const record = this.#record(stream, row as unknown as readonly unknown[], offset);
          const { key, value, appendedAt } = record;
          bytes += headerBytes + key.byteLength + value.byteLength;
          if (offset > range.from && bytes > batchBytesMax) break;
          writer.write({ stream: range.stream, offset, appendedAt, value }, key, key.byteLength);
          const sum = crc32(writer.checked(), stream.seed);
          if (sum !== record.sum) {
            writer.dropLast();
            throw this.#corrupt(stream, offset, `checksum ${record.sum}`, String(sum));
          }
          offset++;
        }
        if (offset === range.from && offset < stream.next) {
          throw this.#corrupt(stream, offset, "a record", "none");
        }
      } catch (error) {
        // What stands before the damage is good; the next read begins with it and reports it.
        if (offset === range.from) throw error;
      }
      return writer.take();
    });
  }

  /** Leaves one file behind; where the disk has no room for that, the log stays beside it. */
  close(): void {
    if (!this.#db.isOpen) return;
    try {
      this.#db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {
      // Every acknowledged record is in the log, which the next opening reads.
    }
    this.#db.close();
  }

  #load(): void {
    for (const topic of topics) {
      for (let partition = 0; partition < this.partitions; partition++) {
        const stream = streamOf(topic, partition, this.partitions);
        this.#streams[stream] = this.#loadStream(topic, partition);
      }
    }
  }

  #loadStream(topic: Topic, partition: number): Stream {
    const db = this.#db;
    const name = `${topic}/${partition}`;
    const saved = db.prepare(
      "SELECT first, next, bytes FROM streams WHERE topic = ? AND partition = ?",
    );
    const { first, next, bytes } = saved.get(topic, partition) ?? {};
    if (typeof first !== "number" || typeof next !== "number" || typeof bytes !== "number") {
      throw corrupt(this.#path, `the ends of ${name}`, "none");
    }
    const ends = db.prepare(
      `SELECT coalesce(min(offset), ?) AS low, coalesce(max(offset) + 1, ?) AS high FROM "${name}"`,
    );
    const { low, high } = ends.get(next, first) ?? {};
    if (low !== first || high !== next) {
      const found = `${low} to ${high}`;
      throw corrupt(this.#path, `${name} to hold ${first} to ${next}`, found);
    }
    // As REAL: a damaged integer that no number can hold would leave the statement open.
    const select = db.prepare(
      `SELECT CAST(offset AS REAL), CAST(appended_at AS REAL), key, value, CAST(crc32 AS REAL)
        FROM "${name}" WHERE offset >= ? ORDER BY offset LIMIT ?`,
    );
    select.setReturnArrays(true);
    const insert = db.prepare(`INSERT INTO "${name}" VALUES (?, ?, ?, ?, ?)`);
    const head = db.prepare(
      `SELECT CAST(offset AS REAL), CAST(appended_at AS REAL), CAST(${sizeOfRecord} AS REAL)
        FROM "${name}" WHERE offset >= ? AND offset < ? ORDER BY offset LIMIT ?`,
    );
    head.setReturnArrays(true);
    const remove = db.prepare(`DELETE FROM "${name}" WHERE offset < ?`);
    const statements = { insert, select, head, remove };
    return { topic, partition, name, seed: crc32(name), ...statements, first, next, bytes };
  }

  /** Runs `act` in a transaction: all of it, or none when it throws. */
  #transaction(act: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      act();
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  #save({ topic, partition }: Stream, { first, next, bytes }: StreamExtent): void {
    this.#saveExtent.run(first, next, bytes, topic, partition);
  }

  #insert(chunk: Chunk, grown: Map<number, StreamExtent>): void {
    const buffer = Buffer.from(chunk.buffer, 0, chunk.used);
    for (let at = 0; at < chunk.used; ) {
      const number = buffer.readUInt32LE(at);
      const stream = this.#stream(number);
      const valueAt = at + headerBytes + buffer.readUInt32LE(at + 4);
      const end = valueAt + buffer.readUInt32LE(at + 8);
      const { first, next: offset, bytes } = grown.get(number) ?? stream;
      buffer.writeDoubleLE(offset, at + 12);
      stream.insert.run(
        offset,
        buffer.readDoubleLE(at + 20),
        buffer.subarray(at + headerBytes, valueAt),
        buffer.subarray(valueAt, end),
        crc32(buffer.subarray(at + checkedFrom, end), stream.seed),
      );
      grown.set(number, { first, next: offset + 1, bytes: bytes + end - at });
      at = end;
    }
  }

  #record(stream: Stream, row: readonly unknown[], expected: Offset): StoredRecord {
    const [offset, appendedAt, key, value, sum] = row;
    if (offset !== expected) throw this.#corrupt(stream, expected, "the record", String(offset));
    if (
      typeof appendedAt !== "number" ||
      !(key instanceof Uint8Array) ||
      !(value instanceof Uint8Array) ||
      typeof sum !== "number"
    ) {
      throw this.#corrupt(stream, expected, "time, key, value and checksum", "other types");
    }
    return { appendedAt, key, value, sum };
  }

  #stream(number: number): Stream {
    const stream = this.#streams[number];
    if (stream === undefined) throw new RangeError(`no stream ${number}`);
    return stream;
  }

  #corrupt(stream: Stream, offset: Offset, expected: string, found: string): ServiceError {
    return corrupt(`${this.#path}: ${stream.name} offset ${offset}`, expected, found);
  }
}

function extentOf({ first, next, bytes }: StreamExtent): StreamExtent {
  return { first, next, bytes };
}

interface StoredRecord {
  readonly appendedAt: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly sum: number;
}
