/**
 * @module Golden scenarios: the same posts straight, re-batched, killed and restored, and
 * re-partitioned, and what people must find afterwards, in words that do not depend on any of it.
 */

import { type EpochMs, minuteMs, secondMs } from "../../src/clock.ts";
import type { Post } from "../../src/demo/feeds.ts";
import { blobPost, environmentRead, imagePulls } from "../../src/demo/midnight-commit.ts";
import { squid } from "../../src/demo/runtime.ts";
import { demoConfig, demoLists, night, rulesWithout, shortHistory } from "../pipeline/company.ts";
import type { Arrival } from "./arrivals.ts";
import { type Fate, Faults, type Step } from "./faults.ts";
import { inStore } from "./oracle.ts";
import { openDurable, type Setup, simulationSetup } from "./rig.ts";
import { cacheHost } from "./rules.ts";
import { play } from "./simulation.ts";
import { alertOn, asForkRun, jobPosts, requests, type SimJob, startAt } from "./world.ts";

export interface Scenario {
  readonly name: string;
  readonly startAt: EpochMs;
  readonly posts: readonly Post[];
  readonly setup: Setup;
}

/** One way to run a scenario. */
export interface Variation {
  readonly name: string;
  readonly partitions?: number;
  readonly batchMax?: number;
  /** Posts of so much time reach the door at once. Absent: each at its time. */
  readonly windowMs?: number;
  /** The process dies after each so-many-th commit. */
  readonly killEvery?: number;
}

export const variations: readonly Variation[] = [
  { name: "straight" },
  { name: "in batches of one", batchMax: 1 },
  { name: "in batches of seven", batchMax: 7 },
  { name: "in batches of 500, a minute's posts at once", batchMax: 500, windowMs: minuteMs },
  { name: "five seconds' posts at once", windowMs: 5 * secondMs },
  { name: "killed after each 53rd commit", killEvery: 53 },
  { name: "killed after each 101st commit, in batches of one", killEvery: 101, batchMax: 1 },
  { name: "on one partition", partitions: 1 },
  { name: "on three partitions", partitions: 3 },
  { name: "on eight partitions, killed after each 139th commit", partitions: 8, killEvery: 139 },
];

/** Dies after each so-many-th commit, and has no other fault. */
class Kills extends Faults {
  readonly #every: number;
  #commits = 0;

  constructor(every: number) {
    super(0, new Set());
    this.#every = every;
  }

  override fate(step: Step, what: string): Fate {
    const fate = super.fate(step, what);
    if (step !== "commit" || !this.active) return fate;
    this.#commits += 1;
    return this.#commits % this.#every === 0 ? "crash-after" : fate;
  }
}

export interface Outcome {
  /** For the golden file. */
  readonly found: object;
  readonly lives: number;
}

export async function outcomeOf(scenario: Scenario, variation: Variation): Promise<Outcome> {
  const { startAt: from, setup } = scenario;
  const faults = new Kills(variation.killEvery ?? Number.POSITIVE_INFINITY);
  const { partitions, batchMax, windowMs } = variation;
  const durable = openDurable(faults, {
    startAt: from,
    ...(partitions === undefined ? {} : { partitions }),
    ...(batchMax === undefined ? {} : { batchMax }),
  });
  const arrivals = arrivalsIn(scenario.posts, windowMs);
  const { lives, backlog, owed } = await play({ durable, faults, arrivals, setup, growth: 2 });
  const stored = await inStore(durable.store);
  const pages = durable.receiver.pages.map(({ key }) => key).sort();
  await durable.close();
  return { found: { ...goldenForm(stored), pages, backlog, owed }, lives };
}

/** Each post at its time, or all of one stretch of time at its end. */
function arrivalsIn(posts: readonly Post[], windowMs = 1): Arrival[] {
  const arrivals = posts.map((post) => {
    return { at: Math.ceil((post.at + 1) / windowMs) * windowMs - 1, post };
  });
  return arrivals.sort((a, b) => a.at - b.at);
}

/** Without revisions and times of processing; ids stay. */
function goldenForm({ incidents, alerts }: Awaited<ReturnType<typeof inStore>>): object {
  const date = (at: EpochMs) => new Date(at).toISOString();
  return {
    incidents: incidents
      .map(({ revision: _revision, openedAt: _openedAt, pagedAt, build, ...incident }) => ({
        ...incident,
        paged: pagedAt !== undefined,
        run: build === undefined ? "none" : `${build.repository}#${build.runId}`,
        alertIds: [...incident.alertIds].sort(),
        mergedIds: [...incident.mergedIds].sort(),
        origins: incident.origins.map(({ thing, origin }) => `${thing} by ${origin.runId}`).sort(),
        firstSeen: date(incident.firstSeen),
        lastSeen: date(incident.lastSeen),
      }))
      .sort((a, b) => (a.id < b.id ? -1 : 1)),
    alerts: alerts
      .map(({ id, incidentId, fingerprint, rule, reason, build, count, ...seen }) => ({
        ...{ id, incidentId, fingerprint, rule: rule.title, reason, count },
        run: build === undefined ? "none" : `${build.repository}#${build.runId}`,
        firstSeen: date(seen.firstSeen),
        lastSeen: date(seen.lastSeen),
        events: seen.events.map((event) => event.id).sort(),
      }))
      .sort((a, b) => (a.id < b.id ? -1 : 1)),
  };
}

