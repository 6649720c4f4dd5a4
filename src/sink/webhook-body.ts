/**
 * @module The webhook's body: an incident and its evidence as JSON below 20 KB, the size Standard
 * Webhooks advises.
 */

import type { Alert, Notice } from "../alert/alert.ts";
import type { EpochMs } from "../clock.ts";
import type { Event, FieldValue } from "../event/event.ts";
import { cutText, safeJson } from "./evidence.ts";

/** Bodies are smaller than this. */
export const bodyBytesMax: number = 20_000;

/** Tried in order until the body fits. */
const cuts = [
  { alerts: 20, events: 5, fields: 40, text: 1_000, list: 100 },
  { alerts: 20, events: 2, fields: 24, text: 500, list: 60 },
  { alerts: 10, events: 1, fields: 16, text: 300, list: 40 },
  { alerts: 5, events: 1, fields: 8, text: 200, list: 20 },
  { alerts: 5, events: 0, fields: 0, text: 200, list: 10 },
  { alerts: 0, events: 0, fields: 0, text: 120, list: 4 },
] as const;
type Cut = Readonly<Record<keyof (typeof cuts)[number], number>>;

/** The same notice gives the same bytes on each try: nothing in it tells of the try. */
export function webhookBody(notice: Notice, consoleUrl?: string): string {
  for (const cut of cuts) {
    const body = safeJson(shape(notice, cut, consoleUrl));
    if (Buffer.byteLength(body) < bodyBytesMax) return body;
  }
  return safeJson(least(notice));
}

/**
 * What is sent when even a cut incident is too long: six texts of at most 200 characters always
 * fit.
 */
function least(notice: Notice) {
  const { id, revision, level, title, reason } = notice.incident;
  const data = { id, revision, noticeKey: notice.key, level, title, reason, truncated: true };
  return {
    type: typeOf(notice),
    timestamp: instant(notice.createdAt),
    data: limited(data, { alerts: 0, events: 0, fields: 0, text: 200, list: 0 }, 0),
  };
}

function typeOf(notice: Notice): string {
  return notice.kind === "page" ? "incident.paged" : "incident.updated";
}

function shape(notice: Notice, cut: Cut, consoleUrl: string | undefined) {
  const { incident } = notice;
  const alerts = notice.alerts.slice(0, cut.alerts);
  const data = {
    id: incident.id,
    revision: incident.revision,
    noticeKey: notice.key,
    level: incident.level,
    title: incident.title,
    reason: incident.reason,
    ...(consoleUrl === undefined ? {} : { url: incidentUrl(consoleUrl, incident.id) }),
    firstSeen: instant(incident.firstSeen),
    lastSeen: instant(incident.lastSeen),
    openedAt: instant(incident.openedAt),
    pagedAt: incident.pagedAt === undefined ? undefined : instant(incident.pagedAt),
    build: incident.build,
    origins: incident.origins,
    secretsExposed: incident.secretsExposed,
    mergedIds: incident.mergedIds,
    alertCount: incident.alertIds.length,
    alerts: alerts.map((alert) => shapeAlert(alert, cut)),
    /** True when the evidence here is less than the notice had; the console has all of it. */
    truncated: alerts.length < notice.alerts.length || isCut(notice, cut),
  };
  return {
    type: typeOf(notice),
    timestamp: instant(notice.createdAt),
    data: limited(data, cut, 0),
  };
}

function shapeAlert(alert: Alert, cut: Cut) {
  const { id, title, level, tags, runbook } = alert.rule;
  return {
    id: alert.id,
    rule: { id, title, level, tags, runbook },
    reason: alert.reason,
    count: alert.count,
    firstSeen: instant(alert.firstSeen),
    lastSeen: instant(alert.lastSeen),
    build: alert.build,
    events: alert.events.slice(0, cut.events).map((event) => shapeEvent(event, cut)),
  };
}

/** Without the raw record: it is long, and the fields carry what rules look at. */
function shapeEvent(event: Event, cut: Cut) {
  const fields: (readonly [string, FieldValue])[] = Object.entries(event.fields);
  return {
    id: event.id,
    feed: event.feed,
    occurredAt: instant(event.occurredAt),
    receivedAt: instant(event.receivedAt),
    fields: Object.fromEntries(fields.slice(0, cut.fields)),
  };
}

function isCut(notice: Notice, cut: Cut): boolean {
  return notice.alerts.some(({ events }) => {
    const tooMany = events.some(({ fields }) => Object.keys(fields).length > cut.fields);
    return events.length > cut.events || tooMany;
  });
}

/** Deeper than anything above nests; a guard for what a build or an origin may come to hold. */
const depthMax = 8;

/** Texts and lists within the cut's bounds, at every depth. */
function limited(value: unknown, cut: Cut, depth: number): unknown {
  if (typeof value === "string") return cutText(value, cut.text);
  if (typeof value !== "object" || value === null) return value;
  if (depth >= depthMax) return null;
  if (Array.isArray(value)) {
    return value.slice(0, cut.list).map((item) => limited(item, cut, depth + 1));
  }
  const entries = Object.entries(value).map(([name, inner]) => {
    return [cutText(name, cut.text), limited(inner, cut, depth + 1)];
  });
  return Object.fromEntries(entries);
}

function incidentUrl(consoleUrl: string, id: string): string {
  return `${consoleUrl.replace(/\/+$/, "")}/api/v1/incidents/${encodeURIComponent(id)}`;
}

/** RFC 3339, or null for a number that is no time. */
function instant(time: EpochMs): string | null {
  return Number.isFinite(time) && Math.abs(time) <= 8.64e15 ? new Date(time).toISOString() : null;
}
