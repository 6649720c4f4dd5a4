/**
 * @module States in a SQLite file: read whole when opened, changed keys written at each commit.
 *
 * Write-ahead log with synchronous=NORMAL: a crash of the machine may take back the last commits,
 * each of them whole with its positions; the records are then read from the bus again. Keys and
 * values are JSON text, so that any string comes back as it was, lone surrogates included.
 */

import { DatabaseSync, type StatementSync } from "node:sqlite";
import { type Topic, topics } from "../bus/bus.ts";
import { ServiceError, shown } from "../error.ts";
import { type Position, StageState, type StateChanges, type StateContents } from "./stage-state.ts";
import {
  closedState,
  ownerName,
  type State,
  type StateOwner,
  type StateStore,
  takenState,
} from "./state.ts";

export interface EmbeddedStateSettings {
  /**
   * The file; made when absent, its folder is not. Other tables of the installation may live in it.
   */
  readonly path: string;
  /** How long a commit waits for another holder of the file; 5 s when absent. */
  readonly busyMs?: number;
}

const busyMsDefault = 5_000;

/**
 * Opens or makes the file. Throws ServiceError: state-corrupt, or state-unavailable when the
 * file cannot be opened. A commit that throws state-unavailable (a full disk) has saved nothing and
 * may be tried again.
 */
export function openEmbeddedState(settings: EmbeddedStateSettings): StateStore {
  return new EmbeddedState(settings);
}

class EmbeddedState implements StateStore {
  readonly #path: string;
  readonly #db: DatabaseSync;
  readonly #put: StatementSync;
  readonly #delete: StatementSync;
  readonly #advance: StatementSync;
  /** Counts `open` by owner: only the newest State of an owner may commit. */
  readonly #opened = new Map<string, number>();

