/** @module Folding: which open alert a match belongs to, and what the alert becomes with it. */

import type { EpochMs } from "../clock.ts";
import type { Match } from "../detection/detection.ts";
import { shown } from "../error.ts";
import { type BuildContext, runKey } from "../event/build.ts";
import type { Event } from "../event/event.ts";
import { mask } from "./mask.ts";
import { buildsOf, fingerprintOf, idOf, rankOf } from "./match.ts";
import type { AlertMemory, AlertRecord } from "./memory.ts";

const eventsMax = 20;
const runsMax = 20;
const secretsMax = 100;
const episodesMax = 4;
/** Characters of an event's raw text kept in memory with the alert. */
const rawMax = 4_096;

/**
 * The alert of the fingerprint whose time reaches to the match; the nearest when there are several.
 */
export function openAlert(memory: AlertMemory, match: Match): AlertRecord | undefined {
  let nearest: { readonly record: AlertRecord; readonly apart: number } | undefined;
  for (const id of memory.episodes.get(fingerprintOf(match)) ?? []) {
    const record = memory.alerts.get(id);
    if (record === undefined) continue;
    const { firstSeen, lastSeen } = record;
    const apart = Math.max(0, firstSeen - match.occurredAt, match.occurredAt - lastSeen);
    if (apart > match.rule.dedupeMs) continue;
    if (nearest === undefined || apart <= nearest.apart) nearest = { record, apart };
  }
  return nearest?.record;
}

function kept(event: Event): Event {
  return event.raw.length <= rawMax ? event : { ...event, raw: `${event.raw.slice(0, rawMax)}…` };
}

/**
 * Both lists, each event once, a joined event before the same without its build; first and last
 * ones above the limit.
 */
function joinEvents(old: readonly Event[], added: readonly Event[]): readonly Event[] {
  const events = new Map(old.map((event) => [event.id, event]));
  for (const event of added) {
    if (event.build !== undefined || !events.has(event.id)) events.set(event.id, kept(event));
  }
  const all = [...events.values()].sort((left, right) => {
    return left.occurredAt - right.occurredAt || (left.id < right.id ? -1 : 1);
  });
  if (all.length <= eventsMax) return all;
  return [...all.slice(0, eventsMax / 2), ...all.slice(-eventsMax / 2)];
}

function secretsOf(builds: readonly BuildContext[]): readonly string[] {
  return builds.flatMap((build) => build.secretsPassed ?? []);
}

function union(left: readonly string[], right: readonly string[], max: number): readonly string[] {
  return [...new Set([...left, ...right])].slice(0, max);
}

function reasonText(match: Match): string {
  return shown(mask(match.reason), 400);
}

function remember(memory: AlertMemory, fingerprint: string, id: string): void {
  const episodes = (memory.episodes.get(fingerprint) ?? []).filter((episode) => episode !== id);
  memory.episodes.put(fingerprint, [...episodes, id].slice(-episodesMax));
}

function noteSeen(memory: AlertMemory, match: Match, seen: { alert: string; now: EpochMs }): void {
  const [build] = buildsOf(match);
  memory.matches.put(match.id, {
    alert: seen.alert,
    events: match.eventCount,
    ...(build === undefined ? {} : { run: runKey(build) }),
    touchedAt: seen.now,
  });
}

/**
 * Begins an alert. It has no incident yet: `incidentId` is empty until it is given one in the same
 * change.
 */
export function beginAlert(memory: AlertMemory, match: Match, now: EpochMs): AlertRecord {
  const builds = buildsOf(match);
  const [build] = builds;
  const fingerprint = fingerprintOf(match);
  const record: AlertRecord = {
    // The first match names the episode: when its build becomes known later, the id stays.
    id: idOf("alr_", [match.rule.id, match.id]),
    fingerprint,
    revision: 0,
    incidentId: "",
    rule: match.rule,
    reason: reasonText(match),
    ...(build === undefined ? {} : { build }),
    count: match.eventCount,
    firstSeen: match.occurredAt,
    lastSeen: match.occurredAt,
    receivedAt: match.receivedAt,
    runs: builds.map(runKey).slice(0, runsMax),
    secrets: union([], secretsOf(builds), secretsMax),
    folds: [fingerprint],
    touchedAt: now,
  };
  memory.evidence.put(record.id, joinEvents([], match.events));
  remember(memory, fingerprint, record.id);
  noteSeen(memory, match, { alert: record.id, now });
  return record;
}

/** The alert with a further match, or with what a match it has turned out to be. */
export function foldMatch(
  memory: AlertMemory,
  alert: AlertRecord,
  { match, now }: { readonly match: Match; readonly now: EpochMs },
): AlertRecord {
  const seen = memory.matches.get(match.id);
  const builds = buildsOf(match);
  const build = alert.build ?? builds[0];
  const learned = alert.build === undefined && build !== undefined;
  const grown = match.eventCount - (seen?.events ?? 0);
  const { rule } = match;
  const louder = rankOf(rule.level) > rankOf(alert.rule.level) || (rule.page && !alert.rule.page);
  const evidence = memory.evidence.get(alert.id) ?? [];
  if (seen !== undefined || evidence.length < eventsMax) {
    memory.evidence.put(alert.id, joinEvents(evidence, match.events));
  }
  noteSeen(memory, match, { alert: alert.id, now });
  return {
    ...alert,
    rule: louder ? rule : alert.rule,
    reason: learned || seen !== undefined ? reasonText(match) : alert.reason,
    ...(build === undefined ? {} : { build }),
    count: alert.count + Math.max(0, grown),
    firstSeen: Math.min(alert.firstSeen, match.occurredAt),
    lastSeen: Math.max(alert.lastSeen, match.occurredAt),
    receivedAt: Math.max(alert.receivedAt, match.receivedAt),
    runs: union(alert.runs, builds.map(runKey), runsMax),
    secrets: union(alert.secrets, secretsOf(builds), secretsMax),
    folds: learned ? refolded(memory, alert, match) : alert.folds,
    touchedAt: now,
  };
}

/**
 * An alert that learns its build also takes the matches that come with that build, unless another
 * one does already.
 */
function refolded(memory: AlertMemory, alert: AlertRecord, match: Match): readonly string[] {
  const fingerprint = fingerprintOf(match);
  if (alert.folds.includes(fingerprint) || openAlert(memory, match) !== undefined) {
    return alert.folds;
  }
  remember(memory, fingerprint, alert.id);
  return [...alert.folds, fingerprint];
}

/** The alert without a match that turned out to be of another run. */
export function withoutMatch(
  memory: AlertMemory,
  alert: AlertRecord,
  { match, now }: { readonly match: Match; readonly now: EpochMs },
): AlertRecord {
  const events = memory.matches.get(match.id)?.events ?? 0;
  const gone = new Set(match.events.map(({ id }) => id));
  const evidence = (memory.evidence.get(alert.id) ?? []).filter(({ id }) => !gone.has(id));
  memory.evidence.put(alert.id, evidence);
  memory.matches.delete(match.id);
  return { ...alert, count: Math.max(1, alert.count - events), touchedAt: now };
}
