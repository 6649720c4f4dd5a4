/** @module Late events: on time, in a window still kept, or too late, to the millisecond. */

import { describe, expect, it } from "vitest";
import {
  Bench,
  build,
  type CorrelationText,
  hour,
  minute,
  rulesetOf,
  second,
} from "./bench-rule.ts";

const counted: CorrelationText = {
  type: "event_count",
  rules: ["a"],
  timespan: "10m",
  condition: ["gte: 3"],
};
/** As `Bench` keeps entries: the timespan and the lateness. */
const keepMs = 15 * minute;

/** What a step must show: counts of the matches, and how many entries were late. */
interface Step {
  readonly at?: number;
  readonly advance?: number;
  readonly shows?: readonly number[];
  readonly late?: number;
}

interface Line {
  readonly name: string;
  readonly condition: readonly string[];
  readonly steps: readonly Step[];
}

const lines: readonly Line[] = [
  {
    name: "no upper bound: at once, without any watermark",
    condition: ["gte: 3"],
    steps: [{ at: 0 }, { at: 1 }, { at: 2, shows: [3] }, { advance: hour }],
  },
  {
    name: "no upper bound: by a late one, while the window is kept",
    condition: ["gte: 3"],
    steps: [
      { at: 0 },
      { at: minute },
      { advance: keepMs },
      { at: second, shows: [3] },
      { at: 0.5 * second, shows: [4] },
    ],
  },
  {
    name: "no upper bound: not by one that is too late, which is counted",
    condition: ["gte: 2"],
    steps: [
      { at: minute },
      { advance: keepMs + 1 },
      { at: 0, late: 1 },
      { at: 0.5, late: 1 },
      { at: 1, shows: [2] },
    ],
  },
  {
    name: "upper bound: after the watermark has passed its end, and not by arrivals",
    condition: ["lt: 3"],
    steps: [
      { at: 0 },
      // A new window, with events far later: nothing is said of the first one before its time.
      { at: 20 * minute },
      { advance: 10 * minute },
      { advance: 10 * minute + 1, shows: [1] },
      { advance: 30 * minute },
      { advance: 30 * minute + 1, shows: [1] },
    ],
  },
  {
    name: "upper bound: on time, though out of order",
    condition: ["eq: 2"],
    steps: [
      { at: 5 * minute },
      { advance: 4 * minute },
      // The window now begins here.
      { at: 4 * minute },
      { advance: 14 * minute },
      { advance: 14 * minute + 1, shows: [2] },
    ],
  },
  {
    name: "upper bound: a late one has its window judged again while all of it is kept",
    condition: ["lte: 2"],
    steps: [
      { at: 0 },
      { advance: 10 * minute + 1, shows: [1] },
      { advance: keepMs },
      { at: 9 * minute, shows: [2] },
      { at: 8 * minute },
    ],
  },
  {
    name: "upper bound: a window of which a part has gone is never judged by what is left",
    condition: ["eq: 2"],
    steps: [
      { at: 0 },
      { at: second },
      { at: 10 * minute },
      // Three: the condition does not hold.
      { advance: 10 * minute + 1 },
      // The first two are no longer kept; with the late one there are two again.
      { advance: keepMs + 2 * second },
      { at: 9 * minute, late: 1 },
      { advance: hour },
    ],
  },
  {
    name: "upper bound: nor is one taken for new of which everything has gone",
    condition: ["lt: 3"],
    steps: [
      { at: 0 },
      { at: 1 },
      { at: 2 },
      { advance: keepMs + second },
      { at: 9 * minute, late: 1 },
      // Its end, both ends included, and the first that is beyond it.
      { at: 10 * minute, late: 1 },
      { at: 10 * minute + 1 },
      { advance: 20 * minute + 1 },
      { advance: 20 * minute + 2, shows: [1] },
      // The first window itself is over by now.
      { advance: 10 * minute + keepMs + 1 },
      { at: 10 * minute, late: 1 },
    ],
  },
  {
    name: "upper bound: a late one with no window of its own opens one",
    condition: ["lt: 3"],
    steps: [
      { at: 20 * minute },
      { advance: 30 * minute + 1, shows: [1] },
      { at: 16 * minute, shows: [1] },
      { advance: 31 * minute + 1 },
      { at: 16 * minute - 1, late: 1 },
    ],
  },
  {
    name: "upper bound: a late one in a group that had nothing is judged with the next watermark",
    condition: ["lt: 3"],
    steps: [
      { advance: 12 * minute },
      { at: 0 },
      { at: 1 },
      { advance: 12 * minute },
      { advance: 12 * minute + 1, shows: [2] },
    ],
  },
];

describe("groups of late windows", () => {
  it("go once their last window does, entries and row", () => {
    const bench = new Bench(rulesetOf({ ...counted, condition: ["lt: 3"] }));
    bench.push({ action: "a", at: 0 });
    bench.advance(keepMs + 1);
    const rows = () => [bench.rows("correlation.windows"), bench.rows("correlation.groups")];
    expect(rows()).toEqual([0, 1]);
    bench.restart();
    bench.advance(10 * minute + keepMs);
    expect(rows()).toEqual([0, 1]);
    bench.advance(10 * minute + keepMs + 1);
    expect(rows()).toEqual([0, 0]);
    // Without an upper bound nothing is to be remembered of what has gone.
    const other = new Bench(rulesetOf(counted));
    other.push({ action: "a", at: 0 });
    other.advance(keepMs + 1);
    expect(other.rows("correlation.groups")).toBe(0);
  });

  it("show nothing when a match comes again with its build after a part has gone", () => {
    const bench = new Bench(rulesetOf({ ...counted, condition: ["eq: 2"] }));
    for (const at of [0, 9 * minute, 10 * minute]) bench.push({ action: "a", at });
    bench.advance(keepMs + 1);
    expect(bench.push({ action: "a", at: 9 * minute, build })).toEqual([]);
    expect(bench.correlation.standing()).toEqual([]);
  });
});

describe("late events", () => {
  it.each(lines)("$name", ({ condition, steps }) => {
    for (const restarts of [false, true]) {
      const bench = new Bench(rulesetOf({ ...counted, condition }));
      for (const [index, step] of steps.entries()) {
        const { at, advance, shows = [], late = 0 } = step;
        bench.facts.length = 0;
        const shown = advance === undefined ? [] : [...bench.advance(advance)];
        if (at !== undefined) shown.push(...bench.push({ action: "a", at, id: `${index}` }));
        expect([index, shown.map(({ eventCount }) => eventCount)]).toEqual([index, shows]);
        const lateFacts = bench.facts.filter(({ reason }) => reason === "late");
        expect([index, lateFacts.length]).toEqual([index, late]);
        if (restarts) bench.restart();
      }
    }
  });
});
