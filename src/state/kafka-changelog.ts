/**
 * @module The records of a changelog: how a State's rows, its positions and its owners are written
 * to a log, and what a log read from its first record on says the State is.
 *
 * Every owner begins with an opening record. The offset it gets is the owner's epoch, so epochs
 * differ and grow, whoever opens, and the newest opening in the log names the owner. Rows bear the
 * stamp of the batch that wrote them: the epoch, and a number that grows with each batch of it. A
 * batch counts when its epoch is that of the newest opening before it, and no later batch of its
 * epoch stands before it. Rows of other batches are outdated: an earlier owner wrote them without
 * knowing, or a batch given up for lost came late. Who finds them writes what is right for their
 * keys again, because compaction keeps the last row of a key whoever wrote it.
 */

import { type Offset, type Topic, topics } from "../bus/bus.ts";
import { ServiceError, shown } from "../error.ts";
import type { Position, StateChanges, StateContents } from "./stage-state.ts";

export interface Stamp {
  /** Offset of the opening record. */
  readonly epoch: Offset;
  /** 1, 2, 3, … within the epoch. */
  readonly batch: number;
}

/** One record for the log; a null value takes its key out. */
export interface LogRecord {
  readonly key: string;
  readonly value: string | null;
  /** Absent in opening records alone. */
  readonly stamp?: Stamp;
}

export interface StoredRecord extends LogRecord {
  readonly offset: Offset;
}

/** What a key is about. */
export type RowKey =
  | { readonly kind: "row"; readonly table: string; readonly key: string }
  | { readonly kind: "position"; readonly topic: string; readonly partition: number }
  | { readonly kind: "opening" };

/**
 * Keys are JSON, `["row","windows","a"]`, so that any text comes back as it was, lone surrogates
 * included.
 */
export function openingRecord(token: string, owner: string): LogRecord {
  return { key: JSON.stringify(["opening", token]), value: JSON.stringify({ owner }) };
}

/** What a commit writes. Throws TypeError for a value that JSON cannot hold. */
export function changedRecords({ tables, positions }: StateChanges): LogRecord[] {
  const records: LogRecord[] = [];
  for (const [table, changed] of tables) {
    for (const [key, value] of changed) {
      records.push({ key: JSON.stringify(["row", table, key]), value: valueText(value) });
    }
  }
  for (const { topic, partition, next } of positions) {
    const key = JSON.stringify(["position", topic, partition]);
    records.push({ key, value: valueText(next) });
  }
  return records;
}

/** Null for undefined, which stands for no value. Throws TypeError for what JSON cannot hold. */
export function valueText(value: unknown): string | null {
  if (value === undefined) return null;
  const text: string | undefined = JSON.stringify(value);
  if (text === undefined) throw new TypeError(`not a JSON value: ${shown(String(value))}`);
  return text;
}

/** `1204.17`, as it stands in the record's header. */
export function stampText({ epoch, batch }: Stamp): string {
  return `${epoch}.${batch}`;
}

/** Undefined when it is no stamp. */
export function parseStamp(text: string): Stamp | undefined {
  const [, epoch, batch] = /^(\d{1,16})\.(\d{1,16})$/.exec(text) ?? [];
  if (epoch === undefined || batch === undefined) return undefined;
  return { epoch: Number(epoch), batch: Number(batch) };
}

/** Less than zero when the left one was given out earlier. */
export function compareStamps(left: Stamp, right: Stamp): number {
  return left.epoch - right.epoch || left.batch - right.batch;
}

/** Undefined when it is not a key of ours. */
export function parseKey(text: string): RowKey | undefined {
  const parsed = parsedJson(text);
  if (!Array.isArray(parsed)) return undefined;
  const [kind, first, second]: readonly unknown[] = parsed;
  if (kind === "opening") return { kind };
  if (typeof first !== "string") return undefined;
  if (kind === "row" && typeof second === "string") return { kind, table: first, key: second };
  if (kind === "position" && typeof second === "number") {
    return { kind, topic: first, partition: second };
  }
  return undefined;
}

/** What a log says, record by record. */
export class Changelog implements StateContents {
  readonly tables = new Map<string, Map<string, unknown>>();
  /** Keys whose last row is outdated: the right value has to be written again. */
  readonly outdated = new Set<string>();
  /** Keys of the opening records, the newest last. */
  readonly openings = new Set<string>();
  readonly #place: string;
  readonly #positions = new Map<string, Position>();
  #newest: Stamp = { epoch: -1, batch: 0 };
  #next: Offset = 0;
  #count = 0;

  /** `place` names the log in problems. */
  constructor(place: string) {
    this.#place = place;
  }

  /** Of known topics; the position of another one is left alone. */
  get positions(): readonly Position[] {
    return [...this.#positions.values()].filter(({ topic }) => topics.includes(topic));
  }

  /** Offset after the last record taken. */
  get next(): Offset {
    return this.#next;
  }

  /** Records taken. */
  get count(): number {
    return this.#count;
  }

  /** The newest stamp that counts; batch 0 right after an opening. */
  get newest(): Stamp {
    return this.#newest;
  }

  /** To be called in the order of the log. Throws ServiceError: state-corrupt. */
  take(record: StoredRecord): void {
    const key = parseKey(record.key);
    if (key === undefined) throw this.#corrupt(record, "a key", shown(record.key));
    this.#next = record.offset + 1;
    this.#count += 1;
    if (key.kind === "opening") {
      if (record.value === null) {
        this.openings.delete(record.key);
        return;
      }
      this.openings.add(record.key);
      this.#newest = { epoch: record.offset, batch: 0 };
      return;
    }
    const { stamp } = record;
    if (stamp === undefined) throw this.#corrupt(record, "a stamp", "none");
    if (compareStamps(stamp, this.#newest) < 0) {
      this.outdated.add(record.key);
      return;
    }
    this.#newest = stamp;
    this.outdated.delete(record.key);
    this.#put(record, key);
  }

  #put(record: StoredRecord, key: Exclude<RowKey, { kind: "opening" }>): void {
    const { value } = record;
    const parsed = value === null ? undefined : parsedJson(value);
    if (value !== null && parsed === undefined) {
      throw this.#corrupt(record, "JSON", shown(value));
    }
    if (key.kind === "position") {
      this.#putPosition(record, key, parsed);
      return;
    }
    const values = this.tables.get(key.table) ?? new Map<string, unknown>();
    this.tables.set(key.table, values);
    if (parsed === undefined) values.delete(key.key);
    else values.set(key.key, parsed);
  }

  #putPosition(
    record: StoredRecord,
    { topic, partition }: { readonly topic: string; readonly partition: number },
    next: unknown,
  ): void {
    if (next === undefined) {
      this.#positions.delete(record.key);
      return;
    }
    if (typeof next !== "number" || !Number.isSafeInteger(next) || next < 0) {
      throw this.#corrupt(record, "an offset", shown(next));
    }
    this.#positions.set(record.key, { topic: topic as Topic, partition, next });
  }

  #corrupt({ offset }: StoredRecord, expected: string, found: string): ServiceError {
    const place = `${this.#place}/${offset}`;
    return new ServiceError({ code: "state-corrupt", place, expected, found });
  }
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
