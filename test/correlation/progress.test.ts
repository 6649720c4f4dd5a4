/** @module How far event time has come in one partition, and for a task that hears of several. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  createProgress,
  createWatermarks,
  type Progress,
} from "../../src/correlation/correlation.ts";
import { type Feed, feeds } from "../../src/event/event.ts";
import { emptyState } from "../../src/state/memory.ts";
import type { State } from "../../src/state/state.ts";
import { replacing } from "../contract/replacing.ts";
import { KeptState } from "../state/kept.ts";
import { minute, second } from "./bench-rule.ts";

const lateness: Readonly<Record<Feed, number>> = {
  falco: minute,
  egress: 5 * minute,
  "github-webhook": 2 * minute,
  "github-audit": 20 * minute,
  trivy: 10 * minute,
  registry: 2 * minute,
};
const idleMs = minute;
/** Times of the tables are ms after this, a whole number of steps. */
const zero = 1_000 * 60 * minute;

function open(state: State = emptyState(), stepMs = second): Progress {
  return createProgress({ state, latenessOf: (feed) => lateness[feed], idleMs, stepMs });
}

type Step =
  /** An event, when it occurred and when it arrived (as it occurred unless given). */
  | { readonly feed: Feed; readonly at: number; readonly arrived?: number }
  | { readonly passed: number };

/** Does a step; answers whether its event was late. */
function take(progress: Progress, step: Step): boolean | undefined {
  if ("passed" in step) {
    progress.passed(zero + step.passed);
    return undefined;
  }
  const { feed, at, arrived = at } = step;
  return progress.saw({ feed, occurredAt: zero + at }, zero + arrived);
}

interface Line {
  readonly name: string;
  /** Each with the watermark after it and, for an event, whether it was late. */
  readonly steps: readonly (readonly [step: Step, watermark: number, late?: boolean])[];
}

const lines: readonly Line[] = [
  {
    name: "a partition without an event follows the time by the largest lateness",
    steps: [
      [{ passed: 0 }, -20 * minute],
      [{ passed: 90 * second }, -18.5 * minute],
    ],
  },
  {
    name: "one feed: its newest event less its lateness, whatever the order",
    steps: [
      [{ feed: "falco", at: 0 }, -minute, false],
      [{ feed: "falco", at: -30 * second, arrived: second }, -minute, false],
      [{ feed: "falco", at: 10 * second }, -50 * second, false],
    ],
  },
  {
    name: "the slowest of the feeds that were seen holds it back",
    steps: [
      [{ feed: "falco", at: 0 }, -minute, false],
      [{ feed: "egress", at: 59 * second }, -minute, false],
      [{ feed: "falco", at: 8 * minute }, 3 * minute, false],
      [{ feed: "egress", at: 7 * minute, arrived: 8 * minute }, 3 * minute, false],
      [{ feed: "falco", at: 9 * minute - second }, 3 * minute, false],
      [{ feed: "egress", at: 9 * minute - second }, 4 * minute - second, false],
    ],
  },
  {
    name: "an idle feed counts as if it had told of now; a moment earlier it does not",
    steps: [
      [{ feed: "falco", at: -30 * second, arrived: 0 }, -90 * second, false],
      [{ passed: idleMs - 1 }, -90 * second],
      [{ passed: idleMs }, 0],
      [{ passed: idleMs + 10 * second }, 10 * second],
    ],
  },
  {
    name: "an idle feed that comes back does not take it back, and holds it again",
    steps: [
      [{ feed: "falco", at: 0 }, -minute, false],
      [{ passed: 5 * minute }, 4 * minute],
      [{ feed: "falco", at: 4.5 * minute, arrived: 5 * minute }, 4 * minute, false],
      [{ passed: 5.9 * minute }, 4 * minute],
      [{ passed: 6 * minute }, 5 * minute],
    ],
  },
  {
    name: "late is what is older than the watermark, to the millisecond",
    steps: [
      [{ feed: "falco", at: 0 }, -minute, false],
      [{ feed: "falco", at: -minute, arrived: 0 }, -minute, false],
      [{ feed: "falco", at: -minute - 1, arrived: 0 }, -minute, true],
      [{ feed: "falco", at: 0, arrived: 0 }, -minute, false],
    ],
  },
  {
    name: "a stamp from the future is worth no more than its arrival",
    steps: [
      [{ feed: "falco", at: 3_650 * 24 * 60 * minute, arrived: 0 }, -minute, false],
      [{ feed: "falco", at: second }, -59 * second, false],
    ],
  },
  {
    name: "a feed that only tells of long ago holds it, until it is silent",
    steps: [
      [{ feed: "falco", at: 0 }, -minute, false],
      [{ feed: "trivy", at: -30 * minute, arrived: second }, -minute, true],
      [{ feed: "falco", at: minute }, -minute, false],
      [{ feed: "falco", at: minute + 2 * second }, -9 * minute + minute * 8, false],
      [{ passed: 12 * minute }, 2 * minute],
    ],
  },
  {
    name: "moves in whole steps, rounded down",
    steps: [
      [{ feed: "falco", at: 999 }, -minute, false],
      [{ feed: "falco", at: 1_999 }, -59 * second, false],
    ],
  },
  {
    name: "an arrival that goes back changes nothing that has passed",
    steps: [
      [{ feed: "falco", at: 10 * second }, -50 * second, false],
      [{ feed: "falco", at: 0, arrived: 0 }, -50 * second, false],
    ],
  },
];

