/**
 * @module States in memory, for `replay` and tests: the same promises as long as the store object
 * lives.
 */

import { ServiceError } from "../error.ts";
import { type Position, StageState, type StateChanges, type StateContents } from "./stage-state.ts";
import type { State, StateStore } from "./state.ts";

/**
 * `open` of a stage gives what it last committed; the State opened before for it can no longer
 * commit.
 */
export function openMemoryState(): StateStore {
  return new MemoryState();
}

interface Kept {
  readonly tables: Map<string, Map<string, unknown>>;
  readonly positions: Map<string, Position>;
  /** Counts `open`: only the newest State of the stage may commit. */
  opened: number;
}

class MemoryState implements StateStore {
  readonly #stages = new Map<string, Kept>();
  #closed = false;

  open(stage: string): State {
    if (this.#closed) throw closed("an open state");
    let kept = this.#stages.get(stage);
    if (kept === undefined) {
      kept = { tables: new Map(), positions: new Map(), opened: 0 };
      this.#stages.set(stage, kept);
    }
    const own = kept;
    const opened = ++own.opened;
    return new StageState(contentsOf(own), (changes) => {
      if (this.#closed || own.opened !== opened) throw closed(`the newest opening of ${stage}`);
      keep(own, changes);
    });
  }

  close(): void {
    this.#closed = true;
  }
}

function closed(expected: string): ServiceError {
  const found = "a closed one";
  return new ServiceError({ code: "state-unavailable", place: "memory state", expected, found });
}

/** Through JSON, so that a value JSON cannot hold shows here as it would with a file. */
function contentsOf(kept: Kept): StateContents {
  const tables = new Map<string, Map<string, unknown>>();
  for (const [name, values] of kept.tables) {
    const copies = [...values].map(([key, value]) => [key, JSON.parse(JSON.stringify(value))]);
    tables.set(name, new Map(copies as [string, unknown][]));
  }
  return { tables, positions: [...kept.positions.values()] };
}

function keep(kept: Kept, changes: StateChanges): void {
  for (const [name, changed] of changes.tables) {
    const values = kept.tables.get(name) ?? new Map<string, unknown>();
    kept.tables.set(name, values);
    for (const [key, value] of changed) {
      if (value === undefined) values.delete(key);
      else values.set(key, value);
    }
  }
  for (const position of changes.positions) {
    kept.positions.set(`${position.topic}/${position.partition}`, position);
  }
}
