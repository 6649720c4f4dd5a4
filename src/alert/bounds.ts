/**
 * @module Bounds of the alert stage's memory: by age and by number, longest unchanged first, and
 * counted.
 */

import { dayMs, type EpochMs } from "../clock.ts";
import type { StateTable } from "../state/state.ts";
import { type AlertMemory, type AlertRecord, forgetEpisode } from "./memory.ts";

export interface AlertBounds {
  readonly alertsMax: number;
  readonly incidentsMax: number;
  /** Ids of matches kept to know a repetition. */
  readonly matchesMax: number;
  /** Causal keys. */
  readonly causesMax: number;
  /** Tokens named by alerts, each looked up again when a run turns suspicious. */
  readonly tokensMax: number;
  /** Events that matched before their build was known. */
  readonly unplacedMax: number;
  /**
   * How long what no longer changes is kept, in ms: a chain with a longer pause becomes two
   * incidents.
   */
  readonly keepMs: number;
}

export const defaultBounds: AlertBounds = {
  alertsMax: 20_000,
  incidentsMax: 10_000,
  matchesMax: 200_000,
  causesMax: 100_000,
  tokensMax: 256,
  unplacedMax: 20_000,
  keepMs: 60 * dayMs,
};

export type Bounded = "alerts" | "incidents" | "matches" | "causes" | "tokens" | "unplaced";

/** Called with what was evicted; never with 0. */
export type OnEvicted = (what: Bounded, count: number) => void;

interface Touched {
  readonly touchedAt: EpochMs;
}

/**
 * Keys past `before`, or, above `max`, the longest unchanged so that nine tenths of `max` remain.
 */
function expired(table: StateTable<Touched>, max: number, before: EpochMs): readonly string[] {
  const old: string[] = [];
  const kept: [string, EpochMs][] = [];
  for (const [key, { touchedAt }] of table.entries()) {
    if (touchedAt < before) old.push(key);
    else kept.push([key, touchedAt]);
  }
  if (kept.length <= max) return old;
  // Ties go by key, so that the same input evicts the same on every machine.
  kept.sort(([a, left], [b, right]) => left - right || (a < b ? -1 : 1));
  const count = kept.length - Math.floor(max * 0.9);
  return [...old, ...kept.slice(0, count).map(([key]) => key)];
}

function forgetAlert(memory: AlertMemory, id: string, record: AlertRecord): void {
  memory.alerts.delete(id);
  memory.evidence.delete(id);
  for (const fingerprint of record.folds) forgetEpisode(memory, fingerprint, id);
}

/** Whether a sweep is due for a reason other than age. */
export function overBounds(memory: AlertMemory, bounds: AlertBounds): boolean {
  return (
    memory.alerts.size > bounds.alertsMax ||
    memory.incidents.size > bounds.incidentsMax ||
    memory.merged.size > bounds.incidentsMax ||
    memory.matches.size > bounds.matchesMax ||
    memory.causes.size > bounds.causesMax ||
    memory.tokens.size > bounds.tokensMax ||
    memory.unplaced.size > bounds.unplacedMax
  );
}

/**
 * Evicts what is over its bounds, and what referred to it. An incident outlives alerts that were
 * evicted by number.
 */
export function sweep(
  memory: AlertMemory,
  bounds: AlertBounds,
  { now, onEvicted }: { readonly now: EpochMs; readonly onEvicted: OnEvicted },
): void {
  const before = now - bounds.keepMs;
  const evict = (what: Bounded, keys: readonly string[], forget: (key: string) => void) => {
    for (const key of keys) forget(key);
    if (keys.length > 0) onEvicted(what, keys.length);
  };
  const { alerts, incidents, matches, causes, tokens, unplaced, merged } = memory;
  evict("alerts", expired(alerts, bounds.alertsMax, before), (id) => {
    const record = alerts.get(id);
    if (record !== undefined) forgetAlert(memory, id, record);
  });
  evict("incidents", expired(incidents, bounds.incidentsMax, before), (id) => {
    // Its alerts go with it: one that lived on would open an incident of the same id and a lower
    // revision.
    for (const alertId of incidents.get(id)?.incident.alertIds ?? []) {
      const record = alerts.get(alertId);
      if (record !== undefined) forgetAlert(memory, alertId, record);
    }
    incidents.delete(id);
  });
  evict("matches", expired(matches, bounds.matchesMax, before), (id) => matches.delete(id));
  evict("causes", expired(causes, bounds.causesMax, before), (key) => causes.delete(key));
  evict("tokens", expired(tokens, bounds.tokensMax, before), (key) => tokens.delete(key));
  evict("unplaced", expired(unplaced, bounds.unplacedMax, before), (id) => unplaced.delete(id));
  for (const id of expired(merged, bounds.incidentsMax, before)) merged.delete(id);
}
