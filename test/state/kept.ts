/**
 * @module States for tests: one that can be crashed and opened again within one turn, and those
 * whose commits go wrong.
 */

import { openMemoryState } from "../../src/state/memory.ts";
import { type Position, StageState } from "../../src/state/stage-state.ts";
import type { State, StateOwner, StateStore } from "../../src/state/state.ts";
import { replacing } from "../contract/replacing.ts";

/** What was committed, and the State over it. */
export class KeptState {
  readonly #tables = new Map<string, Map<string, string>>();
  readonly #positions = new Map<string, Position>();
  #state: State;

  constructor() {
    this.#state = this.#open();
  }

  get state(): State {
    return this.#state;
  }

  /** The State as a crash and a new start would find it: what was not committed is gone. */
  reopen(): State {
    this.#state = this.#open();
    return this.#state;
  }

  #open(): State {
    const tables = new Map(
      [...this.#tables].map(([name, rows]) => {
        const read = [...rows].map(([key, text]): [string, unknown] => [key, JSON.parse(text)]);
        return [name, new Map(read)];
      }),
    );
    return new StageState({ tables, positions: [...this.#positions.values()] }, (changes) => {
      for (const [name, rows] of changes.tables) {
        const kept = this.#tables.get(name) ?? new Map<string, string>();
        this.#tables.set(name, kept);
        for (const [key, value] of rows) {
          if (value === undefined) kept.delete(key);
          else kept.set(key, JSON.stringify(value));
        }
      }
      for (const position of changes.positions) {
        this.#positions.set(`${position.topic}/${position.partition}`, position);
      }
    });
  }
}

/** `states` whose commits run through `around`: what it does not call is not saved. */
export function commitsThrough(
  around: (commit: () => Promise<void>, owner: StateOwner) => Promise<void>,
  states: StateStore = openMemoryState(),
): StateStore {
  return replacing(states, {
    open: async (owner) => {
      const state = await states.open(owner);
      return replacing(state, { commit: () => around(() => state.commit(), owner) });
    },
  });
}
