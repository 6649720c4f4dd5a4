/** @module Builds and lineage facts for the tests. */

import { dayMs, type EpochMs } from "../../src/clock.ts";
import type { BuildContext } from "../../src/event/build.ts";
import type { LineageFact, LineageKind } from "../../src/lineage/lineage.ts";

export const start: EpochMs = Date.parse("2026-03-02T10:00:00Z");
export const day = (days: number): EpochMs => start + days * dayMs;

/** A trusted push to acme/app, unless told otherwise. */
export function build(runId: string, more: Partial<BuildContext> = {}): BuildContext {
  return {
    repository: "acme/app",
    workflow: "CI",
    runId,
    runAttempt: 1,
    runUrl: `https://git.example/acme/app/actions/runs/${runId}`,
    sha: "a".repeat(40),
    trigger: "push",
    fork: false,
    ...more,
  };
}

/**
 * The outsider's run of the story: a fork's pull request that runs in the base repository's name.
 */
export function outsider(runId: string, more: Partial<BuildContext> = {}): BuildContext {
  return build(runId, {
    repository: "acme/tooling",
    trigger: "pull_request_target",
    fork: true,
    headRepository: "mallory/tooling",
    pullRequest: 41,
    ...more,
  });
}

function fact(kind: LineageKind, run: BuildContext, thing: string, days: number): LineageFact {
  const eventId = `egress:${kind}-${run.repository}-${run.runId}-${thing}-${days}`;
  return { eventId, kind, thing, run, occurredAt: day(days) };
}

export const saved = (run: BuildContext, name: string, days: number): LineageFact =>
  fact("cache-saved", run, `cache:https://cache.example/${name}`, days);
export const restored = (run: BuildContext, name: string, days: number): LineageFact =>
  fact("cache-restored", run, `cache:https://cache.example/${name}`, days);
export const used = (run: BuildContext, actor: string, days: number): LineageFact =>
  fact("token-used", run, `token:registry.example/${actor}`, days);
export const published = (run: BuildContext, digest: string, days: number): LineageFact =>
  fact("artifact-published", run, `artifact:${digest}`, days);