describe("a partition's watermark", () => {
  it.each(lines)("$name", ({ steps }) => {
    const progress = open();
    for (const [index, [step, watermark, late]] of steps.entries()) {
      const wasLate = take(progress, step);
      const reached = (progress.watermark() ?? Number.NaN) - zero;
      expect([index, reached, wasLate]).toEqual([index, watermark, late]);
    }
  });

  it("is not known before anything is, and is due at once", () => {
    const progress = open();
    expect(progress.watermark()).toBeUndefined();
    expect(progress.nextDue()).toBe(0);
  });

  it("keeps one row per feed, written only when a whole step has passed", () => {
    const state = emptyState();
    let writes = 0;
    const counting = replacing(state, {
      table: <V>(name: string) => {
        const table = state.table<V>(name);
        return replacing(table, {
          put: (key, value) => {
            writes += 1;
            table.put(key, value);
          },
        });
      },
    });
    const progress = open(counting);
    for (let at = 1; at < 10_000; at += 1) take(progress, { feed: "falco", at });
    // Of the feed's newest event and arrival, and of the clock, once a step and once at the start.
    expect(writes).toBeGreaterThan(20);
    expect(writes).toBeLessThan(50);
    expect(state.table("progress.feeds").size).toBe(1);
    expect(state.table("progress.clock").size).toBe(1);
  });
});

/** Events in the order of their arrival, many after a silence; some from the future. */
const history = fc
  .array(
    fc.record({
      feed: fc.constantFrom(...feeds),
      gap: fc.oneof(fc.integer({ min: 0, max: 3_000 }), fc.integer({ min: 0, max: 4 * minute })),
      delay: fc.oneof(fc.integer({ min: -5_000, max: 90_000 }), fc.integer({ max: 40 * minute })),
    }),
    { maxLength: 40 },
  )
  .map((events) => {
    let arrived = 0;
    return events.map(({ feed, gap, delay }) => {
      arrived += gap;
      return { feed, at: arrived - delay, arrived };
    });
  });

const options = { seed: 20_261_124, numRuns: 300 };

