// A process that dies at any moment, and facts in any order, end in the answers of a calm day.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type BuildTable,
  createBuildTable,
  createInventory,
} from "../../src/enrichment/enrichment.ts";
import type { Event } from "../../src/event/event.ts";
import { openMemoryState } from "../../src/state/memory.ts";
import {
  at,
  egress,
  falco,
  fork,
  jobEvent,
  preparedEvent,
  pullEvent,
  runEvent,
} from "./fixture.ts";

const inventory = createInventory([{ name: "vm-1", addresses: ["10.0.0.5"] }]);
const forked = { trigger: "pull_request", headRepository: fork };
const vm = { runner: "vm-1" };
const scaleSet = { id: 6001, runId: 80, name: "deploy", runner: "ss-1", labels: ["scale-set-a"] };

/**
 * What the feeds tell of a fork's run with a re-run and a matrix, of two runs on a runner that
 * lives on, and of a job on a scale set. No two of them contradict each other.
 */
const told: readonly Event[] = [
  runEvent(forked),
  runEvent({ ...forked, action: "completed" }),
  runEvent({ ...forked, attempt: 2, from: 100, seconds: 100 }),
  jobEvent(),
  jobEvent({ action: "completed" }),
  jobEvent({ id: 5002, name: "test (a, b)", runner: "r2", from: 2 }),
  jobEvent({ attempt: 2, id: 5009, from: 105, runner: "r9" }),
  preparedEvent(),
  preparedEvent({ secrets: ["TWO"], seconds: 99, runner: "r9" }),
  preparedEvent({ job: "test", runner: "r2", secrets: [] }),
  pullEvent(41, "a".repeat(40)),
  runEvent({ runId: 78 }),
  jobEvent({ ...vm, id: 1, runId: 78, action: "completed", from: 10, to: 20 }),
  runEvent({ runId: 79, from: 25, seconds: 25 }),
  jobEvent({ ...vm, id: 2, runId: 79, from: 30 }),
  preparedEvent({ ...vm, runId: 79, seconds: 29 }),
  runEvent({ runId: 80 }),
  jobEvent({ ...scaleSet, action: "queued", runner: null }),
  jobEvent(scaleSet),
  preparedEvent({ runId: 80, job: "deploy", runner: "ss-1" }),
].map((one, index) => ({ ...one, id: `${one.id}#${index}` }));

const activity: readonly Event[] = [
  falco(5, { pod: "arc-x7-runner-abcde" }),
  falco(35, { pod: "arc-x7-runner-abcde-workflow" }, "falco:job-pod"),
  falco(500, { pod: "arc-x7-runner-abcde" }, "falco:after"),
  falco(50, { pod: "r2" }),
  falco(110, { pod: "r9" }),
  falco(12, { runnerName: "vm-1" }),
  egress(25, { address: "10.0.0.5" }),
  egress(36, { address: "10.0.0.5" }),
  egress(6, { jobId: "5002" }),
  egress(7, { runId: "80", repository: "acme/app" }),
  falco(8, { pod: "ss-1" }),
  falco(9, { pod: "never-told" }),
];

interface Step {
  readonly event: Event;
  /** Seconds since the step before. */
  readonly after: number;
  /** Whether the batch ends here. */
  readonly commits: boolean;
  /** Whether the process dies here, and its batch comes again. */
  readonly dies: "no" | "killed" | "rolled back";
}

const order = fc.shuffledSubarray([...told, ...activity], {
  minLength: told.length + activity.length,
});

function steps(after: readonly number[]): fc.Arbitrary<readonly Step[]> {
  const how = fc.record({
    after: fc.constantFrom(...after),
    commits: fc.boolean(),
    dies: fc.constantFrom<Step["dies"][]>("no", "no", "killed", "rolled back"),
  });
  const hows = fc.array(how, {
    minLength: told.length + activity.length,
    maxLength: told.length + activity.length,
  });
  return fc.tuple(order, hows).map(([events, all]) => {
    return events.flatMap((event, index) => {
      const one = all[index];
      return one === undefined ? [] : [{ event, ...one }];
    });
  });
}

interface Played {
  /** Each event as it last went on. */
  readonly finals: ReadonlyMap<string, Event>;
  readonly sent: number;
  readonly deaths: number;
}

/**
 * As the stage does it; an output counts once its batch is committed. A restart takes no time: what
 * is known when an event's wait ends is part of an answer that stays unsure.
 */
