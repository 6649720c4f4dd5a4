// At its bound the table of builds lets go of what was told of longest ago, and of no more than it
// must: much at once would hold up the process.

import { describe, expect, it } from "vitest";
import {
  type BuildTable,
  createBuildTable,
  createInventory,
} from "../../src/enrichment/enrichment.ts";
import { emptyState } from "../../src/state/memory.ts";

const buildsMax = 100;

function tell(table: BuildTable, index: number, at: number): void {
  const build = { repository: "acme/shop", runId: String(index), runAttempt: 1 };
  table.learn({ run: `acme/shop#${index}/1`, occurredAt: at, status: "queued", build }, at);
}

function knows(table: BuildTable, index: number): boolean {
  return table.view.book.runsOfRunId(String(index)).length > 0;
}

function full(): BuildTable {
  const inventory = createInventory([]);
  const table = createBuildTable({ state: emptyState(), inventory, buildsMax });
  for (let index = 0; index < buildsMax; index += 1) tell(table, index, index);
  return table;
}

describe("a full table of builds", () => {
  it("forgets one run for each new one", () => {
    const table = full();
    for (let more = 0; more < 3 * buildsMax; more += 1) {
      tell(table, buildsMax + more, buildsMax + more);
      expect(table.counts()).toMatchObject({ builds: buildsMax, buildsEvicted: more + 1 });
      expect([knows(table, more), knows(table, more + 1)]).toEqual([false, true]);
    }
  });

  it("keeps an old run that was told of again, also when it was already among the next to go", () => {
    const table = full();
    tell(table, 1_000, 1_000);
    tell(table, 3, 1_001);
    for (let more = 0; more < 50; more += 1) tell(table, 2_000 + more, 1_002 + more);
    expect([knows(table, 2), knows(table, 3), knows(table, 4)]).toEqual([false, true, false]);
  });
});
