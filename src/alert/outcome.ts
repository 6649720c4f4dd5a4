/**
 * @module Outcome of a change: the incidents as they are now, saved and given out, and the notices
 * owed for them.
 */

import type { EpochMs } from "../clock.ts";
import type { Match } from "../detection/detection.ts";
import type { Lineage, Taint } from "../lineage/lineage.ts";
import { composeIncident, taintKey } from "./incident.ts";
import { rankOf } from "./match.ts";
import { type AlertMemory, alertOf, type IncidentRecord, survivorOf } from "./memory.ts";
import type { Alert, AlertChange, Incident, Notice } from "./model.ts";
import { type PageAgeMaxOf, withholding } from "./page-age.ts";
import { byLead } from "./reason.ts";

const noticeAlertsMax = 20;

/** What a change touched. */
export interface Touched {
  readonly memory: AlertMemory;
  readonly lineage: Lineage;
  readonly pageAgeMaxOf: PageAgeMaxOf;
  readonly now: EpochMs;
  readonly alertIds: ReadonlySet<string>;
  /** Incidents with what they were before; undefined for one opened now. */
  readonly before: ReadonlyMap<string, Incident | undefined>;
  /** Taints learned, by incident. */
  readonly taints: ReadonlyMap<string, readonly Taint[]>;
  /** Incidents in which a run turned out to be wrong after they were paged. */
  readonly corrected: ReadonlySet<string>;
  /** The match that brought it about; undefined for a change of lineage. */
  readonly cause: { readonly alertId: string; readonly match: Match } | undefined;
}

/** Saves the incidents touched; a page comes before the updates. */
export function outcomeOf(touched: Touched): AlertChange {
  const { memory, now, cause } = touched;
  const incidents: Incident[] = [];
  const notices: Notice[] = [];
  let withheld = 0;
  const alert = cause && memory.alerts.get(cause.alertId);
  const causeId = alert && survivorOf(memory, alert.incidentId);
  for (const [id, before] of touched.before) {
    const record = memory.incidents.get(id);
    if (record === undefined) continue;
    const composed = compose(touched, record);
    const mayPage = id === causeId && composed.incident.pagedAt === undefined && asksForPage(cause);
    const why = mayPage ? withholding(touched) : undefined;
    const pages = mayPage && why === undefined;
    if (why !== undefined && composed.incident.pageWithheld === undefined) withheld++;
    const { pageWithheld = why, ...plain } = composed.incident;
    const note = pages || pageWithheld === undefined ? {} : { pageWithheld };
    const incident = { ...plain, ...note, ...(pages ? { pagedAt: now } : {}) };
    memory.incidents.put(id, { ...composed, incident });
    incidents.push(incident);
    if (pages) notices.unshift(noticeOf(touched, "page", incident));
    else if (
      incident.pagedAt !== undefined &&
      before !== undefined &&
      (touched.corrected.has(id) || isNotable(before, incident))
    ) {
      notices.push(noticeOf(touched, "update", incident));
    }
  }
  const alerts = [...touched.alertIds].flatMap((id) => emitted(touched, id));
  return { alerts, incidents, notices, withheld };
}

function compose(touched: Touched, record: IncidentRecord): IncidentRecord {
  const { memory, lineage, now } = touched;
  return composeIncident(record, {
    alerts: record.incident.alertIds.flatMap((id) => memory.alerts.get(id) ?? []),
    taints: touched.taints.get(record.incident.id) ?? [],
    taintsOf: (run) => lineage.taintsOf(run),
    now,
  });
}

function asksForPage(cause: Touched["cause"]): boolean {
  return cause?.match.rule.page === true;
}

function noticeOf({ memory, now }: Touched, kind: Notice["kind"], incident: Incident): Notice {
  const records = incident.alertIds.flatMap((id) => memory.alerts.get(id) ?? []).sort(byLead);
  const received = records[0]?.receivedAt ?? now;
  const part = kind === "page" ? "page" : String(incident.revision);
  return {
    key: `pw/${incident.id}/1/${part}`,
    kind,
    incident,
    alerts: records.slice(0, noticeAlertsMax).map((record) => alertOf(memory, record)),
    createdAt: now,
    latencyMs: Math.max(0, now - received),
  };
}

/** The alert with the raw text of its new events whole: memory keeps it cut. */
function emitted({ memory, cause }: Touched, id: string): readonly Alert[] {
  const record = memory.alerts.get(id);
  if (record === undefined) return [];
  const alert = alertOf(memory, record);
  const whole = new Map(cause?.match.events.map(({ id: eventId, raw }) => [eventId, raw]));
  const events = alert.events.map((event) => {
    const raw = whole.get(event.id);
    return raw === undefined ? event : { ...event, raw };
  });
  return [{ ...alert, events }];
}

/**
 * Whether someone who was paged would want to know: a new alert (a merge always brings one), a
 * higher level, an origin, a build, a secret.
 */
function isNotable(before: Incident, after: Incident): boolean {
  const known = new Set(before.origins.map(taintKey));
  const secrets = new Set(before.secretsExposed);
  return (
    after.alertIds.length + (after.alertsUnlisted ?? 0) >
      before.alertIds.length + (before.alertsUnlisted ?? 0) ||
    rankOf(after.level) > rankOf(before.level) ||
    (before.build === undefined && after.build !== undefined) ||
    after.origins.some((taint) => !known.has(taintKey(taint))) ||
    after.secretsExposed.some((name) => !secrets.has(name))
  );
}
