import { describe, expect, it } from "vitest";
import { realClock } from "../../src/clock.ts";
import { playWithKills } from "./kills.ts";

describe("kill -9 of serve, many times", () => {
  it.each([11, 12, 13])("seed %i: same alerts, nothing lost, one page", async (seed) => {
    const now = realClock.now();
    const undisturbed = await playWithKills(now, 0, seed);
    const killed = await playWithKills(now, 10, seed);
    expect(killed.pageIds).toHaveLength(1);
    expect(killed.incidents).toEqual(undisturbed.incidents);
    expect(killed.events).toBeGreaterThanOrEqual(killed.acknowledged);
  });
});