  constructor({ path, busyMs }: EmbeddedStateSettings) {
    this.#path = path;
    const timeout = busyMs ?? busyMsDefault;
    this.#db = this.#guard(() => new DatabaseSync(path, { timeout }));
    try {
      this.#guard(() => this.#prepare());
      this.#put = this.#db.prepare(
        `INSERT INTO state_entries VALUES (?, ?, ?, ?, ?)
          ON CONFLICT DO UPDATE SET value = excluded.value`,
      );
      this.#delete = this.#db.prepare(
        `DELETE FROM state_entries
          WHERE stage = ? AND partition = ? AND "table" = ? AND key = ?`,
      );
      this.#advance = this.#db.prepare(
        `INSERT INTO state_positions VALUES (?, ?, ?, ?, ?)
          ON CONFLICT DO UPDATE SET next = excluded.next`,
      );
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  async open(owner: StateOwner): Promise<State> {
    this.#checkOpen();
    const name = ownerName(owner);
    const opened = (this.#opened.get(name) ?? 0) + 1;
    this.#opened.set(name, opened);
    const contents = this.#guard(() => this.#load(owner));
    return new StageState(contents, (changes) => {
      this.#checkOpen();
      if (this.#opened.get(name) !== opened) throw takenState(this.#path, owner);
      this.#guard(() => this.#save(owner, changes));
    });
  }

  async close(): Promise<void> {
    if (this.#db.isOpen) this.#db.close();
  }

  #prepare(): void {
    const db = this.#db;
    db.exec("PRAGMA journal_mode = WAL");
    db.exec("PRAGMA synchronous = NORMAL");
    db.exec("PRAGMA cell_size_check = ON");
    const found = db.prepare("PRAGMA quick_check(1)").get()?.["quick_check"];
    if (found !== "ok") throw this.#corrupt(this.#path, "a sound database", String(found));
    this.#refuseOlder();
    db.exec(
      `CREATE TABLE IF NOT EXISTS state_entries (stage TEXT NOT NULL,
        partition INTEGER NOT NULL, "table" TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (stage, partition, "table", key)) WITHOUT ROWID`,
    );
    db.exec(
      `CREATE TABLE IF NOT EXISTS state_positions (stage TEXT NOT NULL,
        partition INTEGER NOT NULL, topic TEXT NOT NULL, topic_partition INTEGER NOT NULL,
        next INTEGER NOT NULL,
        PRIMARY KEY (stage, partition, topic, topic_partition)) WITHOUT ROWID`,
    );
  }

  /** Before states belonged to partitions; what it holds cannot be told apart by them. */
  #refuseOlder(): void {
    const columns = this.#db.prepare("SELECT name FROM pragma_table_info('state_entries')").all();
    if (columns.length === 0 || columns.some(({ name }) => name === "partition")) return;
    throw this.#corrupt(
      this.#path,
      "states by partition: drain it with the version that made it, or begin a new dataDir",
      "states by stage",
    );
  }

  #load(owner: StateOwner): StateContents {
    const tables = new Map<string, Map<string, unknown>>();
    const rows = this.#db.prepare(
      'SELECT "table" AS name, key, value FROM state_entries WHERE stage = ? AND partition = ?',
    );
    for (const { name, key, value } of rows.iterate(owner.stage, owner.partition)) {
      const place = `${this.#path}: ${ownerName(owner)}/${name}/${shown(key)}`;
      const keyText = this.#parse(place, key);
      if (typeof keyText !== "string") throw this.#corrupt(place, "a key", shown(key));
      const values = tables.get(String(name)) ?? new Map<string, unknown>();
      tables.set(String(name), values);
      values.set(keyText, this.#parse(place, value));
    }
    return { tables, positions: this.#positions(owner) };
  }

  #positions(owner: StateOwner): Position[] {
    const rows = this.#db.prepare(
      `SELECT topic, topic_partition AS partition, next FROM state_positions
        WHERE stage = ? AND partition = ?`,
    );
    const positions: Position[] = [];
    for (const { topic, partition, next } of rows.iterate(owner.stage, owner.partition)) {
      const place = `${this.#path}: position of ${ownerName(owner)} in ${topic}/${partition}`;
      // A topic that this version no longer has is left alone.
      if (!topics.includes(topic as Topic)) continue;
      if (typeof next !== "number" || !Number.isSafeInteger(next) || next < 0) {
        throw this.#corrupt(place, "an offset", shown(next));
      }
      positions.push({ topic: topic as Topic, partition: Number(partition), next });
    }
    return positions;
  }

  #save({ stage, partition }: StateOwner, changes: StateChanges): void {
    if (changes.tables.size === 0 && changes.positions.length === 0) return;
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      for (const [name, changed] of changes.tables) {
        for (const [key, value] of changed) {
          const keyText = JSON.stringify(key);
          if (value === undefined) this.#delete.run(stage, partition, name, keyText);
          else this.#put.run(stage, partition, name, keyText, JSON.stringify(value));
        }
      }
      for (const { topic, partition: read, next } of changes.positions) {
        this.#advance.run(stage, partition, topic, read, next);
      }
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  #parse(place: string, text: unknown): unknown {
    try {
      return JSON.parse(String(text));
    } catch {
      throw this.#corrupt(place, "JSON", shown(text));
    }
  }

  #checkOpen(): void {
    if (!this.#db.isOpen) throw closedState(this.#path);
  }

  #corrupt(place: string, expected: string, found: string): ServiceError {
    return new ServiceError({ code: "state-corrupt", place, expected, found });
  }

  /** Runs `act`; what SQLite throws becomes a ServiceError. */
  #guard<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      if (!(error instanceof Error) || error instanceof ServiceError) throw error;
      const { code, errcode } = error as { code?: unknown; errcode?: unknown };
      const primary = typeof errcode === "number" ? errcode & 0xff : undefined;
      const place = this.#path;
      const found = error.message;
      // CORRUPT and NOTADB, https://sqlite.org/rescode.html; or an integer that no number can hold.
      if (primary === 11 || primary === 26 || code === "ERR_OUT_OF_RANGE") {
        const problem = {
          code: "state-corrupt",
          place,
          expected: "a sound database",
          found,
        } as const;
        throw new ServiceError(problem, { cause: error });
      }
      if (code !== "ERR_SQLITE_ERROR") throw error;
      const expected = "a file that can be read and written";
      const problem = { code: "state-unavailable", place, expected, found } as const;
      throw new ServiceError(problem, { cause: error });
    }
  }
}
