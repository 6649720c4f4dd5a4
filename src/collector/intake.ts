/**
 * @module What all collectors share: from a delivery's bytes to records, and from records to an
 * Intake.
 */

import { hash } from "node:crypto";
import { type Problem, shown } from "../error.ts";
import { type Event, type Feed, fieldOf } from "../event/event.ts";
import { listMax } from "../event/fields.ts";
import { rawKeptMax } from "./acceptance.ts";
import type { Collector, Delivery, Intake, Rejection } from "./collector.ts";
import { itemTexts, parseScanned } from "./json.ts";
import { type Piece, splitRecords } from "./lines.ts";
import { withPastFlag } from "./time.ts";

/**
 * More records than this in one delivery are refused as one: `[1,1,1,…]` must not cost a thousand
 * times its size.
 */
export const recordsMax = 200_000;
/** Node cannot hold a text of more than half a gigabyte. */
const bodyBytesMax = 256 * 1024 * 1024;

/** One record of a delivery, as text and where it stood. */
export interface RecordText {
  readonly text: string;
  readonly place: string;
}

/**
 * What a collector says of its feed; `collectorOf` makes the Collector. All parts are pure and
 * never throw.
 */
export interface FeedReader {
  readonly feed: Feed;
  recognises(record: unknown): boolean;
  /** Reads one parsed JSON value. */
  readValue(value: unknown, record: RecordText, delivery: Delivery): Intake;
  /** Reads one line that is not JSON; without it such a line is refused. */
  readLine?(record: RecordText, delivery: Delivery): Intake;
  /** Whether a list is one record, not a list of records. */
  keepsList?(list: readonly unknown[]): boolean;
  /** Undoes an encoding of the whole body. A Problem refuses the delivery. */
  unwrap?(text: string, delivery: Delivery): string | Problem;
}

/** A Collector that still shows its reader, for `readAny`. */
export interface FeedCollector extends Collector {
  readonly reader: FeedReader;
}

export function collectorOf(reader: FeedReader): FeedCollector {
  return {
    feed: reader.feed,
    reader,
    recognises: (record) => reader.recognises(record),
    read: (body, delivery) => readBody(body, delivery, reader),
  };
}

/** Splits a body and reads each record with `reader`. */
export function readBody(
  body: Buffer,
  delivery: Delivery,
  reader: Omit<FeedReader, "feed" | "recognises">,
): Intake {
  if (body.length > bodyBytesMax) {
    const expected = `at most ${bodyBytesMax} bytes at once`;
    const found = `${body.length} bytes`;
    const problem: Problem = { code: "body-too-large", place: delivery.place, expected, found };
    return refused(problem, body.toString("utf8", 0, rawKeptMax));
  }
  const whole = body.toString("utf8");
  const text = reader.unwrap?.(whole, delivery) ?? whole;
  if (typeof text !== "string") return refused(text, whole);
  const { pieces, blank, rest } = splitRecords(text, recordsMax);
  const total = new Total();
  total.addSkipped(blank);
  for (const piece of pieces) {
    if (total.records - blank >= recordsMax) total.add(tooMany(piece.text, delivery));
    else readPiece(piece, { delivery, reader, total });
  }
  if (rest !== undefined) total.add(tooMany(rest, delivery));
  const intake = total.intake();
  // A recording tells nothing of how late its events came.
  if (delivery.recorded === true) return intake;
  return { ...intake, events: intake.events.map(withPastFlag) };
}

interface Reading {
  readonly delivery: Delivery;
  readonly reader: Omit<FeedReader, "feed" | "recognises">;
  readonly total: Total;
}

function readPiece(piece: Piece, { delivery, reader, total }: Reading): void {
  const place = `${delivery.place}/record ${total.records + 1}`;
  const record: RecordText = { text: piece.text, place };
  if (piece.span === undefined) {
    const broken = piece.text.startsWith("{");
    total.add(
      reader.readLine !== undefined && !broken
        ? reader.readLine(record, delivery)
        : notJson(record, broken ? "a whole JSON object" : "JSON"),
    );
    return;
  }
  const parsed = parseScanned(piece.text, piece.span);
  if (!parsed.ok) {
    const { code, expected, found } = parsed;
    total.add(refused({ code, place, expected, found }, piece.text));
    return;
  }
  if (!Array.isArray(parsed.value) || reader.keepsList?.(parsed.value) === true) {
    total.add(reader.readValue(parsed.value, record, delivery));
    return;
  }
  readItems(parsed.value, piece.text, { delivery, reader, total });
}

