/**
 * @module The State contract: what a stage remembers, saved together with the positions it has
 * read.
 *
 * A stage changes tables while it handles a batch; `commit` then saves all changes and all
 * positions in one transaction. After a crash both are as they were at the last commit, so a record
 * is either wholly applied or not at all, and an offset at or below the saved position is known to
 * have been applied.
 */

import type { Offset, Topic } from "../bus/bus.ts";

/**
 * A named map of plain JSON values, whole in memory. Values are never changed in place: put a new
 * one.
 */
export interface StateTable<V> {
  get(key: string): V | undefined;
  put(key: string, value: V): void;
  delete(key: string): void;
  /** In no particular order. */
  entries(): IterableIterator<[string, V]>;
  readonly size: number;
}

/** The memory of one stage. */
export interface State {
  /** The same name gives the same table. V is trusted: only this stage writes it. */
  table<V>(name: string): StateTable<V>;
  /** Offset of the next record to apply; 0 when none was. */
  position(topic: Topic, partition: number): Offset;
  /** Takes effect at the next commit. */
  advance(topic: Topic, partition: number, next: Offset): void;
  /** Saves every change since the last commit, and the positions, as one. */
  commit(): void;
  /** Forgets every change since the last commit: for a batch that failed half-way. */
  rollback(): void;
}

/** Opens the states of the stages of one installation. */
export interface StateStore {
  open(stage: string): State;
  close(): void;
}
