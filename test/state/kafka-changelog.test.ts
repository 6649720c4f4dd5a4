import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { live, lives, LogModel, Oracle, settingsFor, Turns } from "./changelog-sim.ts";

const cuts = fc.array(fc.nat(200), { minLength: 5, maxLength: 30 });

describe("changelog", () => {
  it("restores a whole commit, and none before an acknowledged one, whatever happens", async () => {
    const total = { commits: 0, taken: 0 };
    const run = fc.asyncProperty(fc.nat(), lives, cuts, async (seed, plan, bounds) => {
      const turns = new Turns(seed);
      const log = new LogModel(turns);
      const oracle = new Oracle(log);
      const compacting = async () => {
        for (const bound of bounds) {
          for (let turn = 0; turn < 12; turn++) await turns.next();
          log.compact(bound);
        }
      };
      const running = plan.map((life) => live({ log, oracle, turns }, life));
      await turns.run(Promise.all([...running, compacting()]));
      // Whoever comes last, and after everything that could be compacted was.
      for (let round = 0; round < 3; round++) {
        await turns.run(oracle.open(settingsFor(log.seenBy({ crashed: false }, []), turns)));
        log.compact(log.length);
      }
      total.commits += oracle.commits;
      total.taken += oracle.taken;
    });
    await fc.assert(run, { seed: 20260311, numRuns: 300 });
    console.log(total);
    expect(total.commits).toBeGreaterThan(0);
  });
});
