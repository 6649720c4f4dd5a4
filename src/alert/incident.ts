/**
 * @module Incident: what its alerts add up to, and what two incidents become when they turn out to
 * be one. Pure.
 */

import type { EpochMs } from "../clock.ts";
import { shown } from "../error.ts";
import { runKey } from "../event/build.ts";
import type { Taint } from "../lineage/lineage.ts";
import { idOf, rankOf } from "./match.ts";
import type { AlertRecord, IncidentRecord } from "./memory.ts";
import type { Incident } from "./model.ts";
import { byLead, reasonOf } from "./reason.ts";

export const alertsListedMax = 200;
const mergedListedMax = 200;
const originsMax = 16;
const secretsMax = 100;
export const wrongRunsMax = 3;

/**
 * `inc_` and a hash of its first alert's id; and of its run, where that alert has left an incident
 * that bears its name.
 */
export function incidentId(first: AlertRecord, isTaken: (id: string) => boolean): string {
  const parts = [first.id];
  let id = idOf("inc_", parts);
  while (isTaken(id)) {
    parts.push(first.runs[0]?.run ?? "");
    id = idOf("inc_", parts);
  }
  return id;
}

/** An incident that lists nothing yet. */
export function openIncident(
  first: AlertRecord,
  { id, now }: { readonly id: string; readonly now: EpochMs },
): IncidentRecord {
  return {
    incident: {
      id,
      revision: 0,
      level: first.rule.level,
      title: "",
      reason: "",
      alertIds: [],
      mergedIds: [],
      origins: [],
      secretsExposed: [],
      openedAt: now,
      firstSeen: first.firstSeen,
      lastSeen: first.lastSeen,
    },
    leadId: first.id,
    pagedMergedIds: [],
    wrongRuns: [],
    touchedAt: now,
  };
}

/**
 * Which of the incidents lives on: a paged one before one that nobody knows of, then the oldest,
 * then by id.
 */
export function bySurvival(left: IncidentRecord, right: IncidentRecord): number {
  const [a, b] = [left.incident, right.incident];
  return (
    Number(b.pagedAt !== undefined) - Number(a.pagedAt !== undefined) ||
    a.openedAt - b.openedAt ||
    (a.id < b.id ? -1 : 1)
  );
}

function union(left: readonly string[], right: readonly string[]): readonly string[] {
  return [...new Set([...left, ...right])];
}

/** The survivor with what the other one brings. */
export function mergeIncidents(survivor: IncidentRecord, other: IncidentRecord): IncidentRecord {
  const [kept, gone] = [survivor.incident, other.incident];
  const all = union(kept.alertIds, gone.alertIds);
  // Above the limit some drop out of the list: never the two that led.
  const alertIds = all.length > alertsListedMax ? union([survivor.leadId, other.leadId], all) : all;
  const unlisted =
    (kept.alertsUnlisted ?? 0) +
    (gone.alertsUnlisted ?? 0) +
    Math.max(0, alertIds.length - alertsListedMax);
  const goneIds = union(gone.mergedIds, [gone.id]);
  const pagedIds = gone.pagedAt === undefined ? [] : [...other.pagedMergedIds, gone.id];
  return {
    ...survivor,
    pagedMergedIds: union(survivor.pagedMergedIds, pagedIds).slice(0, mergedListedMax),
    wrongRuns: union(survivor.wrongRuns, other.wrongRuns).slice(-wrongRunsMax),
    incident: {
      ...kept,
      level: rankOf(gone.level) > rankOf(kept.level) ? gone.level : kept.level,
      alertIds: alertIds.slice(0, alertsListedMax),
      ...(unlisted > 0 ? { alertsUnlisted: unlisted } : {}),
      // The latest stay, so that each merge is told of at least once.
      mergedIds: union(kept.mergedIds, goneIds).slice(-mergedListedMax),
      origins: joinOrigins([kept.origins, gone.origins]),
      secretsExposed: union(kept.secretsExposed, gone.secretsExposed).slice(0, secretsMax),
      openedAt: Math.min(kept.openedAt, gone.openedAt),
      firstSeen: Math.min(kept.firstSeen, gone.firstSeen),
      lastSeen: Math.max(kept.lastSeen, gone.lastSeen),
      ...withheldNote(kept, gone),
    },
  };
}

