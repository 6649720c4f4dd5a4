// A commit saves a bounded number of changes: what a watermark brings about is done in steps.

import { describe, expect, it } from "vitest";
import { Bench, type CorrelationText, hour, rulesetOf } from "./bench-rule.ts";

const counted: CorrelationText = {
  type: "event_count",
  rules: ["a"],
  timespan: "10m",
  groupBy: ["user.name"],
  condition: ["lt: 3"],
};
const ids = (shown: readonly { readonly id: string }[]) => shown.map(({ id }) => id).sort();

function filled(groups: number): Bench {
  const bench = new Bench(rulesetOf(counted));
  for (let index = 0; index < groups; index += 1) {
    bench.push({
      action: "a",
      at: index,
      id: `${index}`,
      fields: { "user.name": `user-${index}` },
    });
  }
  return bench;
}

describe("very many groups that are due at once", () => {
  it("are closed in steps, each once, also over a restart", () => {
    const bench = filled(5_000);
    const shown = [...bench.advance(9 * hour)];
    expect(shown.length).toBeLessThanOrEqual(500);
    for (let step = 0; bench.correlation.isBehind; step += 1) {
      expect(step).toBeLessThan(200);
      if (step % 10 === 0) bench.restart();
      shown.push(...bench.goOn());
    }
    expect([new Set(ids(shown)).size, shown.length]).toEqual([5_000, 5_000]);
    expect([bench.rows("correlation.groups"), bench.rows("correlation.windows")]).toEqual([0, 0]);
  });

  it("do not go further with a batch of watermarks, and a group that is touched is brought up", () => {
    const bench = filled(1_000);
    bench.advance(9 * hour);
    const rows = bench.rows("correlation.groups");
    expect([bench.advance(9 * hour + 1), bench.rows("correlation.groups")]).toEqual([[], rows]);
    const last = { action: "a", at: 9 * hour, id: "new", fields: { "user.name": "user-999" } };
    // What its window of before came to is said before the new match opens another.
    expect(bench.push(last).map(({ eventCount }) => eventCount)).toEqual([1]);
    expect(bench.rows("correlation.groups")).toBe(rows);
  });

  it("let go of a full group in steps", () => {
    const bench = new Bench(rulesetOf({ ...counted, condition: ["gte: 100000"] }));
    for (let index = 0; index < 12_000; index += 1) {
      bench.push({ action: "a", at: index, id: `${index}` });
    }
    bench.advance(9 * hour);
    expect(bench.rows("correlation.windows")).toBe(7_000);
    while (bench.correlation.isBehind) bench.goOn();
    expect([bench.rows("correlation.groups"), bench.rows("correlation.windows")]).toEqual([0, 0]);
  });
});