function play(all: readonly Step[], mayDie: boolean): Played {
  const store = openMemoryState();
  let state = store.open("detect");
  let builds = createBuildTable({ state, inventory });
  const finals = new Map<string, Event>();
  let batch: { readonly event: Event; readonly seconds: number }[] = [];
  let out: Event[] = [];
  let sent = 0;
  let deaths = 0;
  let seconds = 1_000;

  const commit = (): void => {
    state.commit();
    for (const one of out) finals.set(one.id, one);
    sent += out.length;
    batch = [];
    out = [];
  };
  const die = (how: "killed" | "rolled back"): void => {
    deaths += 1;
    if (how === "killed") state = store.open("detect");
    else state.rollback();
    builds = createBuildTable({ state, inventory });
    out = batch.flatMap((one) => take(builds, one.event, one.seconds));
  };
  // From the start both feeds are known to be connected.
  out = [
    ...take(builds, preparedEvent({ runId: 900, job: "other", runner: "r-900" }), seconds),
    ...take(builds, jobEvent({ runId: 900, name: "other", runner: "r-900", id: 9 }), seconds),
  ];
  commit();
  for (const { event, after, commits, dies } of all) {
    seconds += after;
    batch.push({ event, seconds });
    out.push(...take(builds, event, seconds));
    if (mayDie && dies !== "no") die(dies);
    if (commits) commit();
  }
  out.push(...builds.due(at(seconds + 60)));
  commit();
  return { finals, sent, deaths };
}

function take(builds: BuildTable, event: Event, seconds: number): Event[] {
  const now = at(seconds);
  const out = [...builds.due(now)];
  for (const fact of builds.factsOf(event)) out.push(...builds.learn(fact, now));
  const joined = builds.join(event, now);
  if (joined.kind === "ready") out.push(joined.event);
  return out;
}

/** What rules ask of a build. An audit entry names no attempt, and a job without its matrix. */
function answer(one: Event | undefined): unknown {
  const { build, buildJoin, feed } = one ?? {};
  const { runId, runAttempt, trigger, fork: forks, pullRequest } = build ?? {};
  const ofRun = { runId, trigger, forks, pullRequest };
  if (feed === "github-audit") return ofRun;
  if (feed === "github-webhook") return { ...ofRun, runAttempt, job: build?.job };
  const { job, jobId, secretsPassed } = build ?? {};
  const { confidence } = buildJoin ?? {};
  return { ...ofRun, runAttempt, job, jobId, secretsPassed, confidence };
}

describe("a restart", () => {
  it("at any step, in any order of things, changes no event's final answer", () => {
    let [deaths, again] = [0, 0];
    fc.assert(
      fc.property(steps([0, 1, 20, 600]), (all) => {
        const calm = play(all, false);
        const killed = play(all, true);
        deaths += killed.deaths;
        again += calm.sent - calm.finals.size;
        expect([...killed.finals.keys()].sort()).toEqual([...calm.finals.keys()].sort());
        for (const [id, one] of calm.finals) {
          const other = killed.finals.get(id);
          expect([id, other?.build, other?.buildJoin]).toEqual([id, one.build, one.buildJoin]);
        }
      }),
      { seed: 31, numRuns: 150 },
    );
    expect(deaths).toBeGreaterThan(1_000);
    expect(again).toBeGreaterThan(1_000);
  });
});

describe("facts and events in any order, hours apart", () => {
  it("end in the answer of one who knew all facts first", () => {
    const known = createBuildTable({ state: openMemoryState().open("known"), inventory });
    for (const one of told) take(known, one, 0);
    const wanted = new Map(
      [...told, ...activity].map((one) => {
        const [direct = known.due(at(9_000))[0]] = take(known, one, 0);
        return [one.id, direct] as const;
      }),
    );
    const exact = [...wanted].filter(([, one]) => one?.buildJoin?.confidence === "exact");
    expect(exact.length).toBeGreaterThan(told.length + 6);
    fc.assert(
      fc.property(steps([0, 20, 600, 1_500]), (all) => {
        const { finals } = play(all, true);
        for (const [id, one] of exact) {
          expect([id, answer(finals.get(id))]).toEqual([id, answer(one)]);
        }
      }),
      { seed: 32, numRuns: 150 },
    );
  });
});
