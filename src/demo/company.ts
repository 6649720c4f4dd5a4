/**
 * @module The demo company: its repositories, build machines and ordinary days. Everything follows
 * from a seed.
 */

import { dayMs, type EpochMs, minuteMs, secondMs } from "../clock.ts";
import { type DemoJob, type DemoRunner, idOf, type Post } from "./feeds.ts";
import { audit, preparedJob, push, workflowJob, workflowRun } from "./github.ts";
import { type DemoRequest, falco, registry, squid } from "./runtime.ts";

export const cacheUrl = "http://cache.corp.example";
export const registryActor = "payments-ci";

/** One machine a repository, so that jobs never overlap on one. Index 7 is `build-07`. */
export function runner(index: number): DemoRunner {
  const name = `build-${String(index).padStart(2, "0")}`;
  return { name, id: 400 + index, address: `10.20.0.${10 + index}` };
}

const repositories = [
  "acme/ledger",
  "acme/storefront",
  "acme/build-tools",
  "acme/mobile-api",
  "acme/search",
  "acme/notifications",
  "acme/payments",
  "acme/terraform-live",
] as const;

const people = ["dana-o", "keiko-s", "tomas-r", "amira-h"] as const;

/**
 * A small generator of numbers below `limit`, the same for the same seed (a linear congruential one
 * is enough).
 */
export function seeded(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state % limit;
  };
}

/**
 * The webhooks and audit entries of one job, from request to completion (or up to its start while
 * it runs).
 */
export function jobPosts(job: DemoJob): Post[] {
  const posts = [
    workflowRun(job, "requested"),
    workflowJob(job, "queued"),
    preparedJob(job),
    workflowJob(job, "in_progress"),
  ];
  if (job.completedAt === undefined) return posts;
  return [...posts, workflowJob(job, "completed"), workflowRun(job, "completed")];
}

/**
 * Ordinary days before `end`: builds of every repository, the payment service's nightly, audit
 * entries of people.
 */
export function ordinaryDays(end: EpochMs, days: number): Post[] {
  const next = seeded(20_261_124);
  const posts: Post[] = [];
  for (let day = days; day >= 1; day -= 1) {
    const midnight = end - day * dayMs;
    repositories.forEach((repository, index) => {
      for (let build = 0; build < 2; build += 1) {
        const startedAt = midnight + (8 + 4 * build) * 60 * minuteMs + next(90) * minuteMs;
        posts.push(...ordinaryBuild({ repository, index: index + 1, startedAt, day, build }, next));
      }
    });
    posts.push(
      ...nightly(nightlyJob(midnight, day)),
      ...people.map((name) => reading(name, midnight, next)),
    );
  }
  return posts;
}

interface OrdinaryBuild {
  readonly repository: string;
  readonly index: number;
  readonly startedAt: EpochMs;
  readonly day: number;
  readonly build: number;
}

function ordinaryBuild(
  { repository, index, startedAt, day, build }: OrdinaryBuild,
  next: (limit: number) => number,
): Post[] {
  const actor = people[next(people.length)] ?? people[0];
  const job: DemoJob = {
    repository,
    workflow: "ci",
    workflowFile: ".github/workflows/ci.yml",
    job: "test",
    runId: idOf(`${repository}/${day}/${build}`),
    runNumber: 2_000 - day * 2 + build,
    trigger: "push",
    actor,
    branch: "main",
    runner: runner(index),
    startedAt,
    completedAt: startedAt + (4 + next(9)) * minuteMs,
    secrets: ["COVERAGE_TOKEN"],
    steps: ["Set up job", "Checkout", "Restore cache", "Test", "Upload coverage"],
  };
  const week = Math.floor(day / 7);
  const key = `${cacheUrl}/${repository.slice(5)}/deps-${week}.tar.zst`;
  const requests: DemoRequest[] = [
    {
      at: startedAt + 20 * secondMs,
      method: "CONNECT",
      url: "api.github.com:443",
      address: "192.0.2.10",
    },
    { at: startedAt + 30 * secondMs, method: "GET", url: key, bytesIn: 48_220_114 },
    {
      at: startedAt + 90 * secondMs,
      method: "POST",
      url: "http://coverage.corp.example/upload",
      bytesOut: 18_244,
    },
  ];
  if (build === 0 && day % 7 === 0) {
    requests.push({
      at: startedAt + 100 * secondMs,
      method: "PUT",
      url: key,
      status: 201,
      bytesOut: 48_220_114,
    });
  }
  const change = {
    repository,
    at: startedAt - minuteMs,
    actor,
    summary: "Small fixes",
    modified: ["src/app.py"],
  };
  const posts = [push(change), ...jobPosts(job), squid(job.runner.address, requests)];
  if (next(3) === 0) posts.push(stockNoise(job));
  return posts;
}

