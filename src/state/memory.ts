/**
 * @module States in memory, for `replay` and tests: the same promises as long as the store object
 * lives.
 */

import { ServiceError } from "../error.ts";
import { type Position, StageState, type StateChanges, type StateContents } from "./stage-state.ts";
import {
  closedState,
  commitChangesMax,
  ownerName,
  type State,
  type StateOwner,
  type StateStore,
  takenState,
} from "./state.ts";

export function openMemoryState(): StateStore {
  return new MemoryState();
}

/** A State of its own that no store holds: for one rule test. Its commits keep what they commit. */
export function emptyState(): State {
  return new StageState({ tables: new Map(), positions: [] }, () => undefined);
}

interface Kept {
  readonly tables: Map<string, Map<string, unknown>>;
  readonly positions: Map<string, Position>;
  /** Counts `open`: only the newest State of an owner may commit. */
  opened: number;
}

class MemoryState implements StateStore {
  readonly #states = new Map<string, Kept>();
  #closed = false;

  async open(owner: StateOwner): Promise<State> {
    const name = ownerName(owner);
    if (this.#closed) throw closedState(place);
    let kept = this.#states.get(name);
    if (kept === undefined) {
      kept = { tables: new Map(), positions: new Map(), opened: 0 };
      this.#states.set(name, kept);
    }
    const own = kept;
    const opened = ++own.opened;
    return new StageState(contentsOf(own), (changes) => {
      if (this.#closed) throw closedState(place);
      if (own.opened !== opened) throw takenState(place, owner);
      checkSize(changes, name);
      keep(own, changes);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
  }
}

const place = "memory state";

/** As strict as the strictest store, so that what is too much for that shows here. */
function checkSize({ tables, positions }: StateChanges, owner: string): void {
  let count = positions.length;
  for (const changed of tables.values()) count += changed.size;
  if (count <= commitChangesMax) return;
  const expected = `at most ${commitChangesMax} changes in a commit`;
  const problem = { place: `${place} of ${owner}`, expected, found: `${count}` };
  throw new ServiceError({ code: "state-too-large", ...problem });
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
