import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type BuildFact, createInventory } from "../../src/enrichment/enrichment.ts";
import type { Event, JoinKeys } from "../../src/event/event.ts";
import { emptyState } from "../../src/state/memory.ts";
import type { State } from "../../src/state/state.ts";
import {
  at,
  auditRunEvent,
  falco,
  fork,
  jobEvent,
  preparedEvent,
  pullEvent,
  runEvent,
} from "./fixture.ts";
import { Task } from "./task.ts";

const vm = { runner: "vm-1", runnerId: 9 };
const step = (number: number, from: number, to: number): unknown => ({
  number,
  name: `step ${number}`,
  started_at: new Date(at(from)).toISOString(),
  completed_at: new Date(at(to)).toISOString(),
});

/** Two runs, one re-run, a matrix, a persistent runner, contradictions: what a bad day delivers. */
const told: readonly Event[] = [
  runEvent(),
  runEvent({ action: "in_progress", trigger: "pull_request", headRepository: fork, seconds: -7 }),
  runEvent({ action: "completed" }),
  runEvent({ action: "completed", conclusion: "action_required", seconds: -4 }),
  runEvent({ attempt: 2, from: 100, seconds: 100, trigger: "pull_request", headRepository: fork }),
  jobEvent({ action: "queued", runner: null }),
  jobEvent({ steps: [step(1, 0, 3)] }),
  jobEvent({ action: "completed", steps: [step(1, 0, 3), step(2, 3, 40)] }),
  jobEvent({ action: "completed", conclusion: "failure", steps: [step(1, 0, 4)] }),
  jobEvent({ attempt: 2, id: 5009, from: 105, runner: "r9" }),
  jobEvent({ id: 5002, name: "test (a, b)", runner: "r2", from: 2 }),
  jobEvent({ ...vm, id: 1, runId: 78, action: "completed", from: 10, to: 20 }),
  jobEvent({ ...vm, id: 2, runId: 79, from: 30 }),
  preparedEvent(),
  preparedEvent({ secrets: ["OTHER"], seconds: -1 }),
  preparedEvent({ secrets: ["TWO"], seconds: 99, runner: "r9" }),
  preparedEvent({ job: "test", runner: "r2", secrets: [] }),
  preparedEvent({ job: "lint", runner: "r5", runId: 78 }),
  auditRunEvent("created", -8),
  auditRunEvent("completed", 70),
  pullEvent(41, "a".repeat(40)),
  pullEvent(57, "a".repeat(40), { seconds: 90 }),
];

const probes: readonly [number, JoinKeys][] = [
  [5, { pod: "arc-x7-runner-abcde" }],
  [35, { pod: "arc-x7-runner-abcde-workflow" }],
  [500, { pod: "arc-x7-runner-abcde" }],
  [110, { runId: "77" }],
  [5, { runId: "77", repository: "acme/app" }],
  [50, { pod: "r2" }],
  [50, { pod: "r5" }],
  [12, { runnerName: "vm-1" }],
  [25, { runnerName: "vm-1" }],
  [90, { address: "10.0.0.5" }],
  [90, { jobId: "5009" }],
];

const inventory = createInventory([{ name: "vm-1", addresses: ["10.0.0.5"] }]);

function fresh(): { readonly builds: Task; readonly state: State } {
  const state = emptyState();
  return { builds: new Task({ state, inventory }), state };
}

function contents(state: State): unknown {
  return ["runs", "jobs", "prepared", "pulls"].map((name) => {
    return [...state.table(name).entries()].sort(([a], [b]) => (a < b ? -1 : 1));
  });
}

function answers(builds: Task): unknown {
  return probes.map(([seconds, join], index) => {
    const probe = falco(seconds, join, `falco:probe-${index}`);
    const result = builds.join(probe, at(1_000));
    return result.kind === "ready" ? [result.event.build, result.event.buildJoin] : "parked";
  });
}

