/** @module Opens the file of the embedded bus: locks it, checks it, makes what is missing. */

import { statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { ServiceError } from "../error.ts";
import { topics } from "./bus.ts";
import { guarded } from "./embedded-error.ts";
import { walDamage } from "./embedded-wal.ts";
import { headerBytes } from "./frame.ts";

export interface BusFileSettings {
  readonly path: string;
  /** Of each topic; what the file has, or 4 for a new file, when absent. */
  readonly partitions: number | undefined;
  /** The most bytes of the file; an append beyond is `intake-full`. */
  readonly fileBytesMax: number | undefined;
  /**
   * Files up to this size are read through at opening; larger ones are checked as they are read.
   */
  readonly checkBytesMax: number | undefined;
}

const partitionsDefault = 4;
const partitionsMax = 1024;
const checkBytesMaxDefault = 1024 ** 3;
const pageBytes = 16 * 1024;
const checkpointBytes = 8 * 1024 * 1024;
const formatId = 0x70777362; // "pwsb"
/** 1 and 2 had partitions that nobody reads any more. */
const formatVersion = 3;

/** The bytes of a record as it is framed, in SQL. */
export const sizeOfRecord: string = `length(key) + length(value) + ${headerBytes}`;

/** Throws ServiceError: bus-corrupt, bus-in-use, bus-unavailable, or config-invalid. */
export function openDatabase(settings: BusFileSettings): { db: DatabaseSync; partitions: number } {
  return guarded(settings.path, () => {
    const db = new DatabaseSync(settings.path, { timeout: 500 });
    try {
      return { db, partitions: prepare(db, settings) };
    } catch (error) {
      db.close();
      throw error;
    }
  });
}

function prepare(db: DatabaseSync, settings: BusFileSettings): number {
  const { path } = settings;
  // Exclusive before the first read: no second process, and no shared-memory file.
  db.exec(`PRAGMA page_size = ${pageBytes}`);
  db.exec("PRAGMA locking_mode = EXCLUSIVE");
  db.exec("PRAGMA journal_mode = WAL");
  db.exec("PRAGMA synchronous = FULL");
  db.exec("PRAGMA cell_size_check = ON");
  db.exec(`PRAGMA wal_autocheckpoint = ${checkpointBytes / pageBytes}`);
  db.exec(`PRAGMA journal_size_limit = ${4 * checkpointBytes}`);
  if (settings.fileBytesMax !== undefined) {
    db.exec(
      `PRAGMA max_page_count = ${Math.max(1, Math.floor(settings.fileBytesMax / pageBytes))}`,
    );
  }
  db.exec("BEGIN IMMEDIATE"); // takes the lock now, not at the first append
  db.exec("COMMIT");
  const damage = walDamage(`${path}-wal`);
  if (damage !== undefined) {
    throw corrupt(path, "a sound write-ahead log", damage);
  }
  if (statSync(path).size <= (settings.checkBytesMax ?? checkBytesMaxDefault)) check(db, path);
  return layOut(db, settings);
}

function check(db: DatabaseSync, path: string): void {
  const rows = db.prepare("PRAGMA quick_check(1)").all();
  const found = rows[0]?.["quick_check"];
  if (found === "ok") return;
  throw corrupt(path, "a sound database", String(found));
}

/** Creates what is not there yet; the answer is the number of partitions. */
function layOut(db: DatabaseSync, settings: BusFileSettings): number {
  const { path } = settings;
  const id = pragma(db, "application_id");
  const version = pragma(db, "user_version");
  const fresh = db.prepare("SELECT 1 FROM sqlite_schema").get() === undefined;
  if (!fresh && (id !== formatId || version !== formatVersion)) {
    const isOlder = id === formatId && Number(version) < formatVersion;
    // Read as it is, it would leave records behind without a word.
    const hint = isOlder ? ": drain it with the version that made it, or begin a new dataDir" : "";
    const expected = `a bus file of format ${formatVersion}${hint}`;
    throw corrupt(path, expected, `application ${id}, format ${version}`);
  }
  // A service must come up again on a full disk: what is whole is opened without a write.
  if (!fresh && isWhole(db)) return countOf(db, settings);
  db.exec("BEGIN IMMEDIATE");
  db.exec(`PRAGMA application_id = ${formatId}`);
  db.exec(`PRAGMA user_version = ${formatVersion}`);
  db.exec(
    `CREATE TABLE IF NOT EXISTS streams (topic TEXT NOT NULL, partition INTEGER NOT NULL,
        first INTEGER NOT NULL, next INTEGER NOT NULL, bytes INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (topic, partition)) WITHOUT ROWID`,
  );
  const count = countOf(db, settings);
  const add = db.prepare("INSERT OR IGNORE INTO streams VALUES (?, ?, 0, 0, 0)");
  for (const topic of topics) {
    for (let partition = 0; partition < count; partition++) {
      // A table that is gone is not made anew: its records would be gone without a word.
      if (add.run(topic, partition).changes === 0) continue;
      db.exec(
        `CREATE TABLE "${topic}/${partition}" (offset INTEGER PRIMARY KEY,
            appended_at INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
            crc32 INTEGER NOT NULL)`,
      );
    }
  }
  db.exec("COMMIT");
  return count;
}

/** Whether every partition of every topic is there. */
function isWhole(db: DatabaseSync): boolean {
  const row = db.prepare("SELECT count(*) AS rows, max(partition) + 1 AS count FROM streams").get();
  return row?.["count"] !== null && row?.["rows"] === topics.length * Number(row?.["count"]);
}

/** The number of partitions: as stored, else as asked for. */
function countOf(db: DatabaseSync, { path, partitions }: BusFileSettings): number {
  const stored = db.prepare("SELECT max(partition) + 1 AS count FROM streams").get()?.["count"];
  const count = stored ?? partitions ?? partitionsDefault;
  if (!Number.isInteger(count) || Number(count) < 1 || Number(count) > partitionsMax) {
    const code = stored === null ? "config-invalid" : "bus-corrupt";
    const expected = `1 to ${partitionsMax} partitions`;
    throw new ServiceError({ code, place: path, expected, found: String(count) });
  }
  if (partitions !== undefined && partitions !== count) {
    // Another number would send new records of a key to another partition than its old ones.
    const [expected, found] = [`${count} partitions, as stored`, String(partitions)];
    throw new ServiceError({ code: "config-invalid", place: path, expected, found });
  }
  return Number(count);
}

function pragma(db: DatabaseSync, name: string): unknown {
  return db.prepare(`PRAGMA ${name}`).get()?.[name];
}

/** What is said of a place in the file that does not hold what was written. */
export function corrupt(place: string, expected: string, found: string): ServiceError {
  return new ServiceError({ code: "bus-corrupt", place, expected, found });
}