/** Once someone was paged there is nothing to explain. */
function withheldNote(kept: Incident, gone: Incident): Pick<Incident, "pageWithheld"> {
  const pageWithheld = kept.pageWithheld ?? gone.pageWithheld;
  return kept.pagedAt !== undefined || pageWithheld === undefined ? {} : { pageWithheld };
}

/**
 * Lists the alert, once. Where the list is full, a better one takes the place of the worst and the
 * rest is counted.
 */
export function listAlert(
  record: IncidentRecord,
  alert: AlertRecord,
  known: (id: string) => AlertRecord | undefined,
): IncidentRecord {
  const { incident } = record;
  if (incident.alertIds.includes(alert.id)) return record;
  if (incident.alertIds.length < alertsListedMax) {
    return { ...record, incident: { ...incident, alertIds: [...incident.alertIds, alert.id] } };
  }
  const alertsUnlisted = (incident.alertsUnlisted ?? 0) + 1;
  const listed = incident.alertIds.flatMap((id) => known(id) ?? []);
  const worst = [...listed, alert].sort(byLead).at(-1);
  const alertIds =
    worst === undefined || worst === alert
      ? incident.alertIds
      : incident.alertIds.map((id) => (id === worst.id ? alert.id : id));
  return { ...record, incident: { ...incident, alertIds, alertsUnlisted } };
}

/** Identity of a taint: the same thing saved by the same run. */
export function taintKey(taint: Taint): string {
  return `${taint.thing} ${runKey(taint.origin)}`;
}

/** Earlier lists first, each taint once, at most 16. */
function joinOrigins(lists: readonly (readonly Taint[])[]): readonly Taint[] {
  const origins = new Map<string, Taint>();
  for (const taint of lists.flat()) {
    if (origins.size < originsMax && !origins.has(taintKey(taint))) {
      origins.set(taintKey(taint), taint);
    }
  }
  return [...origins.values()];
}

export interface ComposeParts {
  /** Its listed alerts that are still remembered. */
  readonly alerts: readonly AlertRecord[];
  /** Taints learned with this change. */
  readonly taints: readonly Taint[];
  readonly taintsOf: (run: string) => readonly Taint[];
  readonly now: EpochMs;
}

/**
 * The incident as its alerts now make it. Level, origins and secrets only grow here; what a wrong
 * run had brought is taken out before. Counts one revision.
 */
export function composeIncident(record: IncidentRecord, parts: ComposeParts): IncidentRecord {
  const { incident } = record;
  const { now } = parts;
  const alerts = parts.alerts.toSorted(byLead);
  const [lead] = alerts;
  if (lead === undefined) {
    const revision = incident.revision + 1;
    return { ...record, touchedAt: now, incident: { ...incident, revision } };
  }
  const leadTaints = lead.runs.flatMap(({ run }) => parts.taintsOf(run));
  const origins = joinOrigins([leadTaints, incident.origins, parts.taints]);
  const build = (lead.build === undefined ? alerts.find((alert) => alert.build) : lead)?.build;
  const { pagedMergedIds, wrongRuns } = record;
  let level = incident.level;
  const secrets = new Set(incident.secretsExposed);
  for (const alert of alerts) {
    if (rankOf(alert.rule.level) > rankOf(level)) level = alert.rule.level;
    for (const secret of alert.secrets) secrets.add(secret);
  }
  const composed: Incident = {
    ...incident,
    revision: incident.revision + 1,
    level,
    title: titleOf(lead, build?.repository),
    reason: reasonOf({ lead, alerts, leadTaints, origins, pagedMergedIds, wrongRuns }),
    ...(build === undefined ? {} : { build }),
    origins,
    secretsExposed: [...secrets].slice(0, secretsMax),
    firstSeen: Math.min(incident.firstSeen, ...alerts.map((alert) => alert.firstSeen)),
    lastSeen: Math.max(incident.lastSeen, ...alerts.map((alert) => alert.lastSeen)),
  };
  return { ...record, leadId: lead.id, touchedAt: now, incident: composed };
}

function titleOf(lead: AlertRecord, repository: string | undefined): string {
  const title = shown(lead.rule.title, 160);
  return repository === undefined ? title : `${title} in ${shown(repository)}`;
}