describe("a task that pauses and one that does not", () => {
  it("agree after each event, however often time was told to pass between", () => {
    const extra = fc.array(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 }));
    fc.assert(
      fc.property(history, extra, fc.integer({ min: 1, max: 20_000 }), (events, parts, stepMs) => {
        const [paused, awake] = [1, 2].map(() => open(undefined, stepMs));
        let before = 0;
        for (const [index, event] of events.entries()) {
          for (const part of [...(parts[index] ?? [])].sort()) {
            awake?.passed(zero + before + part * (event.arrived - before));
          }
          const told = [paused, awake].map((progress) => {
            if (progress === undefined) return undefined;
            return [take(progress, event), progress.watermark(), progress.nextDue()];
          });
          expect(told[1]).toEqual(told[0]);
          before = event.arrived;
        }
      }),
      options,
    );
  });

  it("agree across restarts between any two events", async () => {
    await fc.assert(
      fc.asyncProperty(history, fc.array(fc.boolean()), async (events, restarts) => {
        const kept = new KeptState();
        let restarted = open(kept.state);
        const straight = open();
        for (const [index, event] of events.entries()) {
          if (restarts[index] === true) {
            await kept.state.commit();
            restarted = open(kept.reopen());
          }
          const told = [straight, restarted].map((progress) => {
            return [take(progress, event), progress.watermark(), progress.nextDue()];
          });
          expect(told[1]).toEqual(told[0]);
        }
      }),
      options,
    );
  });

  it("never go back, and are next due exactly when they say", () => {
    fc.assert(
      fc.property(history, fc.integer({ min: 1, max: 20_000 }), (events, stepMs) => {
        const progress = open(undefined, stepMs);
        let reached = Number.NEGATIVE_INFINITY;
        for (const event of events) {
          take(progress, event);
          const watermark = progress.watermark() ?? Number.NaN;
          expect(watermark).toBeGreaterThanOrEqual(reached);
          expect(watermark % stepMs).toBe(0);
          reached = watermark;
        }
        if (events.length === 0) return;
        for (let time = 0; time < 3; time += 1) {
          const due = progress.nextDue();
          progress.passed(due - 1);
          expect(progress.watermark()).toBe(reached);
          progress.passed(due);
          expect(progress.watermark()).toBeGreaterThanOrEqual(reached + stepMs);
          reached = progress.watermark() ?? Number.NaN;
        }
      }),
      options,
    );
  });

  it("call no event late that came within its feed's lateness", () => {
    fc.assert(
      fc.property(history, (events) => {
        const progress = open();
        // Before a feed was seen nothing waited for it.
        const watermarkAtFirst = new Map<Feed, number>();
        for (const event of events) {
          const late = take(progress, event);
          const { feed, at, arrived } = event;
          const first = watermarkAtFirst.get(feed);
          if (first === undefined) watermarkAtFirst.set(feed, progress.watermark() ?? Number.NaN);
          else if (zero + at >= first && arrived - at <= lateness[feed]) expect(late).toBe(false);
        }
      }),
      options,
    );
  });
});

describe("a task that hears of several partitions", () => {
  function hear(state: State, sources: number, heard: readonly (readonly [number, number])[]) {
    const watermarks = createWatermarks({ state, sources });
    return heard.map(([source, at]) => {
      watermarks.heard(source, at);
      return watermarks.watermark();
    });
  }

  it.each([
    ["one", 1, [[0, 5]], [5]],
    [
      "none before each was heard",
      2,
      [
        [1, 5],
        [1, 9],
        [0, 7],
      ],
      [undefined, undefined, 7],
    ],
    [
      "the least",
      2,
      [
        [0, 5],
        [1, 9],
        [0, 12],
        [1, 10],
      ],
      [undefined, 5, 9, 10],
    ],
    [
      "one that goes back is not heard",
      2,
      [
        [0, 5],
        [1, 9],
        [0, 3],
        [1, 4],
      ],
      [undefined, 5, 5, 5],
    ],
    [
      "an added one holds it from then on",
      1,
      [
        [0, 5],
        [1, 6],
        [0, 9],
        [1, 8],
      ],
      [5, 5, 6, 8],
    ],
    [
      "an added one does not take it back",
      1,
      [
        [0, 5],
        [3, 1],
        [0, 9],
        [3, 7],
      ],
      [5, 5, 5, 7],
    ],
    [
      "zero and before",
      2,
      [
        [0, -5],
        [1, 0],
        [0, 3],
      ],
      [undefined, -5, 0],
    ],
  ] as const)("%s", (_, sources, heard, expected) => {
    const state = emptyState();
    expect(hear(state, sources, heard)).toEqual(expected);
  });

  it("goes on after a restart, also with more partitions than before", async () => {
    const kept = new KeptState();
    hear(kept.state, 2, [
      [0, 5],
      [1, 9],
    ]);
    await kept.state.commit();
    expect(createWatermarks({ state: kept.reopen(), sources: 2 }).watermark()).toBe(5);
    const heard = [
      [0, 20],
      [1, 20],
      [2, 3],
      [2, 8],
    ] as const;
    expect(hear(kept.reopen(), 3, heard)).toEqual([5, 5, 5, 8]);
  });

  it("is the same for any order in which the partitions tell", () => {
    const told = fc.array(fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 50 })), { maxLength: 30 });
    const pair = told.chain((heard) =>
      fc.tuple(fc.constant(heard), fc.shuffledSubarray(heard, { minLength: heard.length })),
    );
    fc.assert(
      fc.property(pair, ([heard, shuffled]) => {
        const last = (order: readonly (readonly [number, number])[]) =>
          hear(emptyState(), 4, order).at(-1);
        expect(last(shuffled)).toBe(last(heard));
      }),
      options,
    );
  });
});
