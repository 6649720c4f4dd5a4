/**
 * @module The packed form in which records travel between the embedded bus and its thread, and the
 * partition of a key.
 */

import type { EpochMs } from "../clock.ts";
import {
  type BusRecord,
  type NewRecord,
  type Offset,
  partitionsOf,
  type Topic,
  topics,
} from "./bus.ts";
import { checkPartition } from "./source.ts";

/**
 * The partition of a key: FNV-1a over its UTF-16 units, the halves folded together. Part of the
 * file format: a change would split the records of one key over two partitions.
 */
export function partitionOf(key: string, partitions: number): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index++) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  }
  return ((hash ^ (hash >>> 16)) >>> 0) % partitions;
}

/** Where a record goes on a bus whose divided topics have `partitions`. */
export function partitionFor({ topic, key, partition }: NewRecord, partitions: number): number {
  const count = partitionsOf(topic, partitions);
  if (partition === undefined) return partitionOf(key, count);
  checkPartition(topic, partition, count);
  return partition;
}

/** One number for (topic, partition), used between the bus and its thread; never stored. */
export function streamOf(topic: Topic, partition: number, partitions: number): number {
  return topics.indexOf(topic) * partitions + partition;
}

/**
 * The topic and partition of a stream number; throws RangeError on a number that `streamOf` cannot
 * give.
 */
export function placeOf(stream: number, partitions: number): { topic: Topic; partition: number } {
  const topic = topics[Math.floor(stream / partitions)];
  if (topic === undefined) throw new RangeError(`no stream ${stream}`);
  return { topic, partition: stream % partitions };
}

/**
 * One record, little-endian: stream u32, key bytes u32, value bytes u32, offset f64, appendedAt
 * f64, key (UTF-8), value. The stored checksum covers everything after the stream number.
 */
export const headerBytes = 28;
export const checkedFrom = 4;

/** Bytes of one chunk that hold records; the rest of the buffer is unused. */
export interface Chunk {
  readonly buffer: ArrayBuffer;
  readonly used: number;
}

export interface FrameRecord {
  readonly stream: number;
  readonly offset: Offset;
  readonly appendedAt: EpochMs;
  readonly value: Uint8Array;
}

const chunkBytesMin = 16 * 1024;
const chunkBytesMax = 1024 * 1024;

/** Packs records into transferable buffers. A record never straddles two chunks. */
export class FrameWriter {
  readonly #full: Chunk[] = [];
  #buffer: Buffer = Buffer.alloc(0);
  #used = 0;
  #lastAt = 0;
  #nextBytes = chunkBytesMin;

  /** Copies one record in. `keyBytes` is the length of the key in UTF-8. */
  write(record: FrameRecord, key: string | Uint8Array, keyBytes: number): void {
    const bytes = headerBytes + keyBytes + record.value.byteLength;
    if (this.#buffer.byteLength - this.#used < bytes) this.#grow(bytes);
    const at = this.#used;
    this.#lastAt = at;
    const buffer = this.#buffer;
    buffer.writeUInt32LE(record.stream, at);
    buffer.writeUInt32LE(keyBytes, at + 4);
    buffer.writeUInt32LE(record.value.byteLength, at + 8);
    buffer.writeDoubleLE(record.offset, at + 12);
    buffer.writeDoubleLE(record.appendedAt, at + 20);
    if (typeof key === "string") buffer.write(key, at + headerBytes, keyBytes, "utf8");
    else buffer.set(key, at + headerBytes);
    buffer.set(record.value, at + headerBytes + keyBytes);
    this.#used += bytes;
  }

  /** The bytes of the last record that its checksum covers. */
  checked(): Uint8Array {
    return this.#buffer.subarray(this.#lastAt + checkedFrom, this.#used);
  }

  /** Takes the last record out again; once per record. */
  dropLast(): void {
    this.#used = this.#lastAt;
  }

  /** Everything written so far; the writer is empty afterwards. */
  take(): Chunk[] {
    this.#seal();
    this.#buffer = Buffer.alloc(0);
    this.#used = 0;
    this.#lastAt = 0;
    return this.#full.splice(0);
  }

  #seal(): void {
    if (this.#used === 0) return;
    // Buffer.allocUnsafeSlow shares its memory with no other buffer: it may be transferred.
    this.#full.push({ buffer: this.#buffer.buffer as ArrayBuffer, used: this.#used });
  }

  #grow(bytes: number): void {
    this.#seal();
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(bytes, this.#nextBytes));
    this.#used = 0;
    this.#nextBytes = Math.min(this.#nextBytes * 2, chunkBytesMax);
  }
}

/**
 * The records of a chunk, as the consumer sees them. Values are views into the chunk, not copies.
 */
export function readFrames(chunk: Chunk, partitions: number): BusRecord[] {
  const buffer = Buffer.from(chunk.buffer, 0, chunk.used);
  const records: BusRecord[] = [];
  for (let at = 0; at < chunk.used; ) {
    const keyAt = at + headerBytes;
    const valueAt = keyAt + buffer.readUInt32LE(at + 4);
    const valueBytes = buffer.readUInt32LE(at + 8);
    records.push({
      ...placeOf(buffer.readUInt32LE(at), partitions),
      offset: buffer.readDoubleLE(at + 12),
      key: buffer.toString("utf8", keyAt, valueAt),
      value: new Uint8Array(chunk.buffer, valueAt, valueBytes),
      appendedAt: buffer.readDoubleLE(at + 20),
    });
    at = valueAt + valueBytes;
  }
  return records;
}
