/** @module One run's taints: how they merge, which come first, and how they read. Pure. */

import { dayMs, type EpochMs } from "../clock.ts";
import { type BuildContext, isUntrusted } from "../event/build.ts";

/** A taint as the graph keeps it: runs by key. */
export interface TaintEntry {
  /** The run whose content it is. */
  readonly origin: string;
  readonly thing: string;
  readonly savedAt: EpochMs;
  /** When this run took it in. */
  readonly restoredAt: EpochMs;
  /** 1: restored from the origin itself. */
  readonly depth: number;
  /** The run it was restored from. */
  readonly via: string;
  /** Job and step of the origin that saved it, when known. */
  readonly job?: string;
  readonly step?: string;
}

/** Enough for a page of evidence; the rest would say the same. */
const taintsMax = 64;

/**
 * Both lists as one, nearest first. Of two with the same origin the earliest restored is kept,
 * since all that was saved after it carries it; one thing stands for all that came from there. The
 * same list when nothing is added.
 */
export function mergeTaints(
  list: readonly TaintEntry[],
  added: readonly TaintEntry[],
): readonly TaintEntry[] {
  if (added.length === 0) return list;
  const kept = new Map(list.map((taint) => [taint.origin, taint]));
  let changed = false;
  for (const taint of added) changed = keepEarlier(kept, taint) || changed;
  return changed ? nearestOf(kept) : list;
}

/** Puts the taint where none of its origin stands, or a later one. */
export function keepEarlier(kept: Map<string, TaintEntry>, taint: TaintEntry): boolean {
  const old = kept.get(taint.origin);
  if (old !== undefined && compare(old, taint) <= 0) return false;
  kept.set(taint.origin, taint);
  return true;
}

export function nearestOf(kept: ReadonlyMap<string, TaintEntry>): readonly TaintEntry[] {
  return [...kept.values()].sort(byNearness).slice(0, taintsMax);
}

export function sameTaints(a: readonly TaintEntry[], b: readonly TaintEntry[]): boolean {
  return a === b || (a.length === b.length && JSON.stringify(a) === JSON.stringify(b));
}

function compare(a: TaintEntry, b: TaintEntry): number {
  return (
    a.restoredAt - b.restoredAt ||
    a.depth - b.depth ||
    a.savedAt - b.savedAt ||
    compareText(a.thing, b.thing) ||
    compareText(
      `${a.via}|${a.job ?? ""}|${a.step ?? ""}`,
      `${b.via}|${b.job ?? ""}|${b.step ?? ""}`,
    )
  );
}

function byNearness(a: TaintEntry, b: TaintEntry): number {
  return a.depth - b.depth || b.savedAt - a.savedAt || compareText(a.origin, b.origin);
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/**
 * `restored a cache entry saved by fork PR #41 of acme/tooling (pull_request_target, run 7) 21 days
 * before`
 */
export function reasonOf(
  taint: TaintEntry,
  origin: BuildContext,
  via: BuildContext | undefined,
): string {
  const saved = `saved by ${describe(origin)} ${ageOf(taint.restoredAt - taint.savedAt)}`;
  if (taint.depth === 1 || via === undefined) return `restored a cache entry ${saved}`;
  const between = `${via.repository} run ${via.runId}`;
  return `restored a cache entry of ${between}, which carries one ${saved}`;
}

function describe(build: BuildContext): string {
  const { repository, trigger, pullRequest, fork, headRepository } = build;
  const details = [
    trigger,
    `run ${build.runId}${build.runAttempt > 1 ? ` attempt ${build.runAttempt}` : ""}`,
    fork && headRepository !== undefined ? `code from ${headRepository}` : undefined,
  ].filter((detail) => detail !== undefined);
  return `${whose(fork, isUntrusted(build), pullRequest)} of ${repository} (${details.join(", ")})`;
}

function whose(fork: boolean, untrusted: boolean, pullRequest: number | undefined): string {
  const request = pullRequest === undefined ? undefined : `PR #${pullRequest}`;
  if (fork) return request === undefined ? "a fork's run" : `fork ${request}`;
  if (untrusted) return request === undefined ? "an untrusted run" : `untrusted ${request}`;
  return request === undefined ? "a suspicious run" : `suspicious ${request}`;
}

function ageOf(ms: number): string {
  const days = Math.floor(ms / dayMs);
  if (days < 1) return "less than a day before";
  return days === 1 ? "1 day before" : `${days} days before`;
}
