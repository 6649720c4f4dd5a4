/** @module A processor that was paused raises what one that ran on raises. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createProgress, createWatermarks } from "../../src/correlation/correlation.ts";
import { emptyState } from "../../src/state/memory.ts";
import {
  Bench,
  type CorrelationText,
  hour,
  minute,
  rulesetOf,
  second,
  start,
} from "./bench-rule.ts";

/** As the tasks of a service would have them. */
const latenessMs = 20 * minute;
const rulesets = [["gte: 3"], ["lt: 3"], ["eq: 2"], ["gte: 2", "lte: 3"], ["neq: 1"]].map(
  (condition) => {
    const rule: CorrelationText = { type: "event_count", rules: ["a"], timespan: "10m", condition };
    return rulesetOf(rule);
  },
);

interface Occurrence {
  readonly partition: number;
  /** Ms after the start. */
  readonly at: number;
  readonly arrived: number;
}

/** In the order of arrival; `delayMax` may be beyond the lateness allowed. */
function occurrences(delayMax: number, partitions: number): fc.Arbitrary<readonly Occurrence[]> {
  const one = fc.record({
    partition: fc.nat({ max: partitions - 1 }),
    gap: fc.oneof(fc.nat({ max: 90 * second }), fc.nat({ max: 15 * minute })),
    delay: fc.oneof(fc.nat({ max: 30 * second }), fc.nat({ max: delayMax })),
  });
  return fc.array(one, { maxLength: 25 }).map((all) => {
    let arrived = hour;
    return all.map(({ partition, gap, delay }) => {
      arrived += gap;
      return { partition, at: arrived - delay, arrived };
    });
  });
}

/** What one partition of `matches` carries: matches, and how far a partition of events has come. */
type Told =
  | { readonly source: number; readonly happening: { action: string; at: number; id: string } }
  | { readonly source: number; readonly watermark: number };

/** The detect task of one partition; `ticks` are times at which it looked at the clock. */
function detectTask(
  source: number,
  { all, ticks = [] }: { all: readonly Occurrence[]; ticks?: readonly number[] },
): { told: Told[]; late: number } {
  const progress = createProgress({
    state: emptyState(),
    ...{ latenessOf: () => latenessMs, idleMs: minute, stepMs: second },
  });
  const told: Told[] = [];
  let [last, late]: [number | undefined, number] = [undefined, 0];
  const tell = (): void => {
    const watermark = progress.watermark();
    if (watermark === undefined || watermark === last) return;
    last = watermark;
    told.push({ source, watermark });
  };
  const passes = (now: number): void => {
    progress.passed(start + now);
    tell();
  };
  let before = 0;
  for (const [index, { partition, at, arrived }] of all.entries()) {
    if (partition !== source) continue;
    for (const tick of ticks) if (tick > before && tick <= arrived) passes(tick);
    passes(arrived);
    told.push({ source, happening: { action: "a", at, id: `${index}` } });
    const event = { feed: "github-audit", occurredAt: start + at } as const;
    if (progress.saw(event, start + arrived)) late += 1;
    tell();
    before = arrived;
  }
  passes(24 * hour);
  return { told, late };
}

/** The correlate task: every result in the order it came. */
function correlateTask(told: readonly Told[], sources: number, ruleset = rulesets[0]): string[] {
  if (ruleset === undefined) throw new Error("no rules");
  const bench = new Bench(ruleset, { latenessMs });
  const watermarks = createWatermarks({ state: emptyState(), sources });
  return told.flatMap((one) => {
    const shown = "happening" in one ? bench.push(one.happening) : [];
    if ("watermark" in one) watermarks.heard(one.source, one.watermark);
    const reached = watermarks.watermark();
    const closed = reached === undefined ? [] : bench.advance(reached - start);
    return [...shown, ...closed].map(({ id, eventCount }) => `${id} ${eventCount}`);
  });
}

const options = { seed: 20_261_124, numRuns: 60 };

describe("a paused processor", () => {
  it("raises the same, one by one, from one partition, late events included", () => {
    const ticks = fc.array(fc.nat({ max: 8 * hour }), { maxLength: 60 });
    let late = 0;
    fc.assert(
      fc.property(occurrences(50 * minute, 1), ticks, (all, times) => {
        const paused = detectTask(0, { all });
        const awake = detectTask(0, { all, ticks: times.toSorted((a, b) => a - b) });
        expect(awake.late).toBe(paused.late);
        late += paused.late;
        for (const ruleset of rulesets) {
          expect(correlateTask(awake.told, 1, ruleset)).toEqual(
            correlateTask(paused.told, 1, ruleset),
          );
        }
      }),
      options,
    );
    expect(late).toBeGreaterThan(50);
  });

  it("raises the same whichever partition lags behind, when events are on time", () => {
    const order = fc.infiniteStream(fc.nat({ max: 2 }));
    let raised = 0;
    fc.assert(
      fc.property(occurrences(latenessMs, 3), order, (all, picks) => {
        const tasks = [0, 1, 2].map((source) => detectTask(source, { all }));
        expect(tasks.map(({ late }) => late)).toEqual([0, 0, 0]);
        const inTurn = tasks.flatMap(({ told }) => told);
        const queues = tasks.map(({ told }) => [...told]);
        const mixed: Told[] = [];
        while (mixed.length < inTurn.length) {
          const next = queues[picks.next().value ?? 0]?.shift();
          if (next !== undefined) mixed.push(next);
        }
        // Those that hold at once are told again as they grow: order.test.ts has them.
        for (const ruleset of rulesets.slice(1)) {
          const [left, right] = [inTurn, mixed].map((told) => correlateTask(told, 3, ruleset));
          expect(right?.toSorted()).toEqual(left?.toSorted());
          raised += left?.length ?? 0;
        }
      }),
      options,
    );
    expect(raised).toBeGreaterThan(100);
  });
});
