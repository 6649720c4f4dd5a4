import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LeaseFact } from "../../src/enrichment/enrichment.ts";
import { createLeases, type Leases } from "../../src/enrichment/leases.ts";
import { emptyState } from "../../src/state/memory.ts";
import { at } from "./fixture.ts";

const address = "10.1.0.9";

function fresh(addressesMax = 100): Leases {
  return createLeases(emptyState(), addressesMax);
}

function lease(pod: string, seconds: number, where = address): LeaseFact {
  return { run: `lease:${where}`, occurredAt: at(seconds), lease: { address: where, pod } };
}

describe("the pods of an address", () => {
  it("are the last seen before the moment, then the next", () => {
    const leases = fresh();
    for (const [pod, seconds] of [
      ["b", 100],
      ["a", 0],
      ["c", 200],
      ["c", 300],
    ] as const) {
      leases.learn(lease(pod, seconds));
    }
    const cases: [number, readonly string[]][] = [
      [-1, ["a"]],
      [0, ["a", "b"]],
      [99.9, ["a", "b"]],
      [100, ["b", "c"]],
      [250, ["c"]],
      [9_000, ["c"]],
    ];
    for (const [seconds, pods] of cases) {
      expect([seconds, leases.podsAt("::ffff:10.1.0.9", at(seconds))]).toEqual([seconds, pods]);
    }
    expect(leases.podsAt("10.1.0.10", at(0))).toEqual([]);
  });

  it("are the same in whatever order they are told, and however often", () => {
    const facts = Array.from({ length: 24 }, (_, n) => lease(`pod-${n % 7}`, (n * 37) % 100));
    const every = { minLength: facts.length };
    const answers = (order: readonly LeaseFact[]): unknown => {
      const leases = fresh();
      for (const fact of order) leases.learn(fact);
      return Array.from({ length: 110 }, (_, n) => leases.podsAt(address, at(n)));
    };
    const expected = answers(facts);
    const repeated = fc.array(fc.constantFrom(...facts), { maxLength: 20 });
    fc.assert(
      fc.property(fc.shuffledSubarray(facts, every), repeated, (order, again) => {
        expect(answers([...order, ...again])).toEqual(expected);
        expect(answers([...again, ...order])).toEqual(expected);
      }),
      { seed: 61, numRuns: 100 },
    );
  });

  it("are forgotten with the address that was told of longest ago", () => {
    const leases = fresh(10);
    for (let n = 0; n < 11; n += 1) leases.learn(lease("a", n, `10.0.0.${n}`));
    expect(leases.evicted).toBe(2);
    const known = [0, 1, 2, 10].map((n) => leases.podsAt(`10.0.0.${n}`, at(99)).length);
    expect(known).toEqual([0, 0, 1, 1]);
  });
});
