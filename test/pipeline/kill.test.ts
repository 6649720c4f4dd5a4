import { describe, expect, it } from "vitest";
import { realClock } from "../../src/clock.ts";
import { playWithKills } from "./kills.ts";

describe("kill -9 of serve while the demo's feed comes in", () => {
  it("changes nothing: same alerts in the same incidents, no acknowledged event lost, one page", async () => {
    const now = realClock.now();
    const undisturbed = await playWithKills(now, 0, 1);
    const killed = await playWithKills(now, 4, 7);
    expect(undisturbed.pageIds).toHaveLength(1);
    expect(undisturbed.events).toBe(undisturbed.acknowledged);
    expect(killed.pageIds).toHaveLength(1);
    expect(killed.incidents).toEqual(undisturbed.incidents);
    // A post may be taken in and its answer lost with the process; the feed then sends it again.
    expect(killed.events).toBeGreaterThanOrEqual(killed.acknowledged);
    expect(killed.deadLetters).toBe(0);
  }, 120_000);
});
