/**
 * @module Event to bytes and back, versioned, so that a newer reader still understands older
 * records.
 *
 * Version 2: the event without `raw` as one line of JSON, a line end, then `raw` as it came. As a
 * JSON text inside JSON every quote of it would be escaped when written and again when read.
 * Version 1, and a `raw` that UTF-8 cannot hold: all of it as JSON.
 */

import { type Problem, shown } from "../error.ts";
import type { Event } from "./event.ts";

const version = 2;
const wholeVersion = 1;
const lineEnd = 0x0a;

/** Throws never: an Event is plain data. */
export function encodeEvent(event: Event): Buffer {
  if (!event.raw.isWellFormed()) return Buffer.from(JSON.stringify({ v: wholeVersion, ...event }));
  const { id, feed, logsource, occurredAt, receivedAt, timeSource, fields, join } = event;
  const { build, buildJoin } = event;
  const head = {
    v: version,
    id,
    feed,
    logsource,
    occurredAt,
    receivedAt,
    timeSource,
    fields,
    join,
    // JSON leaves out what is undefined.
    build,
    buildJoin,
  };
  return Buffer.from(`${JSON.stringify(head)}\n${event.raw}`);
}

/**
 * The event, or the problem with these bytes. `place` names the record (topic, partition, offset).
 */
export function decodeEvent(bytes: Uint8Array, place: string): Event | Problem {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // JSON text has no line end of its own.
  const end = buffer.indexOf(lineEnd);
  let parsed: unknown;
  try {
    parsed = JSON.parse(buffer.toString("utf8", 0, end === -1 ? buffer.length : end));
  } catch (error) {
    return {
      code: "stored-record-invalid",
      place,
      expected: "an event as JSON",
      found: shown(String(error)),
    };
  }
  const raw = end === -1 ? undefined : buffer.toString("utf8", end + 1);
  if (typeof parsed === "object" && parsed !== null && "v" in parsed) {
    if (parsed.v === version && raw !== undefined) return eventOf(parsed as unknown as Event, raw);
    if (parsed.v === wholeVersion && raw === undefined) {
      const whole = parsed as unknown as Event;
      return eventOf(whole, whole.raw);
    }
  }
  return {
    code: "stored-record-invalid",
    place,
    expected: `an event of version ${wholeVersion} or ${version}`,
    found: shown(parsed),
  };
}

/** Key by key: leaving one key out of a copy takes longer than reading them all. */
function eventOf(parsed: Event, raw: string): Event {
  const { id, feed, logsource, occurredAt, receivedAt, timeSource, fields, join } = parsed;
  const { build, buildJoin } = parsed;
  const event = { id, feed, logsource, occurredAt, receivedAt, timeSource, fields, join, raw };
  if (build === undefined && buildJoin === undefined) return event;
  return {
    ...event,
    ...(build === undefined ? {} : { build }),
    ...(buildJoin === undefined ? {} : { buildJoin }),
  };
}

/** Tells a Problem from a value where a function may answer either. */
export function isProblem(value: object): value is Problem {
  return "code" in value && "expected" in value && "place" in value;
}
