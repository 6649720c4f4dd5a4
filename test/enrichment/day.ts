/**
 * @module A day of facts and events, what one who knew all of it first says of each, and how a
 * stage takes them.
 */

import { createInventory } from "../../src/enrichment/enrichment.ts";
import type { Event } from "../../src/event/event.ts";
import { emptyState } from "../../src/state/memory.ts";
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
import { Task } from "./task.ts";

export const inventory = createInventory([{ name: "vm-1", addresses: ["10.0.0.5"] }]);
const forked = { trigger: "pull_request", headRepository: fork };
const vm = { runner: "vm-1" };
const scaleSet = { id: 6001, runId: 80, name: "deploy", runner: "ss-1", labels: ["scale-set-a"] };

/**
 * What the feeds tell of a fork's run with a re-run and a matrix, of two runs on a runner that
 * lives on, and of a job on a scale set. No two of them contradict each other.
 */
export const told: readonly Event[] = [
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

export const activity: readonly Event[] = [
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

/** Everything that goes on because of this event, in order, as the stage does it. */
export function take(builds: Task, event: Event, seconds: number): Event[] {
  const now = at(seconds);
  const out = [...builds.due(now)];
  for (const fact of builds.factsOf(event)) out.push(...builds.learn(fact, now));
  const joined = builds.join(event, now);
  if (joined.kind === "ready") out.push(joined.event);
  return out;
}

/** What rules ask of a build. An audit entry names no attempt, and a job without its matrix. */
export function answer(one: Event | undefined): unknown {
  const { build, buildJoin, feed } = one ?? {};
  const { runId, runAttempt, trigger, fork: forks, pullRequest } = build ?? {};
  const ofRun = { runId, trigger, forks, pullRequest };
  if (feed === "github-audit") return ofRun;
  if (feed === "github-webhook") return { ...ofRun, runAttempt, job: build?.job };
  const { job, jobId, secretsPassed } = build ?? {};
  const { confidence } = buildJoin ?? {};
  return { ...ofRun, runAttempt, job, jobId, secretsPassed, confidence };
}

/** What one who knew all facts first says of every event of the day that he is sure of. */
export function sureAnswers(): ReadonlyMap<string, unknown> {
  const known = new Task({ state: emptyState(), inventory });
  for (const one of told) take(known, one, 0);
  const answers = [...told, ...activity].map((one) => {
    const [direct = known.due(at(9_000))[0]] = take(known, one, 0);
    return [one.id, direct] as const;
  });
  const exact = answers.filter(([, one]) => one?.buildJoin?.confidence === "exact");
  return new Map(exact.map(([id, one]) => [id, answer(one)]));
}
