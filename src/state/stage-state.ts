/**
 * @module The State of one stage, wherever it is kept: tables in memory, what changed since the
 * last commit, undo.
 */

import type { Offset, Topic } from "../bus/bus.ts";
import type { State, StateTable } from "./state.ts";

/**
 * What a commit saves: for each table the keys that changed, with their new value or undefined for
 * a deleted one.
 */
export interface StateChanges {
  readonly tables: ReadonlyMap<string, ReadonlyMap<string, unknown>>;
  readonly positions: readonly Position[];
}

export interface Position {
  readonly topic: Topic;
  readonly partition: number;
  readonly next: Offset;
}

export interface StateContents {
  readonly tables: ReadonlyMap<string, Map<string, unknown>>;
  readonly positions: readonly Position[];
}

class Table<V> implements StateTable<V> {
  readonly #values: Map<string, V>;
  /**
   * The value before the first change since the last commit, by changed key; undefined: there was
   * none.
   */
  readonly before = new Map<string, V | undefined>();

  constructor(values: Map<string, V>) {
    this.#values = values;
  }

  get size(): number {
    return this.#values.size;
  }

  get(key: string): V | undefined {
    return this.#values.get(key);
  }

  put(key: string, value: V): void {
    if (value === undefined) throw new TypeError(`undefined is not a value: ${key}`);
    this.#remember(key);
    this.#values.set(key, value);
  }

  delete(key: string): void {
    if (!this.#values.has(key)) return;
    this.#remember(key);
    this.#values.delete(key);
  }

  entries(): IterableIterator<[string, V]> {
    return this.#values.entries();
  }

  /** The value of the last commit; undefined: there was none. */
  committed(key: string): V | undefined {
    return this.before.has(key) ? this.before.get(key) : this.#values.get(key);
  }

  undo(): void {
    for (const [key, value] of this.before) {
      if (value === undefined) this.#values.delete(key);
      else this.#values.set(key, value);
    }
    this.before.clear();
  }

  changed(): Map<string, V | undefined> {
    const changes = new Map<string, V | undefined>();
    for (const [key, before] of this.before) {
      const value = this.#values.get(key);
      // Made and deleted again between two commits.
      if (value === undefined && before === undefined) continue;
      changes.set(key, value);
    }
    return changes;
  }

  #remember(key: string): void {
    if (!this.before.has(key)) this.before.set(key, this.#values.get(key));
  }
}

/**
 * `save` writes all of a commit, or rejects and writes nothing; the changes then stay for another
 * try or a rollback.
 */
export class StageState implements State {
  readonly #save: (changes: StateChanges) => Promise<void> | undefined | void;
  readonly #tables = new Map<string, Table<unknown>>();
  /** By `topic/partition`. */
  readonly #positions = new Map<string, Position>();
  readonly #advanced = new Map<string, Position>();

  constructor(contents: StateContents, save: (changes: StateChanges) => void | Promise<void>) {
    this.#save = save;
    for (const [name, values] of contents.tables) this.#tables.set(name, new Table(values));
    for (const position of contents.positions) this.#positions.set(placeOf(position), position);
  }

  table<V>(name: string): StateTable<V> {
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = new Table(new Map());
      this.#tables.set(name, table);
    }
    return table as StateTable<unknown> as StateTable<V>;
  }

  position(topic: Topic, partition: number): Offset {
    const place = placeOf({ topic, partition });
    return (this.#advanced.get(place) ?? this.#positions.get(place))?.next ?? 0;
  }

  advance(topic: Topic, partition: number, next: Offset): void {
    if (!Number.isSafeInteger(next) || next < 0) throw new RangeError(`no offset: ${next}`);
    // Records that come again do not take the position back.
    if (next <= this.position(topic, partition)) return;
    this.#advanced.set(placeOf({ topic, partition }), { topic, partition, next });
  }

  commit(): Promise<void> {
    const tables = new Map<string, ReadonlyMap<string, unknown>>();
    for (const [name, table] of this.#tables) {
      const changes = table.changed();
      if (changes.size > 0) tables.set(name, changes);
    }
    const positions = [...this.#advanced.values()];
    let saved: Promise<void> | void;
    try {
      saved = this.#save({ tables, positions });
    } catch (error) {
      return Promise.reject(error);
    }
    if (saved !== undefined) return saved.then(() => this.#saved(positions));
    // What is saved at once counts as saved at once.
    this.#saved(positions);
    return Promise.resolve();
  }

  #saved(positions: readonly Position[]): void {
    for (const table of this.#tables.values()) table.before.clear();
    for (const position of positions) this.#positions.set(placeOf(position), position);
    this.#advanced.clear();
  }

  /** A value as the last commit left it; undefined: there was none. */
  committed(table: string, key: string): unknown {
    return this.#tables.get(table)?.committed(key);
  }

  /** A position as the last commit left it; undefined: there was none. */
  committedPosition(topic: string, partition: number): Offset | undefined {
    return this.#positions.get(placeOf({ topic, partition }))?.next;
  }

  rollback(): void {
    for (const table of this.#tables.values()) table.undo();
    this.#advanced.clear();
  }
}

function placeOf({ topic, partition }: { topic: string; partition: number }): string {
  return `${topic}/${partition}`;
}