function readItems(
  values: readonly unknown[],
  text: string,
  { delivery, reader, total }: Reading,
): void {
  const texts = itemTexts(text);
  for (const [index, value] of values.entries()) {
    if (total.records >= recordsMax) {
      total.add(tooMany(`[${texts.slice(index).join(",")}]`, delivery));
      return;
    }
    const place = `${delivery.place}/record ${total.records + 1}`;
    total.add(reader.readValue(value, { text: texts[index] ?? "", place }, delivery));
  }
}

function tooMany(raw: string, delivery: Delivery): Intake {
  const expected = `at most ${recordsMax} records in one delivery`;
  const found = "more; the rest is refused as one";
  return refused({ code: "body-too-large", place: delivery.place, expected, found }, raw);
}

/** Adds intakes up. */
export class Total {
  #records = 0;
  #skipped = 0;
  readonly #events: Event[] = [];
  readonly #rejections: Rejection[] = [];

  get records(): number {
    return this.#records;
  }

  intake(): Intake {
    const counted = { records: this.#records, skipped: this.#skipped };
    return { ...counted, events: this.#events, rejections: this.#rejections };
  }

  add(intake: Intake): void {
    this.#records += intake.records;
    this.#skipped += intake.skipped;
    for (const event of intake.events) this.#events.push(event);
    for (const rejection of intake.rejections) this.#rejections.push(rejection);
  }

  addSkipped(count: number): void {
    this.#records += count;
    this.#skipped += count;
  }
}

/** One record became these events. */
export function taken(events: readonly Event[]): Intake {
  return { records: 1, events: events.map(bounded), rejections: [], skipped: 0 };
}

/** A longer raw text is cut, and named like a field in `pipewarden.truncated`. */
export const rawLengthMax = 4 * 1024 * 1024;

function bounded(event: Event): Event {
  if (event.raw.length <= rawLengthMax) return event;
  const cut = fieldOf(event.fields, "pipewarden.truncated");
  const names = [...(Array.isArray(cut) ? cut : []), "raw"].slice(0, listMax);
  const raw = event.raw.slice(0, rawLengthMax).toWellFormed();
  return { ...event, fields: { ...event.fields, "pipewarden.truncated": names }, raw };
}

/** One record became a rejection. */
export function refused(problem: Problem, raw: string): Intake {
  return { records: 1, events: [], rejections: [{ problem, raw }], skipped: 0 };
}

/** One record is known not to be an event. */
export const passedOver: Intake = { records: 1, events: [], rejections: [], skipped: 1 };

/** The record's value is of another shape than its feed's. */
export function misshapen(record: RecordText, expected: string, value: unknown): Intake {
  const found = shown(describe(value));
  return refused({ code: "shape-unexpected", place: record.place, expected, found }, record.text);
}

/** The record lacks a field its feed requires. */
export function lacking(record: RecordText, field: string, value: unknown): Intake {
  const found = shown(describe(value));
  const expected = `a field ${field}`;
  return refused({ code: "field-missing", place: record.place, expected, found }, record.text);
}

/** The record is in a format that is known by name and not read here. */
export function unsupported(record: RecordText, expected: string, found: string): Intake {
  return refused({ code: "format-unsupported", place: record.place, expected, found }, record.text);
}

function notJson(record: RecordText, expected: string): Intake {
  const found = shown(record.text);
  return refused({ code: "json-invalid", place: record.place, expected, found }, record.text);
}

/** Names the shape and keys, not the values: they may hold secrets. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value !== "object" || value === null) return value === null ? "null" : typeof value;
  const keys = Object.keys(value);
  return keys.length === 0 ? "an empty object" : `an object of ${keys.slice(0, 12).join(", ")}`;
}

/** 128 bits of SHA-256 over the parts, which cannot run into each other. */
export function idOf(feed: Feed, parts: readonly unknown[]): string {
  return `${feed}:${hash("sha256", JSON.stringify(parts), "hex").slice(0, 32)}`;
}