function jobOf(number: number, startMinute: number, ephemeral: boolean): SimJob {
  const startedAt = startAt + startMinute * minuteMs;
  const name = ephemeral ? `eph-g${number}` : `build-${String(number).padStart(2, "0")}`;
  return {
    ...{ startedAt, ephemeral, repository: `acme/service-${number}`, job: "test" },
    ...{ workflow: "ci", workflowFile: ".github/workflows/ci.yml", branch: "main" },
    runner: { name, id: 400 + number, address: `10.20.0.${10 + number}` },
    runId: 9_000 + number,
    runNumber: number,
    trigger: "push",
    actor: "dana-o",
    completedAt: startedAt + 8 * minuteMs,
    secrets: ["DEPLOY_KEY"],
    steps: ["Checkout", "Test"],
  };
}

const idle = { runner: { name: "build-09", id: 409, address: "10.20.0.19" }, ephemeral: false };

function scenarioOf(name: string, jobs: readonly SimJob[], posts: readonly Post[]): Scenario {
  const runners = [...jobs.map(({ runner }) => runner), idle.runner];
  const sorted = posts.toSorted((a, b) => a.at - b.at);
  return { name, startAt, posts: sorted, setup: simulationSetup({ runners }) };
}

function postTo(job: SimJob, afterSeconds: number, url: string): Post {
  const at = job.startedAt + afterSeconds * secondMs;
  const address = "203.0.113.77";
  return requests(job, [{ at, method: "POST", url, address, bytesOut: 3_981 }]).post;
}

function read(job: SimJob, afterSeconds: number): Post {
  const at = job.startedAt + afterSeconds * secondMs;
  const parts = { rule: "Read environment", name: "python3", commandLine: "python3 -m pytest" };
  return alertOn(job, { at, ...parts, path: "/proc/2114/environ" }).post;
}

/** Everything that needs a window: a pair in time, one too far apart, counts, distinct values. */
function windows(): Scenario {
  const [near, far, counts, values] = [1, 2, 3, 4].map((n) => jobOf(n, n, n % 2 === 0));
  if (!near || !far || !counts || !values) throw new TypeError("four jobs");
  const jobs = [near, far, counts, values];
  const refusals = [90, 120, 150, 300].map((after) => {
    const at = counts.startedAt + after * secondMs;
    const url = `h${after}.refused.example:443`;
    const post = squid(counts.runner.address, [{ at, method: "CONNECT", url, status: 403 }]);
    return { ...post, body: post.body.replace("TCP_TUNNEL:HIER_DIRECT", "TCP_DENIED:HIER_NONE") };
  });
  const visits = ["a", "b", "a", "c", "d"].map((host, index) => {
    const at = values.startedAt + (90 + index * 20) * secondMs;
    return requests(values, [{ at, method: "GET", url: `http://${host}.far.example/` }]).post;
  });
  return scenarioOf("windows", jobs, [
    ...jobs.flatMap((job) => jobPosts(job)),
    ...[read(near, 100), postTo(near, 160, "http://x.drop.example/u")],
    ...[read(far, 100), postTo(far, 300, "http://y.drop.example/u")],
    ...[...refusals, ...visits],
  ]);
}

/** A fork's run saves what two trusted ones restore and are then misused through: one page. */
function poisonedCache(): Scenario {
  const [saver, victim, other] = [1, 5, 6].map((n) => jobOf(n, n, n === 1));
  if (!saver || !victim || !other) throw new TypeError("three jobs");
  const url = `http://${cacheHost}/shared/wheels.tar.zst`;
  const restore = (job: SimJob, after: number): Post => {
    const at = job.startedAt + after * secondMs;
    return requests(job, [{ at, method: "GET", url, bytesIn: 61_880_402 }]).post;
  };
  const at = saver.startedAt + 120 * secondMs;
  const jobs = [saver, victim, other];
  return scenarioOf("poisoned-cache", jobs, [
    ...jobs.flatMap((job) => jobPosts(job === saver ? asForkRun(job) : job)),
    requests(saver, [{ at, method: "PUT", url, status: 201, bytesOut: 61_880_402 }]).post,
    ...[restore(victim, 70), restore(other, 80)],
    ...[postTo(victim, 200, "http://203.0.113.77/u"), postTo(other, 260, "http://203.0.113.77/v")],
  ]);
}

/** Builds told ten minutes late: pages go out without, and everything is put right afterwards. */
function lateBuilds(): Scenario {
  const [posting, shelled] = [jobOf(1, 1, false), jobOf(2, 2, true)];
  const late = (post: Post): Post => ({ ...post, at: post.at + 10 * minuteMs });
  const jobs = [posting, shelled];
  const shell = { rule: "Terminal shell on runner", name: "bash", commandLine: "bash -i" };
  const cron = { rule: "Schedule Cron Jobs", name: "sh", commandLine: "sh -c cron" };
  const at = startAt + 5 * minuteMs;
  return scenarioOf("late-builds", jobs, [
    ...jobs.flatMap((job) => jobPosts(job).map(late)),
    ...[120, 130, 250].map((after) => postTo(posting, after, "http://203.0.113.77/u")),
    alertOn(shelled, { at, ...shell }).post,
    alertOn(idle, { at, ...cron, path: "/etc/cron.d/job" }).post,
  ]);
}

/** The demo's three weeks, with the shipped rules. */
function midnightCommit(): Scenario {
  const posts = [
    ...shortHistory(),
    ...[environmentRead(night), blobPost(night)],
    ...imagePulls(night + 4 * minuteMs),
  ].sort((a, b) => a.at - b.at);
  const cacheHosts = demoLists.get("cache_hosts") ?? [];
  const setup = { ruleset: rulesWithout(), enrichment: demoConfig.enrichment, cacheHosts };
  return { name: "midnight-commit", startAt: posts[0]?.at ?? 0, posts, setup };
}

export const scenarios: readonly Scenario[] = [
  ...[windows(), poisonedCache(), lateBuilds(), midnightCommit()],
];
