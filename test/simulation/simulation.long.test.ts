import { describe, expect, it } from "vitest";
import { checkSeed, report } from "./check.ts";

const [firstSeed, seeds, seedsPerTest] = [1_001, 1_000, 100];
const firsts = Array.from({ length: seeds / seedsPerTest }, (_, index) => {
  return firstSeed + index * seedsPerTest;
});

describe("one page for each incident, whatever goes wrong", () => {
  it.each(firsts)(`seeds from %i, ${seedsPerTest} of them`, async (first) => {
    const failed: string[] = [];
    for (let seed = first; seed < first + seedsPerTest; seed += 1) {
      const verdict = await checkSeed(seed);
      if (verdict.failures.length > 0) failed.push(report(verdict));
    }
    expect(failed).toEqual([]);
  });
});
