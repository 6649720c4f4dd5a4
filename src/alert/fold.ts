/** @module Folding: which open alert a match belongs to, and what the alert becomes with it. */

import type { EpochMs } from "../clock.ts";
import type { Match } from "../detection/detection.ts";
import { shown } from "../error.ts";
import { type BuildContext, runKey } from "../event/build.ts";
import type { Event } from "../event/event.ts";
import { type Reading, runsOf } from "./again.ts";
import { bySaid, type Copy, fullerBuild, fullerRun, saidOf, surenessOf } from "./known.ts";
import { mask } from "./mask.ts";
import { buildsOf, fingerprintOf, idOf, rankOf } from "./match.ts";
import { type AlertMemory, type AlertRecord, forgetEpisode, type RunTally } from "./memory.ts";

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

/** Both lists, each event once, the best copy of it; first and last ones above the limit. */
function joinEvents(old: readonly Event[], added: readonly Event[]): readonly Event[] {
  const events = new Map(old.map((event) => [event.id, event]));
  for (const event of added) {
    const known = events.get(event.id);
    events.set(event.id, known === undefined ? kept(event) : fullerEvent(known, kept(event)));
  }
  const all = [...events.values()].sort((left, right) => {
    return left.occurredAt - right.occurredAt || (left.id < right.id ? -1 : 1);
  });
  if (all.length <= eventsMax) return all;
  return [...all.slice(0, eventsMax / 2), ...all.slice(-eventsMax / 2)];
}

