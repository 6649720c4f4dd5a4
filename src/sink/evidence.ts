/**
 * @module A notice as it may leave the house: secrets masked, and cut to a size that can be kept
 * for each sink while it is pending. The store keeps the whole evidence.
 */

import { type Alert, mask, type Notice } from "../alert/alert.ts";
import type { Event } from "../event/event.ts";

/** The most one pending notice may weigh, as characters of JSON. */
export const noticeLengthMax: number = 64 * 1024;

/**
 * Tried in order until the notice fits. The leading alert keeps five times as many events as each
 * other one.
 */
const cuts = [
  { alertsMax: 20, eventsMax: 2, rawMax: 1_024, fieldsMax: 40, fieldMax: 512 },
  { alertsMax: 20, eventsMax: 1, rawMax: 256, fieldsMax: 30, fieldMax: 256 },
  { alertsMax: 10, eventsMax: 1, rawMax: 0, fieldsMax: 20, fieldMax: 128 },
  { alertsMax: 1, eventsMax: 0, rawMax: 0, fieldsMax: 0, fieldMax: 0 },
] as const;
type Cut = (typeof cuts)[number];

/**
 * The notice as it is kept and sent: secret values masked, and when it is too long with fewer
 * events, shorter raw text and shorter values. Its key, kind and the incident's id are never
 * changed.
 */
export function keptNotice(notice: Notice): Notice {
  // Before it is masked, so that the cost of masking is bounded too.
  const rough = weigh(notice, noticeLengthMax) < 0 ? cutNotice(notice, cuts[0]) : notice;
  const masked = maskedNotice(rough);
  if (JSON.stringify(masked).length <= noticeLengthMax) return masked;
  for (const cut of cuts) {
    const smaller = cutNotice(masked, cut);
    if (JSON.stringify(smaller).length <= noticeLengthMax) return smaller;
  }
  return leastNotice(masked);
}

/**
 * What is left of `budget` after the characters of all texts in `value`; stops counting below 0.
 */
function weigh(value: unknown, budget: number): number {
  if (typeof value === "string") return budget - value.length;
  if (typeof value !== "object" || value === null) return budget - 8;
  let left = budget;
  for (const [name, inner] of Object.entries(value)) {
    left = weigh(inner, left - name.length);
    if (left < 0) break;
  }
  return left;
}

function cutNotice(notice: Notice, cut: Cut): Notice {
  const alerts = notice.alerts
    .slice(0, cut.alertsMax)
    .map((alert, index) => cutAlert(alert, index === 0 ? cut.eventsMax * 5 : cut.eventsMax, cut));
  return { ...notice, alerts };
}

/** Without evidence: lists and texts of the incident are all that can be long. */
function leastNotice(notice: Notice): Notice {
  const { build, ...incident } = notice.incident;
  const keepsBuild = build !== undefined && weigh(build, 8_192) >= 0;
  return {
    ...notice,
    alerts: [],
    incident: {
      ...incident,
      ...(keepsBuild ? { build } : {}),
      title: cutText(incident.title, 500),
      reason: cutText(incident.reason, 2_000),
      alertIds: incident.alertIds.slice(0, 100),
      mergedIds: incident.mergedIds.slice(0, 100),
      origins: [],
      secretsExposed: incident.secretsExposed.slice(0, 100).map((name) => cutText(name, 100)),
    },
  };
}

/**
 * The notice with secret values masked in every text that evidence reaches; ids and names stay as
 * they are.
 */
function maskedNotice(notice: Notice): Notice {
  const { incident } = notice;
  return {
    ...notice,
    alerts: notice.alerts.map((alert) => ({
      ...alert,
      reason: mask(alert.reason),
      events: alert.events.map(maskedEvent),
    })),
    incident: {
      ...incident,
      title: mask(incident.title),
      reason: mask(incident.reason),
      origins: incident.origins.map((taint) => ({ ...taint, reason: mask(taint.reason) })),
    },
  };
}

function maskedEvent(event: Event): Event {
  const fields = Object.entries(event.fields).map(([name, value]) => {
    if (Array.isArray(value)) return [name, value.map((item) => maskedValue(item))];
    return [name, maskedValue(value)];
  });
  return { ...event, raw: mask(event.raw), fields: Object.fromEntries(fields) };
}

function maskedValue(value: unknown): unknown {
  return typeof value === "string" ? mask(value) : value;
}

/**
 * JSON on one line that is safe to show: also what JSON itself leaves alone is escaped (C1
 * controls, line separators, format characters such as bidirectional overrides). It reads back as
 * the same value.
 */
export function safeJson(value: unknown): string {
  return JSON.stringify(value).replace(/[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu, (char) =>
    Array.from({ length: char.length }, (_, index) => {
      return `\\u${char.charCodeAt(index).toString(16).padStart(4, "0")}`;
    }).join(""),
  );
}

/** Cut at a space where one is near: half a secret would not be known for one. */
function cutWord(text: string, lengthMax: number): string {
  if (text.length <= lengthMax) return text;
  return cutText(
    `${text.slice(0, Math.max(0, lengthMax - 1)).replace(/\S{1,256}$/, "")}…`,
    lengthMax,
  );
}

/**
 * At most `lengthMax` characters, never half a surrogate pair, with a mark where text was left off.
 */
export function cutText(text: string, lengthMax: number): string {
  if (text.length <= lengthMax) return text.toWellFormed();
  return `${text.slice(0, Math.max(0, lengthMax - 1)).replace(/[\ud800-\udbff]$/u, "")}…`.toWellFormed();
}

function cutAlert(alert: Alert, eventsMax: number, cut: Cut): Alert {
  const events = alert.events.slice(0, eventsMax).map((event) => cutEvent(event, cut));
  return { ...alert, reason: cutWord(alert.reason, 2_000), events };
}

function cutEvent(event: Event, cut: Cut): Event {
  const fields = Object.entries(event.fields)
    .slice(0, cut.fieldsMax)
    .map(([name, value]) => [cutText(name, 200), cutValue(value, cut.fieldMax)]);
  return { ...event, raw: cutWord(event.raw, cut.rawMax), fields: Object.fromEntries(fields) };
}

function cutValue(value: unknown, lengthMax: number): unknown {
  if (Array.isArray(value)) return value.slice(0, 20).map((item) => cutValue(item, lengthMax));
  return typeof value === "string" ? cutWord(value, lengthMax) : value;
}
