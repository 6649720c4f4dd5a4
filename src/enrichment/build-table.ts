/**
 * @module The build table: what the feeds tell of runs, jobs, pull requests and pods' addresses,
 * whole, once for a process.
 */

import type { EpochMs } from "../clock.ts";
import type { State } from "../state/state.ts";
import type { BuildFact } from "./build-fact.ts";
import { addressChangeKey, Changes } from "./changes.ts";
import type { RunnerInventory } from "./inventory.ts";
import { createLeases } from "./leases.ts";
import { RunBook } from "./run-book.ts";
import type { TableView } from "./table-view.ts";
import { Told } from "./told.ts";

/**
 * The builds (runs, jobs, pull requests, leases, what the feeds tell) of the whole company; one for
 * a process, shared by all its joiners. Below the bounds it is a function of the facts: neither
 * their order nor their number matters.
 */
export interface BuildTable {
  /**
   * Takes a fact in; answers what changed, for `changed` of every joiner over this table. The same
   * fact again changes nothing. `now`: when the fact was told, the record's time on the bus; it
   * says only for how long the feed is taken to tell such things.
   */
  learn(fact: BuildFact, now: EpochMs): Changes;
  /** What joiners look things up in. */
  readonly view: TableView;
  /** Sizes now, and what happened at the bounds since the table was made. */
  counts(): BuildTableCounts;
}

/** `…Evicted`: forgotten because a bound was reached. */
export interface BuildTableCounts {
  /** Runs, jobs and prepared entries. */
  readonly builds: number;
  readonly buildsEvicted: number;
  readonly pullsEvicted: number;
  readonly leasesEvicted: number;
}

export interface BuildTableSettings {
  /**
   * Tables of this state are this table's, beside those of a joiner; the caller commits. After its
   * rollback, if it is ever rolled back, make a new build table.
   */
  readonly state: State;
  readonly inventory: RunnerInventory;
  /** The most runs, jobs and prepared entries kept together; as many pull requests, addresses. */
  readonly buildsMax?: number;
}

/** The table kept in `settings.state`, as it was at the last commit. */
export function createBuildTable(settings: BuildTableSettings): BuildTable {
  const { state, inventory, buildsMax = 50_000 } = settings;
  const book = new RunBook(state, buildsMax);
  const leases = createLeases(state, buildsMax);
  const told = new Told(state);
  return {
    view: { book, inventory, leases, told },
    learn(fact, now) {
      if (fact.lease === undefined) {
        told.learn(fact, now);
        return book.learn(fact);
      }
      const changes = new Changes();
      if (leases.learn(fact)) changes.keys.add(addressChangeKey(fact.lease.address));
      return changes;
    },
    counts() {
      return {
        builds: book.size,
        buildsEvicted: book.evicted,
        pullsEvicted: book.pullsEvicted,
        leasesEvicted: leases.evicted,
      };
    },
  };
}