/** What a stock Falco says all day on build machines: true, and of no interest. */
function stockNoise(job: DemoJob): Post {
  return falco({
    at: job.startedAt + 40 * secondMs,
    host: job.runner.name,
    rule: "Run shell untrusted",
    priority: "Notice",
    tags: [
      "container",
      "host",
      "maturity_stable",
      "mitre_execution",
      "process",
      "shell",
      "T1059.004",
    ],
    text: "Shell spawned by untrusted binary | shell=bash parent=node",
    fields: {
      "proc.name": "bash",
      "proc.cmdline": "bash -e /runner/_temp/step.sh",
      "proc.pname": "node",
      "proc.exepath": "/usr/bin/bash",
      "evt.type": "execve",
      "user.name": "runner",
      "container.id": "host",
      "k8s.pod.name": null,
      "k8s.ns.name": null,
    },
  });
}

/**
 * The payment service's nightly build of the night that ends `midnight`; `day` 0 is tonight's,
 * still running.
 */
export function nightlyJob(startedAt: EpochMs, day: number): DemoJob {
  return {
    repository: "acme/payments",
    workflow: "nightly",
    workflowFile: ".github/workflows/nightly.yml",
    job: "integration",
    runId: idOf(`nightly/${day}`),
    runNumber: 812 - day,
    trigger: "schedule",
    actor: "dana-o",
    branch: "main",
    runner: runner(7),
    startedAt,
    ...(day === 0 ? {} : { completedAt: startedAt + 16 * minuteMs }),
    secrets: ["REGISTRY_PAT", "STAGING_DB_URL", "SIGNING_KEY"],
    steps: ["Set up job", "Checkout", "Restore cache", "Build image", "Integration tests"],
  };
}

/** One quiet night: restore the cache, pull the base image, test, push the image. */
function nightly(job: DemoJob): Post[] {
  const { startedAt, runner: machine } = job;
  const use = { actor: registryActor, address: machine.address, agent: "buildkit/0.15" };
  return [
    ...jobPosts(job),
    squid(machine.address, [
      {
        at: startedAt + 15 * secondMs,
        method: "CONNECT",
        url: "api.github.com:443",
        address: "192.0.2.10",
      },
      {
        at: startedAt + 25 * secondMs,
        method: "GET",
        url: `${cacheUrl}/shared/py312-wheels-77aa.tar.zst`,
      },
      {
        at: startedAt + 9 * minuteMs,
        method: "POST",
        url: "http://coverage.corp.example/upload",
        bytesOut: 20_114,
      },
    ]),
    registry({ ...use, at: startedAt + 60 * secondMs, action: "pull", image: "base/python" }),
    registry({ ...use, at: startedAt + 14 * minuteMs, action: "push", image: "payments/service" }),
  ];
}

function reading(actor: string, midnight: EpochMs, next: (limit: number) => number): Post {
  const at = midnight + (9 + next(8)) * 60 * minuteMs;
  const repo = repositories[next(repositories.length)] ?? repositories[0];
  const entry = { actor, actor_id: idOf(actor), repo, repo_id: idOf(repo), user: "" };
  return audit(at, [
    { action: "git.clone", transport_protocol: 1, transport_protocol_name: "http", ...entry },
    { action: "git.fetch", transport_protocol: 1, transport_protocol_name: "http", ...entry },
    { action: "pull_request.create", operation_type: "create", ...entry },
  ]);
}