function learned(facts: readonly BuildFact[]): { table: unknown; answers: unknown } {
  const { builds, state } = fresh();
  for (const fact of facts) builds.learn(fact, at(0));
  return { table: contents(state), answers: answers(builds) };
}

const facts = told.flatMap((one) => fresh().builds.factsOf(one));

describe("merging facts", () => {
  it("gives the same table and the same builds in any order and with any repetition", () => {
    const expected = learned(facts);
    expect(JSON.stringify(expected.answers).match(/"runId"/g)?.length).toBeGreaterThan(6);
    const everyFact = fc.shuffledSubarray([...facts], { minLength: facts.length });
    const repeated = fc.array(fc.constantFrom(...facts), { maxLength: 20 });
    fc.assert(
      fc.property(everyFact, repeated, fc.boolean(), (order, again, before) => {
        const result = learned(before ? [...again, ...order] : [...order, ...again]);
        expect(result).toEqual(expected);
      }),
      { seed: 7, numRuns: 150 },
    );
  });

  it("ends in the same answer for an event, wherever between the facts it came", () => {
    fc.assert(
      fc.property(
        fc.shuffledSubarray([...facts], { minLength: facts.length }),
        fc.nat({ max: facts.length }),
        fc.constantFrom(...probes),
        (order, position, [seconds, join]) => {
          const { builds } = fresh();
          const probe = falco(seconds, join, "falco:probe");
          let last: Event | undefined;
          const take = (events: readonly Event[]): void => {
            for (const one of events) if (one.id === probe.id) last = one;
          };
          for (const [index, fact] of order.entries()) {
            if (index === position) {
              const result = builds.join(probe, at(0));
              if (result.kind === "ready") last = result.event;
            }
            take(builds.learn(fact, at(0)));
          }
          if (position === order.length) {
            const result = builds.join(probe, at(0));
            if (result.kind === "ready") last = result.event;
          }
          take(builds.due(at(20)));
          const known = fresh().builds;
          for (const fact of facts) known.learn(fact, at(0));
          const direct = known.join(probe, at(0));
          const wanted = direct.kind === "ready" ? direct.event : known.due(at(20))[0];
          // A build once said is only replaced by a surer or fuller one, so only the run and job
          // must agree.
          const brief = (one: Event | undefined): unknown => {
            return [one?.build?.runId, one?.build?.runAttempt, one?.build?.job];
          };
          if (wanted?.buildJoin?.confidence === "exact") expect(brief(last)).toEqual(brief(wanted));
        },
      ),
      { seed: 11, numRuns: 300 },
    );
  });
});

describe("reading bodies", () => {
  it("never throws, whatever the values", () => {
    const { builds } = fresh();
    const keys = ["workflow_job", "workflow_run", "pull_request", "repository", "id", "run_id"];
    const more = ["full_name", "head", "steps", "labels", "runner_name", "__proto__", "data"];
    const key = fc.constantFrom(...keys, ...more, "event", "repo", "workflow_run_id", "job_name");
    const json = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: "small" },
        fc.constantFrom(null, 1, "acme/app", "2026-03-02T10:00:00Z", -1, 1e300, "", true),
        fc.array(tie("value"), { maxLength: 3 }),
        fc.dictionary(key, tie("value"), { maxKeys: 6 }),
      ),
    })).value;
    const actions = [
      "workflow_job.completed",
      "workflow_run.completed",
      "pull_request.opened",
      "workflows.prepared_workflow_job",
      "workflows.completed_workflow_run",
    ];
    fc.assert(
      fc.property(json, fc.constantFrom(...actions), (body, action) => {
        const feed = action.startsWith("workflows.") ? "github-audit" : "github-webhook";
        const fields = { "event.action": action };
        const read = { ...falco(0, {}), feed, fields, raw: JSON.stringify(body) } as const;
        for (const fact of builds.factsOf(read)) {
          expect(typeof fact.run).toBe("string");
          builds.learn(fact, at(0));
        }
      }),
      { seed: 3, numRuns: 2_000 },
    );
  });
});
