/** @module The little company of one seed: machines, jobs, what feeds tell of quiet work. */

import { type EpochMs, minuteMs, secondMs } from "../../src/clock.ts";
import { type DemoJob, type DemoRunner, idOf, type Post } from "../../src/demo/feeds.ts";
import { preparedJob, workflowJob, workflowRun } from "../../src/demo/github.ts";
import { type DemoRequest, falco, squid } from "../../src/demo/runtime.ts";
import type { Random } from "./random.ts";

export const startAt: EpochMs = Date.UTC(2026, 10, 24, 2);

/** A post, and whether it tells of builds: those may be held up for longer than the others. */
export interface Sending {
  readonly post: Post;
  readonly isBuild: boolean;
  /** How much later than it happened the feed sends it, by plan. */
  readonly lateMs: number;
}

/** An ephemeral runner is a pod of one job; the others are machines that live on. */
export interface SimJob extends DemoJob {
  readonly ephemeral: boolean;
  readonly completedAt: EpochMs;
}

/**
 * prompt: builds are told as they happen. within: up to a minute late, while events wait for them.
 * beyond: some are told long after everybody has stopped waiting.
 */
export type Lateness = "prompt" | "within" | "beyond";

export interface World {
  readonly runners: readonly DemoRunner[];
  readonly jobs: readonly SimJob[];
  /** Long-lived machines on which no job ever runs. */
  readonly idle: readonly DemoRunner[];
  readonly lateness: Lateness;
}

const repositories = ["acme/ledger", "acme/storefront", "acme/search", "acme/payments"] as const;

function machine(index: number): DemoRunner {
  const name = `build-${String(index).padStart(2, "0")}`;
  return { name, id: 400 + index, address: `10.20.0.${10 + index}` };
}

/** Jobs of one long-lived machine stand two minutes apart: their webhooks cannot be mixed up. */
const gapMs = 2 * minuteMs;

export function worldOf(random: Random): World {
  const lateness = random.pick<Lateness>(["prompt", "within", "within", "beyond"]);
  const used = random.shuffled(repositories).slice(0, random.between(2, 4));
  const jobs: SimJob[] = [];
  const runners: DemoRunner[] = [];
  const machines = random.between(1, 2);
  for (let index = 1; index <= machines; index += 1) {
    const runner = machine(index);
    runners.push(runner);
    let startedAt = startAt + random.between(1, 5) * minuteMs;
    // A machine that is blamed by its place alone must have one job to be blamed for.
    const count = lateness === "beyond" ? 1 : random.between(1, 3);
    for (let turn = 0; turn < count; turn += 1) {
      const job = jobOf({ random, used, runner, startedAt, ephemeral: false, number: jobs.length });
      jobs.push(job);
      startedAt = job.completedAt + gapMs + random.below(120) * secondMs;
    }
  }
  const pods = random.between(2, 4);
  for (let index = 0; index < pods; index += 1) {
    const name = `eph-${String.fromCharCode(97 + index)}${random.between(100, 999)}`;
    const runner = { name, id: 700 + index, address: `10.30.0.${10 + index}` };
    runners.push(runner);
    const startedAt = startAt + random.between(60, 20 * 60) * secondMs;
    jobs.push(jobOf({ random, used, runner, startedAt, ephemeral: true, number: jobs.length }));
  }
  const idle = [machine(8), machine(9)];
  runners.push(...idle);
  return { runners, jobs, idle, lateness };
}

function jobOf(parts: {
  readonly random: Random;
  readonly used: readonly string[];
  readonly runner: DemoRunner;
  readonly startedAt: EpochMs;
  readonly ephemeral: boolean;
  readonly number: number;
}): SimJob {
  const { random, used, runner, startedAt, ephemeral, number } = parts;
  const repository = random.pick(used);
  return {
    ...{ repository, runner, startedAt, ephemeral },
    workflow: "ci",
    workflowFile: ".github/workflows/ci.yml",
    job: random.pick(["test", "build", "release"]),
    runId: idOf(`${repository}/${number}/${startedAt}`),
    runNumber: 100 + number,
    trigger: "push",
    actor: random.pick(["dana-o", "keiko-s", "tomas-r"]),
    branch: "main",
    completedAt: startedAt + random.between(6, 9) * minuteMs,
    secrets: ["DEPLOY_KEY", "COVERAGE_TOKEN"],
    steps: ["Set up job", "Checkout", "Test", "Upload"],
  };
}

/** The same job as code of a fork runs: what it saves is tainted. */
export function asForkRun(job: SimJob): SimJob {
  return {
    ...job,
    trigger: "pull_request_target",
    headRepository: `quiet-otter/${job.repository.slice(5)}`,
    actor: "quiet-otter",
    branch: "docs-typo",
    secrets: [],
  };
}

/** What GitHub tells of a job, by webhook and, `prepared`, by its audit stream. */
export function jobPosts(job: SimJob, prepared = true): Post[] {
  return [
    workflowRun(job, "requested"),
    workflowJob(job, "queued"),
    ...(prepared ? [preparedJob(job)] : []),
    workflowJob(job, "in_progress"),
    workflowJob(job, "completed"),
    workflowRun(job, "completed"),
  ];
}

/** What GitHub tells of a job; some of it late as the world has it. */
export function buildSendings(job: SimJob, lateness: Lateness, random: Random): Sending[] {
  const beyond = random.chance(0.5) ? random.between(8, 20) * minuteMs : 0;
  const within = random.between(0, 45) * secondMs;
  const lateMs = { prompt: 0, within, beyond }[lateness];
  const posts = jobPosts(job, random.chance(0.8));
  return posts.map((post) => ({ post, isBuild: true, lateMs }));
}

/**
 * A job that ended just before: from it pipewarden has learnt that this company's feeds tell of
 * secrets and job ids. (What comes before the very first telling is remembered in memory only, and
 * a crash then loses a correction; see src/enrichment/waiting.ts.)
 */
export function jobBefore(random: Random): Sending[] {
  const startedAt = startAt - 7 * minuteMs;
  const parts = { random, used: ["acme/docs"], runner: machine(7), ephemeral: false, number: 99 };
  const job = { ...jobOf({ ...parts, startedAt }), completedAt: startAt - minuteMs };
  return [...buildSendings(job, "prompt", random), { ...sending(preparedJob(job)) }];
}

export function sending(post: Post): Sending {
  return { post, isBuild: false, lateMs: 0 };
}

export function requests(job: SimJob, list: readonly DemoRequest[]): Sending {
  return sending(squid(job.runner.address, list));
}

/** A Falco alert of the job's pod, or of the machine. */
export function alertOn(
  on: { readonly runner: DemoRunner; readonly ephemeral: boolean },
  parts: {
    readonly at: EpochMs;
    readonly rule: string;
    readonly name: string;
    readonly commandLine: string;
    readonly path?: string;
  },
): Sending {
  const { runner, ephemeral } = on;
  const { at, rule, name, commandLine, path } = parts;
  return sending(
    falco({
      ...{ at, rule, priority: "Warning", tags: [], text: rule },
      // A node of its own: what happens on one node without a known build is one incident.
      host: ephemeral ? `node-${runner.id}` : runner.name,
      fields: {
        "proc.name": name,
        "proc.cmdline": commandLine,
        "evt.type": path === undefined ? "execve" : "openat",
        "container.id": ephemeral ? "0a1b2c3d4e5f" : "host",
        "k8s.pod.name": ephemeral ? runner.name : null,
        ...(path === undefined ? {} : { "fd.name": path }),
      },
    }),
  );
}
