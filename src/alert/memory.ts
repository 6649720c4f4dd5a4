/**
 * @module What the alert stage remembers, in State: alerts, their evidence, incidents, causal keys,
 * matches seen.
 */

import type { EpochMs } from "../clock.ts";
import type { MatchedRule } from "../detection/detection.ts";
import type { Event } from "../event/event.ts";
import type { State, StateTable } from "../state/state.ts";
import type { Said } from "./known.ts";
import type { Alert, Incident } from "./model.ts";

/** A run of an alert and how many of its matches are of that run. */
export interface RunTally {
  readonly run: string;
  readonly matches: number;
}

/** An alert without its events, which change less often and weigh more. */
export interface AlertRecord extends Omit<Alert, "events"> {
  /** When the latest event of it was received; latency is counted from here. */
  readonly receivedAt: EpochMs;
  /** Its runs, by `runKey`, in the order they came. */
  readonly runs: readonly RunTally[];
  /** Matches in it. */
  readonly matches: number;
  /** How sure the join of its build is. */
  readonly sureness: number;
  /** The match whose reason it has. */
  readonly toldBy: string;
  readonly secrets: readonly string[];
  /** Fingerprints under which it takes further matches: a second one once its build is known. */
  readonly folds: readonly string[];
  /** The one among them that names its run; absent while it has no build. */
  readonly runFold?: string;
  /** When it last changed, in our time; what is longest unchanged is evicted first. */
  readonly touchedAt: EpochMs;
}

export interface IncidentRecord {
  readonly incident: Incident;
  readonly leadId: string;
  /** Merged incidents that had been paged too: a pager still holds them open. */
  readonly pagedMergedIds: readonly string[];
  /** Runs it was paged with that turned out to be wrong, as text for people; the latest 3. */
  readonly wrongRuns: readonly string[];
  readonly touchedAt: EpochMs;
}

/** Who a causal key belongs to. */
export interface Cause {
  readonly incident: string;
  /** Latest event time seen under it: a place links only what is near. */
  readonly seenAt: EpochMs;
  /**
   * For a run: the highest level of an alert on the run itself; absent for a run known only as an
   * origin.
   */
  readonly level?: MatchedRule["level"];
  readonly touchedAt: EpochMs;
}

/** A match that was applied. */
export interface SeenMatch {
  readonly alert: string;
  readonly events: number;
  /** What was said of the builds of its events, oldest event first; at most 40. */
  readonly said: readonly Said[];
  readonly touchedAt: EpochMs;
}

/** A token that an alert names, to be tied to runs that turn suspicious later. */
export interface NamedToken {
  readonly incident: string;
  readonly at: EpochMs;
  readonly touchedAt: EpochMs;
}

export interface AlertMemory {
  readonly alerts: StateTable<AlertRecord>;
  readonly evidence: StateTable<readonly Event[]>;
  readonly incidents: StateTable<IncidentRecord>;
  /** Fingerprint → its latest episodes, newest last, at most 4. */
  readonly episodes: StateTable<readonly string[]>;
  readonly matches: StateTable<SeenMatch>;
  readonly causes: StateTable<Cause>;
  readonly tokens: StateTable<NamedToken>;
  /**
   * Event that matched before its build was known → the incident. Once joined, the same event may
   * match a graver rule: that is no second incident.
   */
  readonly unplaced: StateTable<{ readonly incident: string; readonly touchedAt: EpochMs }>;
  /** Merged incident → the one it went into; follow until there is none. */
  readonly merged: StateTable<{ readonly into: string; readonly touchedAt: EpochMs }>;
}

export function openMemory(state: State): AlertMemory {
  return {
    alerts: state.table("alert.alerts"),
    evidence: state.table("alert.evidence"),
    incidents: state.table("alert.incidents"),
    episodes: state.table("alert.episodes"),
    matches: state.table("alert.matches"),
    causes: state.table("alert.causes"),
    tokens: state.table("alert.tokens"),
    unplaced: state.table("alert.unplaced"),
    merged: state.table("alert.merged"),
  };
}

/** The incident that `id` is part of now. */
export function survivorOf(memory: AlertMemory, id: string): string {
  let at = id;
  for (let next = memory.merged.get(at); next !== undefined; next = memory.merged.get(at)) {
    at = next.into;
  }
  return at;
}

/** The living incident that holds this key; undefined when none does or it was evicted. */
export function holderOf(memory: AlertMemory, key: string): string | undefined {
  const cause = memory.causes.get(key);
  if (cause === undefined) return undefined;
  const id = survivorOf(memory, cause.incident);
  return memory.incidents.get(id) === undefined ? undefined : id;
}

/** The alert is no longer one of those that matches of this fingerprint may fold into. */
export function forgetEpisode(memory: AlertMemory, fingerprint: string, id: string): void {
  const rest = (memory.episodes.get(fingerprint) ?? []).filter((episode) => episode !== id);
  if (rest.length === 0) memory.episodes.delete(fingerprint);
  else memory.episodes.put(fingerprint, rest);
}

/** The alert as others see it. */
export function alertOf(memory: AlertMemory, record: AlertRecord): Alert {
  const { receivedAt, runs, matches, sureness, toldBy, secrets, folds, runFold, ...rest } = record;
  const { touchedAt, ...alert } = rest;
  return { ...alert, events: memory.evidence.get(record.id) ?? [] };
}
