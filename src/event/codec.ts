/**
 * @module Event to bytes and back, versioned, so that a newer reader still understands older
 * records.
 */

import { type Problem, shown } from "../error.ts";
import type { Event } from "./event.ts";

const version = 1;

/** UTF-8 JSON with the version first. Throws never: an Event is plain data. */
export function encodeEvent(event: Event): Buffer {
  return Buffer.from(JSON.stringify({ v: version, ...event }));
}

/**
 * The event, or the problem with these bytes. `place` names the record (topic, partition, offset).
 */
export function decodeEvent(bytes: Uint8Array, place: string): Event | Problem {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (error) {
    return {
      code: "stored-record-invalid",
      place,
      expected: "an event as JSON",
      found: shown(String(error)),
    };
  }
  if (typeof parsed !== "object" || parsed === null || !("v" in parsed) || parsed.v !== version) {
    return {
      code: "stored-record-invalid",
      place,
      expected: `an event of version ${version}`,
      found: shown(parsed),
    };
  }
  const { v: _version, ...event } = parsed;
  return event as Event;
}

/** Tells a Problem from a value where a function may answer either. */
export function isProblem(value: object): value is Problem {
  return "code" in value && "expected" in value && "place" in value;
}
