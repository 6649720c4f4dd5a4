/**
 * @module A company that always has the same number of jobs at work, as its feeds would tell it:
 * the input of the simulation of state sizes.
 */

import { createHash } from "node:crypto";
import { type EpochMs, minuteMs, secondMs } from "../../src/clock.ts";
import type { DemoJob, DemoRunner, Post } from "../../src/demo/feeds.ts";
import { preparedJob, workflowJob, workflowRun } from "../../src/demo/github.ts";
import type { Event, Feed, Fields, JoinKeys } from "../../src/event/event.ts";

export const jobMs: EpochMs = 10 * minuteMs;
/** The next job of a machine begins this much after the last one ended. */
const gapMs = 20 * secondMs;
/** One job in so many saves a cache entry, and is refused a host by the proxy. */
const seldom = 10;

export interface CompanySettings {
  /** Jobs at work at any time. */
  readonly concurrent: number;
  /** Runtime and egress events of one job. */
  readonly eventsPerJob: number;
  /** How long after its job began the audit log tells of it. */
  readonly auditDelayMs: number;
}

/** What a feed tells, when it arrives. */
export type Told =
  | { readonly at: EpochMs; readonly post: Post }
  | { readonly at: EpochMs; readonly event: Event };

/** The machine of a slot: half of them live on, half are pods made for one job. */
function runnerOf(slot: number, turn: number): DemoRunner {
  const address = `10.${64 + (slot >> 16)}.${(slot >> 8) & 255}.${slot & 255}`;
  const name =
    slot % 2 === 0 ? `build-${slot}` : `arc-${slot.toString(36)}-runner-${turn.toString(36)}`;
  return { name, id: 1_000 + slot, address };
}

/** For the inventory: the machines that live on. */
export function machines(concurrent: number): readonly { name: string; addresses: string[] }[] {
  return Array.from({ length: Math.ceil(concurrent / 2) }, (_, half) => {
    const { name, address } = runnerOf(2 * half, 0);
    return { name, addresses: [address] };
  });
}

function jobOf(slot: number, turn: number, startedAt: EpochMs): DemoJob {
  const runId = 7_000_000_000 + turn * 1_000_000 + slot;
  return {
    ...{ repository: `acme/repo-${slot % 400}`, workflow: "ci", job: "test", runId },
    ...{ workflowFile: ".github/workflows/ci.yml", runNumber: runId % 10_000, trigger: "push" },
    ...{ actor: "dana-o", branch: "main", startedAt, completedAt: startedAt + jobMs - gapMs },
    ...{ runner: runnerOf(slot, turn), secrets: ["COVERAGE_TOKEN"] },
    steps: ["Set up job", "Checkout", "Restore cache", "Test", "Upload coverage"],
  };
}

/** Everything told of the job, in no order. */
export function toldOf(slot: number, turn: number, settings: CompanySettings): readonly Told[] {
  const { concurrent, eventsPerJob, auditDelayMs } = settings;
  const startedAt = turn * jobMs + Math.floor((slot * jobMs) / concurrent) + minuteMs;
  const job = jobOf(slot, turn, startedAt);
  const posts = [
    workflowRun(job, "requested"),
    workflowJob(job, "queued"),
    workflowJob(job, "in_progress"),
    workflowJob(job, "completed"),
    workflowRun(job, "completed"),
  ];
  const prepared = preparedJob(job);
  const late = { ...prepared, at: prepared.at + auditDelayMs };
  const share = (jobMs - gapMs - minuteMs) / eventsPerJob;
  const events = Array.from({ length: eventsPerJob }, (_, index) => {
    const at = startedAt + 30 * secondMs + Math.floor(index * share);
    return { at: at + secondMs, event: eventOf(job, { index, at, slot, turn }) };
  });
  return [...[...posts, late].map((post) => ({ at: post.at, post })), ...events];
}

interface Moment {
  readonly index: number;
  readonly at: EpochMs;
  readonly slot: number;
  readonly turn: number;
}

/**
 * The first restores a cache entry; one in ten jobs saves one, and one in ten is refused a host.
 */
function eventOf(job: DemoJob, moment: Moment): Event {
  const { index, slot, turn } = moment;
  if (index === 0) return cacheEvent(job, moment, "GET", `deps-${slot % 100}`);
  if (index === 1 && turn % seldom === slot % seldom) {
    return cacheEvent(job, moment, "PUT", `deps-${slot % 100}`);
  }
  if (index === 2 && turn % seldom === slot % seldom) return refused(job, moment);
  return started(job, moment);
}

function cacheEvent(job: DemoJob, moment: Moment, method: string, name: string): Event {
  const path = `/${job.repository}/${name}.tar.zst`;
  return egress(job, moment, {
    ...{ "http.request.method": method, "url.full": `http://cache.corp.example${path}` },
    ...{ "url.path": path, "url.domain": "cache.corp.example", "url.scheme": "http" },
    ...{ "destination.domain": "cache.corp.example", "destination.port": 80 },
    ...{ "http.response.status_code": 200, "pipewarden.egress.decision": "allow" },
  });
}

function refused(job: DemoJob, moment: Moment): Event {
  return egress(job, moment, {
    ...{ "http.request.method": "CONNECT", "url.domain": "mirror.example" },
    ...{ "destination.domain": "mirror.example", "destination.port": 443 },
    ...{ "http.response.status_code": 403, "pipewarden.egress.decision": "deny" },
  });
}

function egress({ runner }: DemoJob, moment: Moment, fields: Fields): Event {
  const logsource = { product: "ci", category: "proxy", service: "squid" };
  const all = { ...fields, "source.ip": runner.address, "user_agent.original": "curl/8.5.0" };
  const join = moment.slot % 2 === 0 ? { address: runner.address } : { pod: runner.name };
  return event("egress", moment, { logsource, fields: all, join });
}

function started({ runner }: DemoJob, moment: Moment): Event {
  const { slot } = moment;
  const join =
    slot % 2 === 0 ? { host: runner.name } : { pod: runner.name, address: runner.address };
  return event("falco", moment, {
    logsource: { product: "linux", category: "process_creation" },
    fields: {
      ...{ "process.name": "node", "process.executable": "/usr/local/bin/node" },
      ...{ "process.command_line": "node ./node_modules/.bin/tsc --noEmit -p .", "user.id": 1001 },
      ...{ "process.parent.name": "bash", "process.pid": 2_000 + moment.index },
    },
    join,
  });
}

interface EventParts {
  readonly logsource: Event["logsource"];
  readonly fields: Fields;
  readonly join: JoinKeys;
}

function event(feed: Feed, { slot, turn, index, at }: Moment, parts: EventParts): Event {
  const hash = createHash("md5").update(`${slot}/${turn}/${index}`).digest("hex");
  const raw = JSON.stringify(parts.fields);
  const times = { occurredAt: at, receivedAt: at + secondMs, timeSource: "feed" } as const;
  return { id: `${feed}:${hash}`, feed, ...times, ...parts, raw };
}
