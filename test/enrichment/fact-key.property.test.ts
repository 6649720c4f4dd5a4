// A topic that keeps the last fact of each key tells the same as one that keeps all.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type BuildFact,
  createBuildTable,
  createInventory,
  factKey,
} from "../../src/enrichment/enrichment.ts";
import { emptyState } from "../../src/state/memory.ts";
import { told } from "./day.ts";
import { at, falco, pullEvent } from "./fixture.ts";
import { Task } from "./task.ts";

const inventory = createInventory([]);

function freshTask(): Task {
  return new Task({ state: emptyState(), inventory });
}

const sightings = [
  falco(1, { pod: "r2", address: "10.0.0.7" }),
  falco(2, { pod: "r9", address: "10.0.0.7" }),
];
const plain = [...told, ...sightings, pullEvent(57, "a".repeat(40), { seconds: 90 })].flatMap(
  (one) => freshTask().factsOf(one),
);

/** Facts of the day, some with one thing told otherwise: what a contradictory topic holds. */
const facts: fc.Arbitrary<BuildFact> = fc
  .tuple(fc.constantFrom(...plain), fc.constantFrom(0, 0, -1, 1, 2, 3, 4))
  .map(([fact, how]) => {
    if (how === 1 || how === -1) return { ...fact, occurredAt: fact.occurredAt + how };
    if (fact.lease !== undefined) {
      return how === 2 ? { ...fact, lease: { ...fact.lease, pod: "r3" } } : fact;
    }
    if (how === 2) return { ...fact, status: "completed" };
    if (how === 3) return { ...fact, build: { ...fact.build, ref: "other" } };
    if (how === 4) return { ...fact, steps: [{ number: 1, name: "Set up job" }] };
    return fact;
  });

function tableOf(learned: readonly BuildFact[]): unknown {
  const state = emptyState();
  const builds = createBuildTable({ state, inventory });
  for (const fact of learned) builds.learn(fact, at(0));
  return ["runs", "jobs", "prepared", "pulls", "leases"].map((name) => {
    return [...state.table(name).entries()].sort(([a], [b]) => (a < b ? -1 : 1));
  });
}

function compacted(topic: readonly BuildFact[]): readonly BuildFact[] {
  const last = new Map<string, BuildFact>();
  for (const fact of topic) {
    const key = factKey(fact);
    last.delete(key);
    last.set(key, fact);
  }
  return [...last.values()];
}

describe("a fact's key", () => {
  it("lets a topic keep only the last of equal ones", () => {
    let dropped = 0;
    fc.assert(
      fc.property(fc.array(facts, { minLength: 60, maxLength: 120 }), (topic) => {
        const kept = compacted(topic);
        dropped += topic.length - kept.length;
        expect(tableOf(kept)).toEqual(tableOf(topic));
      }),
      { seed: 71, numRuns: 200 },
    );
    expect(dropped).toBeGreaterThan(1_000);
  });

  it("is the same exactly for facts that say the same", () => {
    fc.assert(
      fc.property(facts, facts, (one, other) => {
        const same = JSON.stringify(one) === JSON.stringify(other);
        expect(factKey(one) === factKey(other)).toBe(same);
        expect(factKey(JSON.parse(JSON.stringify(one)) as BuildFact)).toBe(factKey(one));
      }),
      { seed: 72, numRuns: 2_000 },
    );
  });

  it("begins with its run and job, so that people find it", () => {
    const [fact] = plain.filter(({ job }) => job === "5001");
    expect(fact && factKey(fact)).toMatch(/^acme\/app#77\/1\|5001\|[0-9a-f]{24}$/);
  });
});
