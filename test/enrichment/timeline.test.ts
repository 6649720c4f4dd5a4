// The ordered index against the plain list: the same answers at every moment, and a span that
// leaves out no event whose answer changed.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Picked, pickAround, pickJob } from "../../src/enrichment/pick.ts";
import { Timeline } from "../../src/enrichment/timeline.ts";
import type { JobView } from "../../src/enrichment/window.ts";

const slackMs = 3_000;
const openJobMs = 20_000;
/** Far enough that some answers change with it: the jobs of a test span 95 s. */
const afterJobMs = 40_000;
const limits = { slackMs, openJobMs, afterJobMs };

interface Parts {
  readonly from?: number;
  readonly length?: number | undefined;
  readonly owner?: string;
  readonly id?: string | undefined;
  readonly conclusion?: string;
}

function view(key: string, parts: Parts = {}): JobView {
  const { from, length, owner = "acme", id, conclusion = "success" } = parts;
  const startedAt = from === undefined ? undefined : from * 1_000;
  return {
    key,
    build: {
      repository: `${owner}/app`,
      workflow: "CI",
      runId: key,
      runAttempt: 1,
      runUrl: "",
      sha: "",
      fork: false,
      runner: { name: "vm-1", labels: [], ...(id === undefined ? {} : { id }) },
      conclusion,
    },
    startedAt,
    endAt: startedAt === undefined || length === undefined ? undefined : startedAt + length * 1_000,
    steps: [],
  };
}

function pickIn(timeline: Timeline, time: number, openMs: number = openJobMs): Picked {
  const near = () => timeline.near(time, slackMs);
  const around = { near, ended: () => timeline.ended(time) };
  return pickAround(time, around, { openJobMs: openMs, afterJobMs });
}

/** What an event would be told: not the other candidates. */
function told(picked: Picked): unknown {
  if (picked.kind === "none" || picked.kind === "many") return picked.kind;
  return [picked.kind, picked.view.key];
}

const views = fc
  .array(
    fc.record({
      from: fc.option(fc.nat({ max: 60 }), { nil: undefined, freq: 8 }),
      length: fc.option(fc.nat({ max: 25 }), { nil: undefined, freq: 3 }),
      owner: fc.constantFrom("acme", "acme", "acme", "globex"),
      id: fc.constantFrom("1", "1", "2", "3", undefined),
      conclusion: fc.constantFrom("success", "success", "skipped"),
    }),
    { minLength: 1, maxLength: 14 },
  )
  .map((all) =>
    all.map(({ from, ...rest }, index) => {
      return view(`job-${index}`, from === undefined ? rest : { from, ...rest });
    }),
  );
const moments = Array.from({ length: 95 }, (_, index) => index * 1_000 - 5_000 + (index % 3) * 300);

describe("a timeline", () => {
  it("answers as the plain list does, however it came to hold what it holds", () => {
    fc.assert(
      fc.property(
        views,
        fc.func(fc.boolean()),
        fc.infiniteStream(fc.nat()),
        (all, goes, stream) => {
          const timeline = new Timeline();
          const order = [...all].sort(() => ((stream.next().value ?? 0) % 3) - 1);
          for (const one of order) timeline.add(one);
          const left = all.filter((one) => !goes(one.key));
          for (const one of all) if (goes(one.key)) timeline.remove(one);
          for (const time of moments) {
            expect([time, pickIn(timeline, time)]).toEqual([time, pickJob(left, time, limits)]);
          }
        },
      ),
      { seed: 21, numRuns: 400 },
    );
  });

  it("names a span outside which no event is told anything else", () => {
    fc.assert(
      fc.property(views, fc.boolean(), ([changed, ...others], removes) => {
        if (changed === undefined) return;
        const timeline = new Timeline();
        for (const one of others) timeline.add(one);
        if (removes) timeline.add(changed);
        const before = moments.map((time) => told(pickIn(timeline, time)));
        const span = removes ? timeline.remove(changed) : timeline.add(changed);
        for (const [index, time] of moments.entries()) {
          const outside =
            span === undefined || time < span.from - slackMs || time >= span.to + slackMs;
          if (!outside) continue;
          const now = told(pickIn(timeline, time));
          expect([time, now]).toEqual([time, before[index]]);
        }
      }),
      { seed: 22, numRuns: 1_500 },
    );
  });

  it("names in the span what another job's end, lost again, may hold", () => {
    const timeline = new Timeline();
    timeline.add(view("lost", { from: 0, id: "1" }));
    timeline.add(view("other", { from: 60, length: 10, id: "2" }));
    const between = view("between", { from: 30, length: 10, id: "1" });
    expect(timeline.add(between)?.to).toBe(Number.POSITIVE_INFINITY);
    expect(told(pickIn(timeline, 65_000))).toEqual(["one", "other"]);
    expect(timeline.remove(between)?.to).toBe(Number.POSITIVE_INFINITY);
    expect(told(pickIn(timeline, 65_000, 65_000))).toBe("many");
    // Past its time the lost one gives way to the job that its runner's namesake began.
    expect(told(pickIn(timeline, 65_000, 64_999))).toEqual(["one", "other"]);
  });

  it("keeps the span of a change among many jobs small", () => {
    const timeline = new Timeline();
    for (let n = 0; n < 1_000; n += 1) {
      timeline.add(view(`job-${n}`, { from: n * 100, length: 50, id: "1" }));
    }
    const late = view("late", { from: 50_060, length: 10, id: "1" });
    expect(timeline.add(late)).toEqual({ from: 50_060_000, to: 50_100_000 });
    expect(timeline.remove(late)).toEqual({ from: 50_060_000, to: 50_100_000 });
  });

  it("looks back at no more than 64 jobs for the last of each runner", () => {
    const timeline = new Timeline();
    for (let n = 0; n < 100; n += 1) {
      timeline.add(view(`job-${n}`, { from: n * 100, length: 50, id: String(n) }));
    }
    const end = (99 * 100 + 50) * 1_000;
    const picked = pickIn(timeline, end + afterJobMs);
    expect(picked.kind === "after" && [picked.view.key, picked.others.length]).toEqual([
      "job-99",
      63,
    ]);
    // Ends are told in whole seconds. After that none of them is blamed, and all are named.
    const later = pickIn(timeline, end + afterJobMs + 1_001);
    expect(later.kind === "many" && later.views.length).toBe(64);
  });
});
