/**
 * @module Match → Alert → Incident: fingerprint, fold, one incident per causal chain, and the
 * notices owed for it.
 */

import { type EpochMs, hourMs } from "../clock.ts";
import type { Match } from "../detection/detection.ts";
import { runKey } from "../event/build.ts";
import type { Lineage } from "../lineage/lineage.ts";
import type { State } from "../state/state.ts";
import { type AlertBounds, defaultBounds, type OnEvicted, overBounds, sweep } from "./bounds.ts";
import { Change, type ChangeSettings } from "./change.ts";
import { beginAlert, foldMatch, openAlert, withoutMatch } from "./fold.ts";
import { buildsOf, fingerprintOf } from "./match.ts";
import { type AlertRecord, openMemory } from "./memory.ts";
import type { AlertChange, Alerts } from "./model.ts";

export { type AlertBounds, type Bounded, defaultBounds, type OnEvicted } from "./bounds.ts";
export { mask } from "./mask.ts";
export type { Alert, AlertChange, Alerts, Incident, Notice } from "./model.ts";
export { type PageOptions, renderPage, summaryLine } from "./page.ts";

export interface AlertSettings {
  /** Kept whole in the tables named `alert.…`; the caller commits. */
  readonly state: State;
  readonly lineage: Lineage;
  /** A match older than this pages nobody: for a cold start on an old log. Default one hour. */
  readonly pageAgeMaxMs?: number;
  /**
   * How near in time matches without a build share an incident by their place. Default one hour.
   */
  readonly placeMs?: number;
  readonly bounds?: Partial<AlertBounds>;
  readonly onEvicted?: OnEvicted;
}

const sweepEveryMs = hourMs;

/**
 * The alert stage's component. Deterministic: the same matches and lineage changes in the same
 * order give the same ids and notice keys, and a match that was applied before changes nothing
 * unless it brings a build or more events.
 */
export function createAlerts(settings: AlertSettings): Alerts {
  const memory = openMemory(settings.state);
  const bounds = { ...defaultBounds, ...settings.bounds };
  const onEvicted = settings.onEvicted ?? (() => undefined);
  const parts: ChangeSettings = {
    memory,
    lineage: settings.lineage,
    pageAgeMaxMs: settings.pageAgeMaxMs ?? hourMs,
    placeMs: settings.placeMs ?? hourMs,
  };
  let sweepAt = Number.NEGATIVE_INFINITY;

  function keepBounds(now: EpochMs): void {
    if (now < sweepAt && !overBounds(memory, bounds)) return;
    sweep(memory, bounds, { now, onEvicted });
    sweepAt = now + sweepEveryMs;
  }

  return {
    apply: (match, now) => {
      keepBounds(now);
      const seen = memory.matches.get(match.id);
      if (seen === undefined) return applyNew(parts, match, now);
      const alert = memory.alerts.get(seen.alert);
      const isLate = seen.run === undefined && buildsOf(match).length > 0;
      if (alert === undefined || !(isLate || match.eventCount > seen.events)) return nothing;
      const moves = isLate && isOfAnotherRun(match, alert);
      return (moves ? applyMoved : applyAgain)(parts, alert, { match, now });
    },
    relink: (runs, now) => {
      if (runs.length === 0) return nothing;
      const change = new Change(parts, now);
      change.relink(runs);
      return change.finish();
    },
  };
}

/** A match in its turn. */
interface Turn {
  readonly match: Match;
  readonly now: EpochMs;
}

function applyNew(parts: ChangeSettings, match: Match, now: EpochMs): AlertChange {
  const change = new Change(parts, now);
  const open = openAlert(parts.memory, match);
  if (open === undefined) {
    change.attach(change.save(beginAlert(parts.memory, match, now)), match, { isNews: true });
    return change.finish();
  }
  const folded = change.save(foldMatch(parts.memory, open, { match, now }));
  const isNews = hasNewRun(open, folded) || folded.firstSeen < open.firstSeen;
  change.attach(folded, match, { isNews });
  return change.finish();
}

/** A match of this alert again, with its build or with more events. */
function applyAgain(parts: ChangeSettings, alert: AlertRecord, turn: Turn): AlertChange {
  const change = new Change(parts, turn.now);
  const folded = change.save(foldMatch(parts.memory, alert, turn));
  change.attach(folded, turn.match, { isNews: hasNewRun(alert, folded) });
  return change.finish();
}

/** A match that folded by its place and turns out to be of another run than its alert. */
function applyMoved(parts: ChangeSettings, alert: AlertRecord, turn: Turn): AlertChange {
  const { memory } = parts;
  const change = new Change(parts, turn.now);
  change.save(withoutMatch(memory, alert, turn));
  const open = openAlert(memory, turn.match);
  const moved = change.save(
    open === undefined ? beginAlert(memory, turn.match, turn.now) : foldMatch(memory, open, turn),
  );
  // It was told of under the old alert's incident and stays there: nobody is woken twice for it.
  change.attach(moved, turn.match, { isNews: true, with: alert.incidentId });
  return change.finish();
}

const nothing: AlertChange = { alerts: [], incidents: [], notices: [] };

function hasNewRun(before: AlertRecord, after: AlertRecord): boolean {
  return after.runs.length > before.runs.length;
}

/**
 * Matches of one place fold before their builds are known; then some turn out to be of another run
 * than the alert.
 */
function isOfAnotherRun(match: Match, alert: AlertRecord): boolean {
  const [build] = buildsOf(match);
  if (build === undefined || alert.build === undefined) return false;
  return runKey(build) !== runKey(alert.build) && !alert.folds.includes(fingerprintOf(match));
}
