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
import { ServiceError } from "../error.ts";

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

/** Every store takes this many changes in a commit, positions included; it may refuse more. */
export const commitChangesMax = 20_000;

/** The memory of one stage for one partition of its topic. */
export interface State {
  /** The same name gives the same table. V is trusted: only this stage writes it. */
  table<V>(name: string): StateTable<V>;
  /** Offset of the next record to apply; 0 when none was. */
  position(topic: Topic, partition: number): Offset;
  /** Takes effect at the next commit. */
  advance(topic: Topic, partition: number, next: Offset): void;
  /**
   * Saves every change since the last commit, and the positions, as one. Nothing may be changed
   * before it resolves. Rejects with state-unavailable when nothing was saved, and with
   * state-too-large when it never will be (see `commitChangesMax`): the changes stay for another
   * try or a rollback. Rejects with state-taken when the same state has been opened again since, by
   * this process or another one, or when nobody knows what was saved: this State must not be used
   * any more, and whoever still owns the partition opens it anew.
   */
  commit(): Promise<void>;
  /** Forgets every change since the last commit: for a batch that failed half-way. */
  rollback(): void;
}

/** What a State belongs to: `detect` and the partition of its topic that it remembers for. */
export interface StateOwner {
  readonly stage: string;
  readonly partition: number;
}

/** `detect/3` */
export function ownerName({ stage, partition }: StateOwner): string {
  return `${stage}/${partition}`;
}

/** What a closed store, and each State of it, answers. */
export function closedState(place: string): ServiceError {
  const problem = { place, expected: "an open state", found: "a closed one" };
  return new ServiceError({ code: "state-unavailable", ...problem });
}

/** Said to a State whose owner has been opened again since, in the same store. */
export function takenState(place: string, owner: StateOwner): ServiceError {
  const expected = `the newest opening of ${ownerName(owner)}`;
  return new ServiceError({ code: "state-taken", place, expected, found: "an older one" });
}

/** Opens the states of one installation. */
export interface StateStore {
  /**
   * What was last committed for this owner, wherever that was. The State opened before for it can
   * no longer commit. Rejects with state-unavailable, state-corrupt, state-taken when somebody else
   * opens it at the same time, or config-invalid when there is no place for it.
   */
  open(owner: StateOwner): Promise<State>;
  close(): Promise<void>;
}
