/** @module What a joiner looks up in the build table. */

import type { RunnerInventory } from "./inventory.ts";
import type { Leases } from "./leases.ts";
import type { RunBook } from "./run-book.ts";
import type { Told } from "./told.ts";

/** The parts of the table. A joiner reads them only: facts go through the table. */
export interface TableView {
  readonly book: Omit<RunBook, "learn">;
  readonly inventory: RunnerInventory;
  readonly leases: Omit<Leases, "learn">;
  readonly told: Omit<Told, "learn">;
}
