import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Alert } from "../../src/alert/alert.ts";
import { dayMs, hourMs } from "../../src/clock.ts";
import { type BuildContext, type BuildJoin, runKey } from "../../src/event/build.ts";
import { build, loud, match, midnight, rule, type Step, Timeline } from "./fakes.ts";

const confidences = ["after-job", "likely", "exact"] as const;
const now = midnight + hourMs;

function truth(runId: string, startedAt: number): BuildContext {
  return build({
    runId,
    workflowPath: ".github/workflows/nightly.yml",
    runNumber: Number(runId),
    jobId: `${runId}1`,
    job: "test",
    step: "Run tests",
    stepNumber: 4,
    ref: "main",
    actor: "ann",
    triggeringActor: "ben",
    trigger: "schedule",
    runner: { name: "r1", labels: ["x"], hosted: false },
    secretsPassed: [`KEY_${runId}`],
    environment: "staging",
    startedAt,
    completedAt: startedAt + hourMs,
    conclusion: "success",
  });
}

interface Copy {
  readonly build: BuildContext;
  readonly confidence: BuildJoin["confidence"];
}

const always = new Set(["repository", "workflow", "runId", "runAttempt", "runUrl", "sha", "fork"]);

/** A copy of the build that knows some of it. */
function copyOf(whole: BuildContext): fc.Arbitrary<Copy> {
  const details = Object.entries(whole).filter(([name]) => !always.has(name));
  const fixed = Object.entries(whole).filter(([name]) => always.has(name));
  return fc
    .record({ known: fc.subarray(details), confidence: fc.constantFrom(...confidences) })
    .map(({ known, confidence }) => ({
      build: Object.fromEntries([...fixed, ...known]) as unknown as BuildContext,
      confidence,
    }));
}

function stepOf(copy: Copy): Step {
  const reason = `${copy.confidence} ${Object.entries(copy.build).sort().join(" ")}`;
  return { match: match({ id: "1", rule: loud, at: midnight, reason, ...copy }) };
}

function standing({ build: run, confidence }: Copy): readonly [number, number, string] {
  return [confidences.indexOf(confidence as "exact"), run.startedAt ?? -1, runKey(run)];
}

function beats(left: Copy, right: Copy): boolean {
  const [a, b] = [standing(left), standing(right)];
  if (a[0] !== b[0]) return a[0] > b[0];
  return a[1] === b[1] ? a[2] > b[2] : a[1] > b[1];
}

const [runA, runB, runC] = [
  truth("100", midnight - dayMs),
  truth("200", midnight - hourMs),
  truth("300", midnight - 2 * hourMs),
];
const runs = [runA, runB, runC] as const;
const bare: Step = { match: match({ id: "1", rule: loud, at: midnight, join: { host: "h" } }) };

/** Matches beside: of the same rule and of another one, on each run, and one without a build. */
const beside: readonly Step[] = [
  ...runs.flatMap((run, index) => [
    { match: match({ id: `same-${index}`, rule: loud, at: midnight + index, build: run }) },
    {
      match: match({
        id: `other-${index}`,
        rule: rule({ id: `other-${index}` }),
        at: midnight + index,
        build: run,
      }),
    },
  ]),
  {
    fact: {
      eventId: "saved",
      kind: "cache-saved",
      thing: "cache:https://cache.example/x",
      run: build({ runId: "9", repository: "acme/base", fork: true }),
      occurredAt: midnight - 3 * dayMs,
    },
  },
  ...[runA, runB].map(
    (run): Step => ({
      fact: {
        eventId: `restored-${run.runId}`,
        kind: "cache-restored",
        thing: "cache:https://cache.example/x",
        run,
        occurredAt: midnight - 2 * dayMs,
      },
    }),
  ),
  { match: match({ id: "place", rule: loud, at: midnight, join: { host: "h" } }) },
];

interface AlertRow {
  readonly id: string;
  readonly incidentId: string;
  readonly count: number;
  readonly runs: readonly { readonly run: string; readonly matches: number }[];
}

