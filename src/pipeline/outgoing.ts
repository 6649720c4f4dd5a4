/**
 * @module What a stage has decided and the bus does not have yet, kept in the stage's own State.
 *
 * A decision is saved with the positions it was made from, and only then appended. A crash in
 * between appends it again as it was decided; it is never decided a second time, perhaps from
 * records in another order and with another outcome.
 */

import type { Bus, NewRecord, Topic } from "../bus/bus.ts";
import { codeOf, shown, UnavailableError } from "../error.ts";
import type { State, StateTable } from "../state/state.ts";
import { oversizedRecord } from "./records.ts";

/** A record as the state keeps it: every topic's values are JSON text. */
interface KeptRecord {
  readonly topic: Topic;
  readonly key: string;
  readonly text: string;
  readonly partition?: number;
}

const digits = 12;

/** The rows of one stage, in the order they were decided. */
export class Outgoing {
  readonly #bus: Bus;
  readonly #table: StateTable<readonly KeptRecord[]>;
  #next: number;
  /** Appended by this process: a rollback may bring the row back, and not the need to append. */
  #appendedTo = "";

  constructor(state: State, bus: Bus) {
    this.#bus = bus;
    this.#table = state.table("outgoing");
    const last = [...this.#table.entries()].map(([key]) => Number(key)).sort((a, b) => b - a)[0];
    this.#next = (last ?? -1) + 1;
  }

  /** Batches decided and not known to be on the bus. */
  get size(): number {
    let count = 0;
    for (const [key] of this.#table.entries()) if (this.#waits(key)) count += 1;
    return count;
  }

  /** Takes effect with the caller's commit. */
  keep(records: readonly NewRecord[]): void {
    if (records.length === 0) return;
    const kept = records.map(({ value, ...rest }): KeptRecord => {
      return { ...rest, text: Buffer.from(value).toString("utf8") };
    });
    this.#table.put(String(this.#next++).padStart(digits, "0"), kept);
  }

  /**
   * Appends what was saved, oldest first, and forgets it with the next commit. Rejects with an
   * UnavailableError when the bus does not take it; the rest stays for the next call.
   */
  async flush(): Promise<void> {
    const rows = [...this.#table.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [key, kept] of rows) {
      if (this.#waits(key)) {
        await this.#append(kept.map(newRecord));
        this.#appendedTo = key;
      }
      this.#table.delete(key);
    }
  }

  #waits(key: string): boolean {
    return key > this.#appendedTo;
  }

  async #append(records: readonly NewRecord[]): Promise<void> {
    try {
      await this.#bus.append(records);
    } catch (error) {
      if (codeOf(error) !== "body-too-large") {
        throw new UnavailableError("the bus did not take a stage's records", { cause: error });
      }
      const [only, ...more] = records;
      if (only === undefined) return;
      // Never taken, however often it is tried: a dead letter says what it would have been.
      if (more.length === 0) await this.#append([oversizedRecord(only, shown(String(error), 300))]);
      else for (const record of records) await this.#append([record]);
    }
  }
}

function newRecord({ text, ...rest }: KeptRecord): NewRecord {
  return { ...rest, value: Buffer.from(text) };
}
