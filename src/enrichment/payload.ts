/**
 * @module Reading GitHub's JSON with care: own keys only, ids exact, blank means absent, every
 * length bounded.
 */

import type { EpochMs } from "../clock.ts";
import { isRecord, type OpenRecord, valueAt } from "../event/fields.ts";

const textLengthMax = 1_024;
const listLengthMax = 512;

/**
 * The object in `raw`, or undefined when it holds none. Integers beyond 2^53 come as the text they
 * were written with: ids are opaque, and a rounded one names another job.
 */
export function readPayload(raw: string): OpenRecord | undefined {
  try {
    const parsed: unknown = JSON.parse(raw, exactNumbers);
    return isRecord(parsed) ? parsed : undefined;
  } catch {
    // The collector has rejected what is not JSON already; here it only means "no facts".
    return undefined;
  }
}

function exactNumbers(
  _key: string,
  value: unknown,
  context?: { readonly source?: string },
): unknown {
  if (typeof value !== "number" || Math.abs(value) <= Number.MAX_SAFE_INTEGER) return value;
  const source = context?.source;
  return source !== undefined && /^-?\d+$/.test(source) ? source : value;
}

/** Text at a path, cut to 1,024 characters; blank text and other types are undefined. */
export function textAt(payload: OpenRecord, ...path: readonly string[]): string | undefined {
  return textFrom(valueAt(payload, ...path));
}

export function textFrom(value: unknown): string | undefined {
  if (typeof value !== "string" || value.trim() === "") return undefined;
  return value.slice(0, textLengthMax);
}

/** An id as text; 0, negative and blank ids are GitHub's way to say "none". */
export function idAt(payload: OpenRecord, ...path: readonly string[]): string | undefined {
  const value = valueAt(payload, ...path);
  if (typeof value === "number") {
    return Number.isSafeInteger(value) && value > 0 ? String(value) : undefined;
  }
  // Exports to a SIEM spell ids as text.
  return typeof value === "string" && /^[1-9]\d{0,38}$/.test(value) ? value : undefined;
}

/** A positive whole number small enough to count with. */
export function countAt(payload: OpenRecord, ...path: readonly string[]): number | undefined {
  const id = idAt(payload, ...path);
  const count = id === undefined ? Number.NaN : Number(id);
  return Number.isSafeInteger(count) ? count : undefined;
}

/**
 * A time as ISO text (UTC when it names no zone) or as a number of ms or s; undefined when
 * unreadable or unset.
 */
export function timeAt(payload: OpenRecord, ...path: readonly string[]): EpochMs | undefined {
  const value = valueAt(payload, ...path);
  let time = Number.NaN;
  if (typeof value === "number") time = value < 100_000_000_000 ? value * 1_000 : value;
  if (typeof value === "string" && /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d/.test(value)) {
    const zoned = /(?:Z|[+-]\d\d:?\d\d)$/i.test(value) ? value : `${value}Z`;
    time = Date.parse(zoned.replace(" ", "T"));
  }
  return Number.isFinite(time) && time > 0 ? Math.floor(time) : undefined;
}

/**
 * A list of texts; objects in it count by their `name`. Undefined when there is no list: [] says
 * "none".
 */
export function textsAt(payload: OpenRecord, ...path: readonly string[]): string[] | undefined {
  const value = valueAt(payload, ...path);
  const list = typeof value === "string" ? value.split(/[\s,]+/) : value;
  if (!Array.isArray(list)) return undefined;
  const texts = list.slice(0, listLengthMax).map((item: unknown) => {
    return textFrom(isRecord(item) ? valueAt(item, "name") : item);
  });
  return [...new Set(texts.filter((text) => text !== undefined))];
}

/** The objects of a list. */
export function payloadsAt(payload: OpenRecord, ...path: readonly string[]): readonly OpenRecord[] {
  const value = valueAt(payload, ...path);
  return Array.isArray(value) ? value.slice(0, listLengthMax).filter(isRecord) : [];
}

/** The same values without those that are undefined. Our own names only, never outside ones. */
export function known<T extends object>(values: { readonly [K in keyof T]: T[K] | undefined }): T {
  const kept: Partial<T> = {};
  for (const name of Object.keys(values) as (keyof T)[]) {
    const value = values[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept as T;
}
