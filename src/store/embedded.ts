/**
 * @module The store in a SQLite file: documents as JSON, their text in an FTS5 index. May share the
 * file with other tables of the installation; its own begin with `store_`.
 */

import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Alert, Incident } from "../alert/alert.ts";
import { ServiceError, shown, UnavailableError } from "../error.ts";
import type { Event } from "../event/event.ts";
import type { DeliveryStatus } from "../sink/sink.ts";
import { readCursor, writeCursor } from "./cursor.ts";
import { searchTextOf } from "./search-text.ts";
import type { Page, Store, StoreDocument } from "./store.ts";

export interface EmbeddedStoreSettings {
  /** The file, made when absent; its folder is not. `:memory:` keeps nothing on disk. */
  readonly path: string;
  /** How long a call waits for another connection to the file; default 5 s. */
  readonly busyTimeoutMs?: number;
}

/**
 * Opens or makes the store. Its calls reject with UnavailableError while the file is locked or the
 * disk is full, and with ServiceError (`store-corrupt`) when the file is damaged; opening throws
 * the same.
 */
export function openEmbeddedStore(settings: EmbeddedStoreSettings): Store {
  return new EmbeddedStore(settings);
}

/** A store for tests and for replays: gone when closed. */
export function openMemoryStore(): Store {
  return new EmbeddedStore({ path: ":memory:" });
}

const pageMax = 200;
/** Merges are followed at most so far; a longer chain would be a circle. */
const hopsMax = 100;

// `sort_at` is lastSeen of an incident or alert, occurredAt of an event, promisedAt of a delivery.
// `store_text` has the row's `seq` as its rowid.
const schema = `
  CREATE TABLE IF NOT EXISTS store_documents (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL,
    sort_at INTEGER NOT NULL, incident TEXT, body TEXT NOT NULL, UNIQUE (kind, id)
  );
  CREATE INDEX IF NOT EXISTS store_latest ON store_documents (kind, sort_at DESC, id DESC);
  CREATE INDEX IF NOT EXISTS store_of_incident ON store_documents (incident)
    WHERE incident IS NOT NULL;
  CREATE TABLE IF NOT EXISTS store_merged (
    id TEXT PRIMARY KEY, into_id TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE VIRTUAL TABLE IF NOT EXISTS store_text USING fts5 (
    title, reason, repository, rule, content = '', contentless_delete = 1
  );
`;

class EmbeddedStore implements Store {
  readonly #path: string;
  readonly #db: DatabaseSync;
  readonly #statements: Statements;

