/** @module Correction: an incident without what a run brought that turned out to be wrong. */

import { wrongRunsMax } from "./incident.ts";
import type { AlertRecord, IncidentRecord } from "./memory.ts";
import { wrongRunText } from "./reason.ts";
import {
  releaseKeys,
  relevel,
  type TieSources,
  type Ties,
  tiesOf,
  withoutAlert,
  withoutTies,
} from "./ties.ts";

export interface Correction {
  /** The alert as it is now. */
  readonly alert: AlertRecord;
  /** The alert as it was, with the wrong run. */
  readonly before: AlertRecord;
  /** What it was tied to then. */
  readonly ties: Ties;
  /** Whether it may leave an incident that nobody was told of. */
  readonly mayLeave: boolean;
}

/**
 * Takes out of the alert's incident what only its wrong run had brought: keys, secrets, origins. A
 * paged incident keeps the alert and says what was wrong: nobody is woken twice. Else an alert
 * beside others leaves. Where not all alerts are listed nothing can be taken out: one of them may
 * be of that run. What lineage made of the suspicion on the wrong run stays.
 */
export function correctIncident(
  sources: TieSources,
  held: IncidentRecord,
  { alert, before, ties, mayLeave }: Correction,
): { readonly record: IncidentRecord; readonly leaves: boolean } {
  const { memory } = sources;
  const { id, alertIds, alertsUnlisted, pagedAt } = held.incident;
  const record = pagedAt === undefined ? held : withWrongRun(held, before);
  if (alertsUnlisted !== undefined) return { record, leaves: false };
  const listed = alertIds.flatMap((listedId) => memory.alerts.get(listedId) ?? []);
  const others = listed.filter((other) => other.id !== alert.id);
  const leaves = mayLeave && pagedAt === undefined && others.length > 0;
  const remaining = leaves ? others : [...others, alert];
  const change = { wrong: ties, kept: tiesOf(sources, remaining) };
  releaseKeys(memory, id, change);
  const runs = before.runs.map(({ run }) => run);
  relevel(memory, { id, runs, remaining });
  const bare = withoutTies(record, change);
  return { record: leaves ? withoutAlert(bare, alert.id, others) : bare, leaves };
}

function withWrongRun(record: IncidentRecord, { build }: AlertRecord): IncidentRecord {
  if (build === undefined) return record;
  const wrongRuns = new Set(record.wrongRuns).add(wrongRunText(build));
  return { ...record, wrongRuns: [...wrongRuns].slice(-wrongRunsMax) };
}
