// What the build join costs with a full table: 50,000 builds, of which one runner that lives on did
// 5,000.

import {
  type BuildFact,
  type BuildTable,
  createBuildTable,
  createInventory,
  createJoiner,
  type Joiner,
} from "../../src/enrichment/enrichment.ts";
import type { Event, JoinKeys } from "../../src/event/event.ts";
import { emptyState } from "../../src/state/memory.ts";
import { cpuSeconds } from "./events.ts";
import type { BenchLine } from "./line.ts";

const start = Date.UTC(2026, 10, 1);
const minute = 60_000;
/**
 * A job every ten minutes on the runner that lives on; on nine other jobs a pod is made for each.
 */
const longLived = "build-01";
const longLivedJobs = 5_000;
const otherJobs = 20_000;
const jobMs = 8 * minute;
const gapMs = 10 * minute;
const buildsMax = 60_000;

const inventory = createInventory([
  { name: longLived, hosts: ["build-01.corp.example"], addresses: ["10.20.0.11"] },
]);

interface Job {
  readonly id: number;
  readonly runner: string;
  readonly at: number;
}

function jobs(): readonly Job[] {
  const lasting = Array.from({ length: longLivedJobs }, (_, index) => {
    return { id: 1 + index, runner: longLived, at: start + index * gapMs };
  });
  const span = longLivedJobs * gapMs;
  const passing = Array.from({ length: otherJobs }, (_, index) => {
    const at = start + Math.floor((index * span) / otherJobs);
    return { id: 1_000_000 + index, runner: `arc-linux-${index.toString(36)}-runner`, at };
  });
  return [...lasting, ...passing].sort((a, b) => a.at - b.at);
}

/** What the feeds tell of one job: its run, its start, its end. */
function factsOf({ id, runner: name, at }: Job): readonly BuildFact[] {
  const runId = String(10_000_000 + id);
  const key = { repository: `acme/repo-${id % 40}`, runId, runAttempt: 1 };
  const run = `${key.repository}#${runId}/1`;
  const runner = { name, id: name === longLived ? "7" : String(id), labels: ["self-hosted"] };
  const about = { ...key, jobId: String(id), job: "build", sha: "a".repeat(40), ref: "main" };
  const started = { ...about, runner, startedAt: at };
  return [
    {
      run,
      occurredAt: at - 5_000,
      status: "queued",
      build: { ...key, workflow: "CI", trigger: "push", fork: false, sha: about.sha, ref: "main" },
    },
    { run, job: String(id), occurredAt: at, status: "in_progress", build: started },
    {
      run,
      job: String(id),
      occurredAt: at + jobMs,
      status: "completed",
      build: { ...started, completedAt: at + jobMs, conclusion: "success" },
    },
  ];
}

/**
 * Half of the events on the runner that lives on: by name, host and address; one in ten between two
 * jobs.
 */
function eventOf({ runner, at }: Job, index: number): Event {
  const lasting: readonly JoinKeys[] = [
    { runnerName: longLived },
    { host: "build-01.corp.example" },
    { address: "10.20.0.11" },
  ];
  const join = runner === longLived ? (lasting[index % 3] ?? {}) : { pod: `${runner}-workflow` };
  const occurredAt = at + (index % 10 === 0 ? jobMs + minute : (index * 977) % jobMs);
  return {
    ...{ id: `falco:${index}`, feed: "falco", logsource: {}, occurredAt, receivedAt: occurredAt },
    ...{ timeSource: "feed", fields: { "process.name": "curl" }, join, raw: "" },
  };
}

function eventsOf(all: readonly Job[], count: number): readonly Event[] {
  const lasting = all.filter(({ runner }) => runner === longLived);
  const passing = all.filter(({ runner }) => runner !== longLived);
  return Array.from({ length: count }, (_, index) => {
    const list = index % 2 === 0 ? lasting : passing;
    const job = list[(index * 7_919) % list.length] ?? list[0];
    if (job === undefined) throw new Error("no jobs");
    return eventOf(job, Math.floor(index / 2));
  });
}

/** Facts alone, joins alone, and both by turns as a stage has them. About 3 s when short. */
export async function benchJoin(short: boolean): Promise<BenchLine[]> {
  const all = jobs();
  const facts = all.flatMap(factsOf).sort((a, b) => a.occurredAt - b.occurredAt);
  const events = eventsOf(all, short ? 20_000 : 100_000);
  const now = start + longLivedJobs * gapMs;
  const state = emptyState();
  const builds = createBuildTable({ state, inventory, buildsMax });
  const joiner = createJoiner({ state, builds });
  const learnSeconds = await cpuSeconds(() => {
    for (const fact of facts) {
      joiner.changed(builds.learn(fact, fact.occurredAt), fact.occurredAt);
    }
  });
  const joinSeconds = await cpuSeconds(() => {
    for (const event of events) joiner.join(event, now);
  });
  const { builds: size } = builds.counts();
  const { parked, released, incomplete, recent } = joiner.counts();
  const recheckSeconds = await cpuSeconds(() => {
    joiner.recheck(now);
  });
  const turns = await benchTurns({ builds, joiner }, events.slice(0, 20_000), facts.slice(-30_000));
  return [
    { metric: "runs and jobs in the table", value: size, unit: "builds" },
    { metric: "jobs of one runner", value: longLivedJobs, unit: "jobs" },
    {
      metric: "facts learned while the table fills",
      value: facts.length / learnSeconds,
      unit: "facts/CPU-s",
      against: "a goal of 15,000",
    },
    {
      metric: "events joined",
      value: events.length / joinSeconds,
      unit: "events/CPU-s",
      against: "a goal of 30,000",
    },
    { metric: "events left waiting by that", value: parked + released, unit: "events" },
    {
      metric: "events looked at again after a start",
      value: (parked + released + incomplete + recent) / recheckSeconds,
      unit: "events/CPU-s",
    },
    {
      metric: "facts learned with those waiting, events between",
      value: turns,
      unit: "steps/CPU-s",
    },
  ];
}

/** Known facts told again and new jobs of the runner, each followed by an event of its time. */
async function benchTurns(
  { builds, joiner }: { readonly builds: BuildTable; readonly joiner: Joiner },
  events: readonly Event[],
  facts: readonly BuildFact[],
): Promise<number> {
  const from = start + longLivedJobs * gapMs;
  const fresh = Array.from({ length: 2_000 }, (_, index): Job => {
    return { id: 5_000_000 + index, runner: longLived, at: from + index * gapMs };
  });
  const told = [...fresh.flatMap(factsOf), ...facts.slice(0, 6_000)];
  const seconds = await cpuSeconds(() => {
    for (const [index, fact] of told.entries()) {
      joiner.changed(builds.learn(fact, from), from);
      const event = events[index];
      const { occurredAt } = fact;
      if (event !== undefined) {
        joiner.join({ ...event, id: `egress:${index}`, feed: "egress", occurredAt }, from);
      }
    }
  });
  return (2 * told.length) / seconds;
}