describe("copies of one run", () => {
  const orders = fc.array(copyOf(runA), { minLength: 1, maxLength: 6 }).chain((copies) => {
    const order = fc.shuffledSubarray([...copies.keys()], { minLength: copies.length });
    return fc.record({ copies: fc.constant(copies), order, other: order });
  });
  const others = beside.filter((step) => "match" in step && step.match.id.startsWith("other-0"));

  function run(steps: readonly Step[]): { readonly alert: Alert; readonly timeline: Timeline } {
    const timeline = new Timeline();
    for (const step of [...others, ...steps]) timeline.step(step, now);
    const alert = [...timeline.alerts.values()].find((each) => each.rule.id === "loud");
    return { alert: alert!, timeline };
  }

  it("make one and the same alert and incident in any order, with all that any knew", () => {
    fc.assert(
      fc.property(orders, fc.boolean(), ({ copies, order, other }, isBareFirst) => {
        const prefix = isBareFirst ? [bare] : [];
        const one = run([...prefix, ...order.map((index) => stepOf(copies[index]!))]);
        const two = run([...prefix, ...other.map((index) => stepOf(copies[index]!))]);
        const told = Object.assign({}, ...copies.map((copy) => copy.build));
        // A step goes with its number: one without the other is never told.
        for (const name of ["step", "stepNumber"]) delete told[name];
        expect(one.alert.build).toMatchObject(told);
        const view = ({ alert, timeline }: typeof one) => ({
          alert: { ...alert, revision: 0 },
          incidents: timeline.living().map((incident) => ({ ...incident, revision: 0 })),
          pages: timeline.pageKeys,
        });
        const [left, right] = [view(one), view(two)];
        expect(left).toEqual(right);
        expect(left.pages).toHaveLength(1);
      }),
      { seed: 41, numRuns: 150 },
    );
  });

  it("count a revision only when something changed, and change nothing when repeated", () => {
    fc.assert(
      fc.property(orders, ({ copies }) => {
        const timeline = new Timeline();
        let before = "";
        for (const copy of [...copies, ...copies]) {
          const change = timeline.step(stepOf(copy), now);
          const [alert] = timeline.alerts.values();
          const { revision, ...rest } = alert!;
          const after = JSON.stringify(rest);
          expect(change.alerts.length > 0).toBe(after !== before);
          before = after;
        }
      }),
      { seed: 42, numRuns: 100 },
    );
  });
});

describe("copies of several runs among other matches", () => {
  const copy = fc.oneof(...runs.map(copyOf)).map((each) => ({ copy: each, step: stepOf(each) }));
  const other = fc.constantFrom(bare, ...beside).map((step) => ({ step }));
  const turn = fc.record({ what: fc.oneof(copy, other), crash: fc.boolean() });

  it("end on the surest run, each match counted once, each woken for at most once", () => {
    fc.assert(
      fc.property(fc.array(turn, { minLength: 1, maxLength: 24 }), (turns) => {
        const timeline = new Timeline();
        const ids = new Set<string>();
        let best: Copy | undefined;
        for (const { what, crash } of turns) {
          // The bus gives the same record again after a crash.
          if (crash) {
            timeline.apply(what.step, now);
            timeline.crash();
          }
          timeline.step(what.step, now);
          if ("match" in what.step) ids.add(what.step.match.id);
          if ("copy" in what && (!best || beats(what.copy, best))) best = what.copy;
        }
        const alerts = timeline.rows<AlertRow>("alerts").map(([, row]) => row);
        expect(alerts.reduce((sum, { count }) => sum + count, 0)).toBe(ids.size);
        const seen = new Map(timeline.rows<{ readonly alert: string }>("matches"));
        const own = alerts.find(({ id }) => id === seen.get("1")?.alert);
        if (best) expect(own!.runs.map(({ run }) => run)).toContain(runKey(best.build));
        const living = new Map(timeline.living().map((incident) => [incident.id, incident]));
        for (const { id, incidentId } of alerts) {
          expect(living.get(incidentId)?.alertIds).toContain(id);
        }
        expect([...living.values()].flatMap(({ alertIds }) => alertIds)).toHaveLength(
          alerts.length,
        );
        expectRunsOfTheirAlerts(timeline, alerts);
        for (const { id } of alerts) {
          const pages = timeline.notices.filter(
            (notice) => notice.kind === "page" && notice.alerts.some((alert) => alert.id === id),
          );
          expect(new Set(pages.map(({ key }) => key)).size).toBeLessThanOrEqual(1);
        }
      }),
      { seed: 43, numRuns: 400 },
    );
  });

  /** A run is tied to an incident that has an alert of it, or to the one whose origin it is. */
  function expectRunsOfTheirAlerts(timeline: Timeline, alerts: readonly AlertRow[]): void {
    const living = new Map(timeline.living().map((incident) => [incident.id, incident]));
    const merged = new Map(timeline.rows<{ readonly into: string }>("merged"));
    for (const [key, cause] of timeline.rows<{ readonly incident: string }>("causes")) {
      if (!key.startsWith("run:")) continue;
      let id = cause.incident;
      for (let next = merged.get(id); next; next = merged.get(id)) id = next.into;
      const ofIncident = alerts.filter(({ incidentId }) => incidentId === id);
      const known = ofIncident.flatMap((alert) => alert.runs.map(({ run }) => `run:${run}`));
      const { origins } = living.get(id)!;
      expect([...known, ...origins.map(({ origin }) => `run:${runKey(origin)}`)]).toContain(key);
    }
  }
});
