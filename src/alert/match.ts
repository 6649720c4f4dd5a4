/**
 * @module What a match says of itself: its builds, its place, its fingerprint and its causal keys.
 * Pure.
 */

import { createHash } from "node:crypto";
import type { Match, MatchedRule } from "../detection/detection.ts";
import { type BuildContext, runKey } from "../event/build.ts";
import { type Event, fieldOf, textOf } from "../event/event.ts";

type Level = MatchedRule["level"];

const ranks: Readonly<Record<Level, number>> = {
  informational: 0,
  low: 1,
  medium: 2,
  high: 3,
  critical: 4,
};

/** Orders levels: a higher number is a higher level. */
export function rankOf(level: Level): number {
  return ranks[level];
}

/** `prefix` and 20 hex digits of the SHA-256 of the parts: equal parts give equal ids. */
export function idOf(prefix: string, parts: readonly string[]): string {
  const digest = createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  return `${prefix}${digest.slice(0, 20)}`;
}

/**
 * The builds of a match, each run once, the latest event's first: that one is the match's own
 * build.
 */
export function buildsOf(match: Pick<Match, "events">): readonly BuildContext[] {
  const builds = new Map<string, BuildContext>();
  for (const { build } of match.events.toReversed()) {
    if (build !== undefined && !builds.has(runKey(build))) builds.set(runKey(build), build);
  }
  return [...builds.values()];
}

type Reader = (event: Event) => string | undefined;

/** Where something happened, by kind; the narrowest first. */
const readers = {
  runner: (event) => event.join.runnerName ?? textOf(event.fields, "cicd.worker.name"),
  pod: (event) => event.join.pod ?? textOf(event.fields, "orchestrator.resource.name"),
  host: (event) => event.join.host ?? textOf(event.fields, "host.hostname"),
  ip: (event) => textOf(event.fields, "source.ip") ?? event.join.address,
  repository: (event) => event.join.repository ?? textOf(event.fields, "vcs.repository.name"),
  actor: (event) => textOf(event.fields, "user.name"),
} as const satisfies Record<string, Reader>;

type PlaceKind = keyof typeof readers;

const foldPlaces: readonly PlaceKind[] = ["runner", "pod", "host", "ip", "repository", "actor"];
const incidentPlaces: readonly PlaceKind[] = ["host", "pod", "runner", "repository", "actor", "ip"];

/**
 * The first place in `kinds` that an event of the match names, latest event first; the feed when
 * none does.
 */
function placeOf(match: MatchParts, kinds: readonly PlaceKind[]): string {
  const events = match.events.toReversed();
  for (const kind of kinds) {
    for (const event of events) {
      const value = readers[kind](event);
      if (value !== undefined && value !== "") return `${kind}:${value.toLowerCase()}`;
    }
  }
  return `feed:${events[0]?.feed ?? "none"}`;
}

/** The values of the rule's `dedupe` fields; undefined when the match has none of them. */
function dedupeValues(match: Match): readonly string[] | undefined {
  const events = match.events.toReversed();
  const values = match.rule.dedupe.map((name) => {
    for (const { fields } of events) {
      const value = fieldOf(fields, name);
      if (value !== undefined) return JSON.stringify(value);
    }
    const inGroup = match.group.find(([groupName]) => groupName === name);
    return inGroup === undefined ? undefined : JSON.stringify(inGroup[1]);
  });
  if (values.every((value) => value === undefined)) return undefined;
  return values.map((value) => value ?? "");
}

/**
 * Rule and group. The group is what the rule's `dedupe` names; else the run, with a correlation's
 * own group; else that group alone; else the place.
 */
export function fingerprintOf(match: Match): string {
  const { rule, group } = match;
  const values = dedupeValues(match);
  if (values !== undefined) return idOf("fp_", [rule.id, "dedupe", ...values]);
  const [build] = buildsOf(match);
  const place = build === undefined ? [] : ["run", runKey(build)];
  const groupParts = group.flat();
  if (place.length === 0 && groupParts.length === 0) {
    return idOf("fp_", [rule.id, "place", placeOf(match, foldPlaces)]);
  }
  return idOf("fp_", [rule.id, ...place, "group", ...groupParts]);
}

/** What the keys are made of: a match, or an alert with the events it kept. */
export type MatchParts = Pick<Match, "rule" | "events" | "group">;

/** What a match belongs to beside its runs. */
export interface CausalKeys {
  /** `run:<runKey>` of each build. */
  readonly runs: readonly string[];
  /** `<kind>:<value>` of the rule's `causes`. */
  readonly causes: readonly string[];
  /** The tokens among the causes, as lineage names them: `token:<value>`. */
  readonly tokens: readonly string[];
  /** Set for a match without any build: where it happened. Links only what is near in time. */
  readonly place?: string;
}

/** More values of one match would make the keys of a storm, not of a cause. */
const causesMax = 32;

/** `token:<value>`, whether or not the value has the kind in front already. */
function causeKey(kind: string, value: string): string {
  return value.startsWith(`${kind}:`) ? value : `${kind}:${value}`;
}

export function causalKeysOf(match: MatchParts): CausalKeys {
  const causes = new Set<string>();
  const tokens = new Set<string>();
  for (const [kind, field] of Object.entries(match.rule.causes)) {
    for (const value of valuesOf(match, field)) {
      if (causes.size === causesMax) break;
      const key = causeKey(kind, value);
      causes.add(key);
      if (kind === "token") tokens.add(key);
    }
  }
  const runs = buildsOf(match).map((build) => `run:${runKey(build)}`);
  const keys = { runs, causes: [...causes], tokens: [...tokens] };
  return runs.length > 0 ? keys : { ...keys, place: `place:${placeOf(match, incidentPlaces)}` };
}

function valuesOf(match: MatchParts, field: string): readonly string[] {
  const values = new Set<string>();
  for (const { fields } of match.events) {
    const found = fieldOf(fields, field);
    for (const value of Array.isArray(found) ? found : [found]) {
      if (value !== undefined && value !== null && value !== "") values.add(String(value));
    }
  }
  for (const [name, value] of match.group) if (name === field && value !== "") values.add(value);
  return [...values];
}

/**
 * Whether the match speaks against what its run saves: from `high` up. Below that are things that
 * trusted builds do every day; a taint would tie all who share their cache into one incident, and a
 * later attack there would page nobody. An untrusted run taints without any match. A vulnerable
 * package never does: else every build that scans itself would taint all that use its cache.
 */
export function isSuspicious(match: Match): boolean {
  if (rankOf(match.rule.level) < rankOf("high")) return false;
  return match.events.some(({ feed }) => feed !== "trivy");
}
