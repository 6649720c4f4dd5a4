/**
 * @module What an owner of a changelog wants of its log: batches that are taken whole, and a range
 * of records to read.
 */

import type { Offset } from "../bus/bus.ts";
import { ServiceError } from "../error.ts";
import type { LogRecord, StoredRecord } from "./kafka-changelog.ts";
import { commitChangesMax } from "./state.ts";

/** One partition of a changelog topic. Any call may reject; it can then be repeated. */
export interface PartitionLog {
  /**
   * Appends the records as one batch, all or none; resolves with the offset of the first when no
   * acknowledged copy can be lost. Rejects with NotAppended when none is in the log, nor will be.
   */
  append(records: readonly LogRecord[]): Promise<Offset>;
  /** Gives each record from `from` on and before `until`, in order. */
  read(from: Offset, until: Offset, each: (record: StoredRecord) => void): Promise<void>;
  first(): Promise<Offset>;
  end(): Promise<Offset>;
}

/** Nothing was appended. */
export class NotAppended extends Error {
  /** The log refuses a batch of this size. */
  readonly tooLarge: boolean;

  constructor(reason: string, tooLarge: boolean, options?: ErrorOptions) {
    super(reason, options);
    this.name = "NotAppended";
    this.tooLarge = tooLarge;
  }
}

/** Well below the 32 MiB that the topics take, for what a record costs beside its texts. */
export const batchBytesMax: number = 24 * 1024 * 1024;
/** Bounded because the client's decoder spreads the records of a batch over the stack. */
const batchRecordsMax = commitChangesMax;
/** Header, lengths and the stamp of a record. */
const frameBytes = 64;

function bytesOf({ key, value }: LogRecord): number {
  return frameBytes + Buffer.byteLength(key) + (value === null ? 0 : Buffer.byteLength(value));
}

/** Batches within the bounds; a single record always fits, as it came in one. */
export function* chunks(records: readonly LogRecord[]): Generator<readonly LogRecord[]> {
  let chunk: LogRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const more = bytesOf(record);
    if (chunk.length === batchRecordsMax || (chunk.length > 0 && bytes + more > batchBytesMax)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(record);
    bytes += more;
  }
  if (chunk.length > 0) yield chunk;
}

/** Throws ServiceError: state-too-large, for more than one batch can hold. */
export function checkSize(records: readonly LogRecord[], place: string): void {
  if (records.length > batchRecordsMax) {
    const found = `${records.length}`;
    throw tooLarge(place, `at most ${batchRecordsMax} changes in a commit`, found);
  }
  const bytes = records.reduce((sum, record) => sum + bytesOf(record), 0);
  if (bytes <= batchBytesMax) return;
  throw tooLarge(place, `a commit of at most ${batchBytesMax} bytes`, `${bytes} bytes`);
}

export function tooLarge(place: string, expected: string, found: string): ServiceError {
  return new ServiceError({ code: "state-too-large", place, expected, found });
}
