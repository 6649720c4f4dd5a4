/** @module The times feeds write, read exactly, and how far an event's own time is believed. */

import { dayMs, type EpochMs, hourMs, minuteMs, secondMs } from "../clock.ts";
import type { Event, Feed, TimeSource } from "../event/event.ts";
import type { FieldSet } from "../event/fields.ts";

/** A sender's clock may run ahead by this much before its stamps are pulled back to receipt. */
export const futureMsMax: number = minuteMs;

/**
 * A stamp further back than this, in ms, is no ordinary delay of the feed: its sender's clock is
 * behind, or it was held back. GitHub redelivers webhooks of 3 days and keeps 7 days of a stream
 * that is paused; a proxy's line counts from when its request began.
 */
export const pastMsMax: Readonly<Record<Feed, number>> = {
  falco: hourMs,
  "github-webhook": 3 * dayMs,
  "github-audit": 7 * dayMs,
  egress: dayMs,
  trivy: 7 * dayMs,
  registry: dayMs,
};

/** One moment. */
export interface FeedTime {
  readonly ms: EpochMs;
  /** Nanoseconds since 1970 in decimal, exact: a double cannot hold them. */
  readonly ns: string;
}

/** The end of the year 9999. */
const msMax = 253_402_300_800 * secondMs;

/**
 * Reads RFC 3339 (any number of fraction digits, `T` or a space, offset with or without colon, none
 * meaning UTC), the
 * `23/Nov/2026:09:34:59 +0000` of web logs, and epoch seconds, ms, us or ns, as number or text, told apart by their
 * size. Undefined for anything else, for 0 and for times before 1970 (Go's zero time).
 */
export function readTime(value: unknown): FeedTime | undefined {
  if (typeof value !== "string" && typeof value !== "number") return undefined;
  const text = String(value).trim();
  const time = epochTime(text) ?? isoTime(text) ?? webLogTime(text);
  return time === undefined || time.ms >= msMax || isBefore1970(time) ? undefined : time;
}

function isBefore1970({ ms, ns }: FeedTime): boolean {
  return ms < 0 || (ms === 0 && /^0*$/.test(ns));
}

/** The moment `durationMs` before. */
export function earlierBy(time: FeedTime, durationMs: number): FeedTime {
  const ms = time.ms - Math.trunc(durationMs);
  return ms > 0 ? timeOf(ms, time.ns.slice(-6)) : time;
}

/** `rest` is what a stamp has below its milliseconds: six digits. */
function timeOf(ms: EpochMs, rest: string): FeedTime {
  return { ms, ns: `${ms}${rest}` };
}

function epochTime(text: string): FeedTime | undefined {
  const found = /^(\d{1,20})(?:\.(\d{1,18}))?$/.exec(text);
  if (found === null) return undefined;
  const [, whole = "", fraction = ""] = found;
  const digits = whole.replace(/^0+/, "");
  // 11 digits of seconds reach the year 5138; 12 digits of ms begin in 1973.
  const power = digits.length <= 11 ? 9 : digits.length <= 14 ? 6 : digits.length <= 17 ? 3 : 0;
  const ns = `${digits}${fraction.slice(0, power).padEnd(power, "0")}`.padStart(6, "0");
  return timeOf(Number(ns.slice(0, -6)), ns.slice(-6));
}

const isoForm =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,30}))?\s?(Z|z|UTC|[+-]\d\d:?\d\d)?$/;

function isoTime(text: string): FeedTime | undefined {
  const found = isoForm.exec(text);
  if (found === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = "", zone = "Z"] = found;
  return civilTime(
    [Number(year), Number(month), Number(day), Number(hour), Number(minute), Number(second)],
    fraction,
    zone,
  );
}

const monthNames = "JanFebMarAprMayJunJulAugSepOctNovDec";
const webLogForm = /^(\d\d)\/([A-Z][a-z]{2})\/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-]\d{4})$/;

function webLogTime(text: string): FeedTime | undefined {
  const found = webLogForm.exec(text);
  if (found === null) return undefined;
  const [, day, monthName = "", year, hour, minute, second, zone = "Z"] = found;
  const month = monthNames.indexOf(monthName) / 3 + 1;
  return civilTime(
    [Number(year), month, Number(day), Number(hour), Number(minute), Number(second)],
    "",
    zone,
  );
}

type Civil = readonly [number, number, number, number, number, number];

function civilTime(civil: Civil, fraction: string, zone: string): FeedTime | undefined {
  const [year, month, day, hour, minute, second] = civil;
  // Date.UTC reads the years 0 to 99 as 1900 to 1999; all before 1970 is refused anyway.
  if (year < 1970 || hour > 23 || minute > 59 || second > 60) return undefined;
  const ms = Date.UTC(year, month - 1, day, hour, minute, second);
  const date = new Date(Date.UTC(year, month - 1, day));
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  const offset = /^([+-])(\d\d):?(\d\d)$/.exec(zone);
  const minutes =
    offset === null ? 0 : Number(`${offset[1]}1`) * (Number(offset[2]) * 60 + Number(offset[3]));
  const nanos = fraction.slice(0, 9).padEnd(9, "0");
  return timeOf(ms - minutes * minuteMs + Number(nanos.slice(0, 3)), nanos.slice(3));
}

export interface Placed {
  readonly occurredAt: EpochMs;
  readonly timeSource: TimeSource;
}

/**
 * Decides when the event occurred. A stamp from the future is pulled back to receipt and flagged, a
 * missing or unreadable one is replaced by it; what was claimed then stays in
 * `pipewarden.ingest.claimed_time`. Past stamps are believed (`withPastFlag`). A stamp finer than a
 * millisecond is kept in `pipewarden.time_ns`.
 */
export function placeInTime(
  fields: FieldSet,
  time: { readonly claimed: unknown; readonly read?: FeedTime | undefined },
  receivedAt: EpochMs,
): Placed {
  const read = time.read ?? readTime(time.claimed);
  if (read === undefined) {
    fields.set("pipewarden.ingest.claimed_time", time.claimed);
    return { occurredAt: receivedAt, timeSource: "receipt" };
  }
  if (read.ms > receivedAt + futureMsMax) {
    fields
      .set("pipewarden.ingest.claimed_time", time.claimed)
      .set("pipewarden.clock.skew", "future")
      .set("pipewarden.clock.skew_seconds", skewSeconds(read.ms, receivedAt));
    return { occurredAt: receivedAt, timeSource: "clamped" };
  }
  if (!read.ns.endsWith("000000")) fields.set("pipewarden.time_ns", read.ns);
  return { occurredAt: read.ms, timeSource: "feed" };
}

/**
 * The event, flagged when its stamp lies so far back that it is no ordinary delay of its feed. The
 * stamp itself is never altered: it may be right.
 */
export function withPastFlag(event: Event): Event {
  const { feed, occurredAt, receivedAt } = event;
  if (receivedAt - occurredAt <= pastMsMax[feed]) return event;
  const flags = {
    "pipewarden.clock.skew": "past",
    "pipewarden.clock.skew_seconds": skewSeconds(occurredAt, receivedAt),
  };
  return { ...event, fields: { ...event.fields, ...flags } };
}

/** Positive when the stamp is ahead of receipt. */
function skewSeconds(stamp: EpochMs, receivedAt: EpochMs): number {
  return Math.trunc((stamp - receivedAt) / secondMs);
}
