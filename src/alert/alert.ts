/**
 * @module Match → Alert → Incident: fingerprint, fold, one incident per causal chain, and the
 * notices owed for it.
 */

import { type EpochMs, hourMs } from "../clock.ts";
import { runKey } from "../event/build.ts";
import type { Event } from "../event/event.ts";
import type { Lineage } from "../lineage/lineage.ts";
import type { State } from "../state/state.ts";
import { type Reading, readMatch } from "./again.ts";
import { type AlertBounds, defaultBounds, type OnEvicted, overBounds, sweep } from "./bounds.ts";
import { Change, type ChangeSettings } from "./change.ts";
import { beginAlert, foldMatch, openAlert, type Turn, withoutMatch } from "./fold.ts";
import { fingerprintOf } from "./match.ts";
import { type AlertRecord, openMemory, type SeenMatch } from "./memory.ts";
import type { AlertChange, Alerts } from "./model.ts";
import type { PageAgeMaxOf } from "./page-age.ts";
import { tiesOf } from "./ties.ts";

export { type AlertBounds, type Bounded, defaultBounds, type OnEvicted } from "./bounds.ts";
export { mask } from "./mask.ts";
export type { Alert, AlertChange, Alerts, Incident, Notice, PageWithheld } from "./model.ts";
export { type PageOptions, renderPage, summaryLine } from "./page.ts";
export type { PageAgeMaxOf } from "./page-age.ts";

export interface AlertSettings {
  /** Kept whole in the tables named `alert.…`; the caller commits. */
  readonly state: State;
  readonly lineage: Lineage;
  /** What a feed tells later than this, in ms, after it occurred pages nobody. */
  readonly pageAgeMaxOf: PageAgeMaxOf;
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
 * unless it brings more events, or a build, a fuller or a surer one.
 */
export function createAlerts(settings: AlertSettings): Alerts {
  const memory = openMemory(settings.state);
  const bounds = { ...defaultBounds, ...settings.bounds };
  const onEvicted = settings.onEvicted ?? (() => undefined);
  const parts: ChangeSettings = {
    memory,
    lineage: settings.lineage,
    pageAgeMaxOf: settings.pageAgeMaxOf,
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
      const turn: Turn = { reading: readMatch(match, seen), now };
      if (seen === undefined) return applyNew(parts, turn);
      const alert = memory.alerts.get(seen.alert);
      if (alert === undefined || !turn.reading.isNews) return nothing;
      const moves = alert.matches > 1 && hasOtherRun(seen, turn.reading, alert);
      return (moves ? applyMoved : applyAgain)(parts, alert, turn);
    },
    relink: (runs, now) => {
      if (runs.length === 0) return nothing;
      const change = new Change(parts, now);
      change.relink(runs);
      return change.finish();
    },
  };
}

function applyNew(parts: ChangeSettings, turn: Turn): AlertChange {
  const { memory } = parts;
  const { match } = turn.reading;
  const change = new Change(parts, turn.now);
  const open = openAlert(memory, match);
  if (open === undefined) {
    change.attach(change.save(beginAlert(memory, turn)), match, { isNews: true });
    return change.finish();
  }
  const folded = change.save(foldMatch(memory, open, turn));
  const isNews = hasNewRun(open, folded) || folded.firstSeen < open.firstSeen;
  change.attach(folded, match, { isNews });
  return change.finish();
}

/** A match of this alert again: with its build, a fuller or another one, or with more events. */
function applyAgain(parts: ChangeSettings, alert: AlertRecord, turn: Turn): AlertChange {
  const { memory } = parts;
  const { match, gone } = turn.reading;
  const change = new Change(parts, turn.now);
  const ties = gone.length === 0 ? undefined : tiesOf(parts, [alert]);
  const events = memory.evidence.get(alert.id);
  const folded = foldMatch(memory, alert, turn);
  // Another match of the alert may have told all of it before.
  if (isSame(alert, folded) && isSameEvidence(events, memory.evidence.get(alert.id))) {
    return nothing;
  }
  const saved = change.save(folded);
  const attached =
    ties === undefined
      ? saved
      : change.correct({ alert: saved, before: alert, ties, mayLeave: alert.matches === 1 });
  change.attach(attached, match, { isNews: hasNewRun(alert, folded) });
  return change.finish();
}

/** A match that folded with others and turns out to be of another run than their alert. */
function applyMoved(parts: ChangeSettings, alert: AlertRecord, turn: Turn): AlertChange {
  const { memory } = parts;
  const { match } = turn.reading;
  const change = new Change(parts, turn.now);
  const ties = turn.reading.gone.length === 0 ? undefined : tiesOf(parts, [alert]);
  const left = change.save(withoutMatch(memory, alert, turn));
  const open = openAlert(memory, match);
  const moved = change.save(
    open === undefined ? beginAlert(memory, turn) : foldMatch(memory, open, turn),
  );
  if (ties !== undefined) change.correct({ alert: left, before: alert, ties, mayLeave: false });
  // It was told of under the old alert's incident and stays there: nobody is woken twice for it.
  change.attach(moved, match, { isNews: true, with: alert.incidentId });
  return change.finish();
}

const nothing: AlertChange = { alerts: [], incidents: [], notices: [], withheld: 0 };

function hasNewRun(before: AlertRecord, after: AlertRecord): boolean {
  const known = new Set(before.runs.map(({ run }) => run));
  return after.runs.some(({ run }) => !known.has(run));
}

/** What a value says, whatever the order its details came in. */
function textOf(value: object | undefined): string {
  return value === undefined ? "" : JSON.stringify(Object.entries(value).sort());
}

function isSame(left: AlertRecord, right: AlertRecord): boolean {
  const text = ({ build, touchedAt: _touchedAt, ...record }: AlertRecord) =>
    textOf(record) + textOf(build);
  return text(left) === text(right);
}

function isSameEvidence(left: readonly Event[] = [], right: readonly Event[] = []): boolean {
  const text = ({ id, fields, build, buildJoin }: Event) =>
    [id, textOf(fields), textOf(build), textOf(buildJoin)].join("\n");
  return left === right || left.map(text).join() === right.map(text).join();
}

/**
 * Matches of one place fold before their builds are known, and a build may turn out to be wrong:
 * then some are of another run than the alert.
 */
function hasOtherRun(seen: SeenMatch, reading: Reading, alert: AlertRecord): boolean {
  if (seen.said.length > 0 && reading.gone.length === 0) return false;
  const [run] = reading.runs;
  if (run === undefined || alert.build === undefined) return false;
  return run !== runKey(alert.build) && !alert.folds.includes(fingerprintOf(reading.match));
}