/** Of two copies of one event the better one; of one run, with what only the other knows. */
function fullerEvent(left: Event, right: Event): Event {
  const [a, b] = [saidOf(left), saidOf(right)];
  if (a === undefined || b === undefined) return a === undefined && b !== undefined ? right : left;
  const [best, other] = bySaid(a, b) >= 0 ? [left, right] : [right, left];
  if (best.build === undefined || other.build === undefined || a.run !== b.run) return best;
  const build = fullerBuild(
    { build: best.build, sureness: surenessOf(best) },
    { build: other.build, sureness: surenessOf(other) },
  );
  // The best copy's own values go before the other's.
  return { ...best, build, fields: { ...other.fields, ...best.fields } };
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

/** Remembers that the match was applied, and what it said. */
export function noteSeen(memory: AlertMemory, { reading, now }: Turn, alert: string): void {
  const { match, said } = reading;
  const events = Math.max(match.eventCount, memory.matches.get(match.id)?.events ?? 0);
  memory.matches.put(match.id, { alert, events, said, touchedAt: now });
}

/** A match in its turn. */
export interface Turn {
  readonly reading: Reading;
  readonly now: EpochMs;
}

/**
 * The first match names the episode: when its build becomes known later, the id stays. Where the
 * match left an alert that bears its name, its fingerprint tells the two apart.
 */
function freeId(memory: AlertMemory, match: Match, fingerprint: string): string {
  const parts = [match.rule.id, match.id];
  let id = idOf("alr_", parts);
  while (memory.alerts.get(id) !== undefined) {
    parts.push(fingerprint);
    id = idOf("alr_", parts);
  }
  return id;
}

/**
 * Begins an alert. It has no incident yet: `incidentId` is empty until it is given one in the same
 * change.
 */
export function beginAlert(memory: AlertMemory, turn: Turn): AlertRecord {
  const { match, runs } = turn.reading;
  const fingerprint = fingerprintOf(match);
  const own = ownCopy(match);
  const record: AlertRecord = {
    id: freeId(memory, match, fingerprint),
    fingerprint,
    revision: 0,
    incidentId: "",
    rule: match.rule,
    reason: reasonText(match),
    ...(own === undefined ? {} : { build: own.build, runFold: fingerprint }),
    count: match.eventCount,
    firstSeen: match.occurredAt,
    lastSeen: match.occurredAt,
    receivedAt: match.receivedAt,
    runs: runs.slice(0, runsMax).map((run) => ({ run, matches: 1 })),
    matches: 1,
    sureness: own?.sureness ?? 0,
    toldBy: match.id,
    secrets: union([], secretsOf(buildsOf(match)), secretsMax),
    folds: [fingerprint],
    touchedAt: turn.now,
  };
  memory.evidence.put(record.id, joinEvents([], match.events));
  remember(memory, fingerprint, record.id);
  noteSeen(memory, turn, record.id);
  return record;
}

/** The match's own build: its latest event's that has one. */
function ownCopy(match: Match): Copy | undefined {
  const event = match.events.findLast(({ build }) => build !== undefined);
  return event?.build && { build: event.build, sureness: surenessOf(event) };
}

/** The runs with those of the match, which may have been counted before with others. */
function retally(
  runs: readonly RunTally[],
  before: readonly string[],
  after: readonly string[],
): readonly RunTally[] {
  const counts = new Map(runs.map(({ run, matches }) => [run, matches]));
  for (const run of before) {
    if (!after.includes(run) && counts.has(run)) counts.set(run, (counts.get(run) ?? 0) - 1);
  }
  for (const run of after) {
    if (!before.includes(run)) counts.set(run, (counts.get(run) ?? 0) + 1);
  }
  const left = [...counts].filter(([, matches]) => matches > 0);
  return left.slice(0, runsMax).map(([run, matches]) => ({ run, matches }));
}

/**
 * The alert with a further match, or with what a match it has turned out to be. Its own run stays
 * unless no match is of it any more; of that run it knows all that any copy knew.
 */
export function foldMatch(memory: AlertMemory, alert: AlertRecord, turn: Turn): AlertRecord {
  const { match, runs, gone, tellsBest } = turn.reading;
  const seen = memory.matches.get(match.id);
  const known = seen === undefined ? [] : runsOf(seen.said);
  const tallies = retally(alert.runs, known, runs);
  const isWrong = alert.build !== undefined && !hasRun(tallies, runKey(alert.build));
  const learned = alert.build === undefined || isWrong;
  const own = learned ? ownCopy(match) : fullerOwn(alert, match);
  const grown = match.eventCount - (seen?.events ?? 0);
  const { rule } = match;
  const louder = rankOf(rule.level) > rankOf(alert.rule.level) || (rule.page && !alert.rule.page);
  const evidence = memory.evidence.get(alert.id) ?? [];
  if (grown > 0 && (seen !== undefined || evidence.length < eventsMax)) {
    memory.evidence.put(alert.id, joinEvents(evidence, match.events));
  } else if (seen !== undefined) {
    // What is known by now of the events it shows; those it had no place for stay out.
    const shownIds = new Set(evidence.map(({ id }) => id));
    const events = match.events.filter(({ id }) => shownIds.has(id));
    memory.evidence.put(alert.id, joinEvents(evidence, events));
  }
  noteSeen(memory, turn, alert.id);
  const tells =
    (learned && own !== undefined) ||
    (seen !== undefined && (grown > 0 || (tellsBest && [match.id, ""].includes(alert.toldBy))));
  // Only the secrets of a run that was wrong are taken back.
  const secrets = gone.length > 0 && alert.matches === 1 ? [] : alert.secrets;
  const { build: _build, ...rest } = alert;
  const folded: AlertRecord = {
    ...rest,
    rule: louder ? rule : alert.rule,
    reason: tells ? reasonText(match) : alert.reason,
    toldBy: tells ? match.id : alert.toldBy,
    ...(own === undefined ? {} : { build: own.build }),
    sureness: own?.sureness ?? 0,
    count: alert.count + Math.max(0, grown),
    matches: alert.matches + (seen === undefined ? 1 : 0),
    firstSeen: Math.min(alert.firstSeen, match.occurredAt),
    lastSeen: Math.max(alert.lastSeen, match.occurredAt),
    receivedAt: Math.max(alert.receivedAt, match.receivedAt),
    runs: tallies,
    secrets: union(secrets, secretsOf(buildsOf(match)), secretsMax),
    touchedAt: turn.now,
  };
  return learned && own !== undefined ? refolded(memory, folded, match) : folded;
}

function hasRun(runs: readonly RunTally[], run: string): boolean {
  return runs.some((tally) => tally.run === run);
}

/** The alert's build with what the match knows of it; of its job only the match it tells of. */
function fullerOwn(alert: AlertRecord, match: Match): Copy | undefined {
  if (alert.build === undefined) return undefined;
  const isTeller = alert.toldBy === match.id || alert.toldBy === "";
  let own: Copy = { build: alert.build, sureness: alert.sureness };
  for (const event of match.events) {
    const { build } = event;
    if (build === undefined || runKey(build) !== runKey(own.build)) continue;
    const copy = { build, sureness: surenessOf(event) };
    own = isTeller
      ? { build: fullerBuild(own, copy), sureness: Math.max(own.sureness, copy.sureness) }
      : { ...own, build: fullerRun(own, build) };
  }
  return own;
}

/**
 * An alert that learns its build also takes the matches that come with that build, unless another
 * one does already; no more those of a run that was wrong.
 */
function refolded(memory: AlertMemory, alert: AlertRecord, match: Match): AlertRecord {
  const runFold = fingerprintOf(match);
  if (alert.runFold === runFold) return alert;
  const isTaken = openAlert(memory, match) !== undefined;
  const bare = withoutRunFold(memory, alert);
  // Its own fingerprint named the wrong run: it bears the right one even where another takes.
  const fingerprint = bare.folds.length === 0 ? runFold : alert.fingerprint;
  if (isTaken || bare.folds.includes(runFold)) return { ...bare, fingerprint };
  remember(memory, runFold, alert.id);
  return { ...bare, fingerprint, folds: [...bare.folds, runFold], runFold };
}

function withoutRunFold(memory: AlertMemory, alert: AlertRecord): AlertRecord {
  const { runFold, ...rest } = alert;
  if (runFold === undefined) return alert;
  forgetEpisode(memory, runFold, alert.id);
  return { ...rest, folds: alert.folds.filter((fold) => fold !== runFold) };
}

/** The alert without a match that turned out to be of another run. */
export function withoutMatch(memory: AlertMemory, alert: AlertRecord, turn: Turn): AlertRecord {
  const { match } = turn.reading;
  const seen = memory.matches.get(match.id);
  const gone = new Set(match.events.map(({ id }) => id));
  const evidence = (memory.evidence.get(alert.id) ?? []).filter(({ id }) => !gone.has(id));
  memory.evidence.put(alert.id, evidence);
  memory.matches.delete(match.id);
  const left: AlertRecord = {
    ...alert,
    count: Math.max(1, alert.count - (seen?.events ?? 0)),
    matches: Math.max(1, alert.matches - 1),
    runs: retally(alert.runs, seen === undefined ? [] : runsOf(seen.said), []),
    // What it told of is no longer here; the next one that says more may tell.
    ...(alert.toldBy === match.id ? { reason: shown(alert.rule.title, 400), toldBy: "" } : {}),
    touchedAt: turn.now,
  };
  if (left.build === undefined || hasRun(left.runs, runKey(left.build))) return left;
  // The one that left had brought the build: the others have none.
  const { build: _build, ...bare } = withoutRunFold(memory, left);
  return { ...bare, sureness: 0, secrets: left.runs.length === 0 ? [] : left.secrets };
}