  constructor({ path, busyTimeoutMs: timeout = 5_000 }: EmbeddedStoreSettings) {
    this.#path = path;
    this.#db = this.#guard(() => new DatabaseSync(path, { timeout }));
    try {
      this.#statements = this.#guard(() => {
        this.#db.exec("PRAGMA journal_mode = WAL");
        this.#db.exec("PRAGMA synchronous = NORMAL");
        this.#db.exec(schema);
        return prepare(this.#db);
      });
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  async write(documents: readonly StoreDocument[]): Promise<void> {
    if (documents.length === 0) return;
    this.#guard(() => {
      this.#db.exec("BEGIN IMMEDIATE");
      try {
        for (const document of documents) this.#writeOne(document);
        this.#db.exec("COMMIT");
      } catch (error) {
        if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
        throw error;
      }
    });
  }

  async incident(id: string): Promise<Incident | undefined> {
    return this.#guard(() => {
      let at = id;
      for (let hop = 0; hop < hopsMax; hop++) {
        const into = this.#statements.mergedInto.get(at)?.["into_id"];
        if (into === undefined) return this.#body<Incident>("incident", at);
        at = String(into);
      }
      return undefined;
    });
  }

  async incidents(query: {
    readonly limit: number;
    readonly cursor?: string;
  }): Promise<Page<Incident>> {
    const limit = Math.min(pageMax, Math.max(1, Math.trunc(query.limit) || 1));
    const after = query.cursor === undefined ? undefined : readCursor(query.cursor);
    return this.#guard(() => {
      const { latest, latestAfter } = this.#statements;
      // One more than asked for tells whether there is a next page.
      const rows =
        after === undefined
          ? latest.all(limit + 1)
          : latestAfter.all(after.sortAt, after.sortAt, after.id, limit + 1);
      const kept = rows.slice(0, limit);
      const items = kept.map((row) => this.#parse<Incident>(row["body"]));
      const last = kept.at(-1);
      if (rows.length <= limit || last === undefined) return { items };
      const cursor = writeCursor({ sortAt: Number(last["sort_at"]), id: String(last["id"]) });
      return { items, cursor };
    });
  }

  async alert(id: string): Promise<Alert | undefined> {
    return this.#guard(() => this.#body<Alert>("alert", id));
  }

  async event(id: string): Promise<Event | undefined> {
    return this.#guard(() => this.#body<Event>("event", id));
  }

  async deliveries(incidentIds: readonly string[]): Promise<readonly DeliveryStatus[]> {
    return this.#guard(() => {
      const rows = this.#statements.deliveries.all(JSON.stringify(incidentIds));
      return rows.map((row) => this.#parse<DeliveryStatus>(row["body"]));
    });
  }

  async close(): Promise<void> {
    if (this.#db.isOpen) this.#db.close();
  }

  #writeOne(document: StoreDocument): void {
    const { put, merge, mergedInto, putText, removeText } = this.#statements;
    const { kind, id, revision, body } = document;
    // What was merged away stays away, whatever arrives late.
    if (kind === "incident" && mergedInto.get(id) !== undefined) return;
    const incident = kind === "alert" || kind === "delivery" ? body.incidentId : null;
    const sortAt = sortAtOf(document);
    const row = put.get(kind, id, revision, sortAt, incident, JSON.stringify(body));
    if (row === undefined) return;
    const text = searchTextOf(document);
    if (text !== undefined) {
      const seq = row["seq"] as number;
      removeText.run(seq);
      putText.run(seq, text.title, text.reason, text.repository, text.rule);
    }
    if (kind !== "incident") return;
    for (const mergedId of body.mergedIds) {
      if (mergedId === id) continue;
      merge.run(mergedId, id);
      this.#remove("incident", mergedId);
    }
  }

  #remove(kind: StoreDocument["kind"], id: string): void {
    const row = this.#statements.remove.get(kind, id);
    if (row !== undefined) this.#statements.removeText.run(row["seq"] as number);
  }

  #body<T>(kind: StoreDocument["kind"], id: string): T | undefined {
    const row = this.#statements.find.get(kind, id);
    return row === undefined ? undefined : this.#parse<T>(row["body"]);
  }

  /** Only this class writes bodies, so a body that parses has the shape of its kind. */
  #parse<T>(body: unknown): T {
    try {
      return JSON.parse(String(body)) as T;
    } catch (error) {
      throw this.#corrupt("a document as JSON", shown(body), error);
    }
  }

  #corrupt(expected: string, found: string, cause: unknown): ServiceError {
    const problem = { code: "store-corrupt", place: this.#path, expected, found } as const;
    return new ServiceError(problem, { cause });
  }

  /** Runs `act`; what SQLite throws becomes an error that says whether trying again may help. */
  #guard<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const { code, errcode } = error as { code?: unknown; errcode?: unknown };
      if (code === "ERR_INVALID_STATE") {
        throw new UnavailableError("the store is closed", { cause: error });
      }
      if (code !== "ERR_SQLITE_ERROR") throw error;
      const primary = typeof errcode === "number" ? errcode & 0xff : undefined;
      // CORRUPT and NOTADB, https://sqlite.org/rescode.html
      if (primary === 11 || primary === 26) {
        throw this.#corrupt("a sound database", error.message, error);
      }
      throw new UnavailableError(`the store ${this.#path}: ${error.message}`, { cause: error });
    }
  }
}

function sortAtOf({ kind, body }: StoreDocument): number {
  if (kind === "event") return body.occurredAt;
  return kind === "delivery" ? body.promisedAt : body.lastSeen;
}

interface Statements {
  readonly deliveries: StatementSync;
  readonly put: StatementSync;
  readonly find: StatementSync;
  readonly remove: StatementSync;
  readonly merge: StatementSync;
  readonly mergedInto: StatementSync;
  readonly putText: StatementSync;
  readonly removeText: StatementSync;
  readonly latest: StatementSync;
  readonly latestAfter: StatementSync;
}

function prepare(db: DatabaseSync): Statements {
  const latest = "SELECT id, sort_at, body FROM store_documents WHERE kind = 'incident'";
  const order = "ORDER BY sort_at DESC, id DESC LIMIT ?";
  return {
    put: db.prepare(
      `INSERT INTO store_documents (kind, id, revision, sort_at, incident, body)
        VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (kind, id) DO UPDATE SET revision = excluded.revision,
          sort_at = excluded.sort_at, incident = excluded.incident, body = excluded.body
          WHERE excluded.revision > revision
        RETURNING seq`,
    ),
    find: db.prepare("SELECT body FROM store_documents WHERE kind = ? AND id = ?"),
    remove: db.prepare("DELETE FROM store_documents WHERE kind = ? AND id = ? RETURNING seq"),
    merge: db.prepare(
      `INSERT INTO store_merged VALUES (?, ?)
        ON CONFLICT DO UPDATE SET into_id = excluded.into_id`,
    ),
    deliveries: db.prepare(
      `SELECT body FROM store_documents
        WHERE kind = 'delivery' AND incident IN (SELECT value FROM json_each(?))
        ORDER BY sort_at, id LIMIT 1000`,
    ),
    mergedInto: db.prepare("SELECT into_id FROM store_merged WHERE id = ?"),
    putText: db.prepare(
      "INSERT INTO store_text (rowid, title, reason, repository, rule) VALUES (?, ?, ?, ?, ?)",
    ),
    removeText: db.prepare("DELETE FROM store_text WHERE rowid = ?"),
    latest: db.prepare(`${latest} ${order}`),
    latestAfter: db.prepare(`${latest} AND (sort_at < ? OR (sort_at = ? AND id < ?)) ${order}`),
  };
}
