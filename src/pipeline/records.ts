/** @module What the topics hold: values to bytes and back, versioned, each topic its own type. */

import type { Notice } from "../alert/alert.ts";
import type { Bus, BusRecord, NewRecord, Offset, Topic } from "../bus/bus.ts";
import type { EpochMs } from "../clock.ts";
import type { Delivery, Rejection } from "../collector/collector.ts";
import type { RoutedMatch } from "../correlation/correlation.ts";
import type { Match } from "../detection/detection.ts";
import { type BuildFact, factKey } from "../enrichment/enrichment.ts";
import { type Problem, shown } from "../error.ts";
import { encodeEvent } from "../event/codec.ts";
import type { Event, Feed } from "../event/event.ts";
import type { LineageFact } from "../lineage/lineage.ts";
import type { StoreDocument } from "../store/store.ts";

/** A record nobody could read or apply: why, its bytes as text, and what it takes to try again. */
export interface DeadLetter extends LetterOrigin {
  readonly problem: Problem;
  readonly raw: string;
}

/** What was read again or dropped: every process that lists letters hears of it by the topic. */
export interface ClosedLetter {
  readonly closes: string;
}

/** Where a letter comes from: a delivery of a feed, or a record of the bus. */
export interface LetterOrigin {
  readonly feed?: Feed;
  /** Without credentials: of the headers only those that say what the body is. */
  readonly delivery?: Delivery;
  readonly record?: RecordPlace;
}

export interface RecordPlace {
  readonly topic: Topic;
  readonly partition: number;
  readonly offset: Offset;
  readonly key: string;
}

/** A letter must itself fit on the bus; the whole record stays at its place while that is kept. */
const letterBytesMax = 8 * 1024 * 1024;

/** How far event time has come in one partition of `events`, told in-band to every correlate task. */
export interface Watermark {
  readonly source: number;
  readonly at: EpochMs;
}

interface TopicValues {
  builds: BuildFact;
  matches: RoutedMatch | Watermark;
  alerts: Match | LineageFact;
  pages: Notice;
  documents: StoreDocument;
  "dead-letters": DeadLetter | ClosedLetter;
}

const version = 1;

function record<T extends keyof TopicValues>(
  topic: T,
  key: string,
  value: TopicValues[T],
): NewRecord {
  return { topic, key, value: Buffer.from(JSON.stringify({ v: version, value })) };
}

/** `key` is the event's place (`createPlaceKey`): what happens on one machine stays in order. */
export function eventRecord(event: Event, key: string): NewRecord {
  return { topic: "events", key, value: encodeEvent(event) };
}

export function buildRecord(fact: BuildFact): NewRecord {
  return record("builds", factKey(fact), fact);
}

export function routedRecord(routed: RoutedMatch): NewRecord {
  return record("matches", `${routed.correlation}\u0000${routed.groupKey}`, routed);
}

/** One for each partition of `matches`. */
export function watermarkRecords(
  bus: Pick<Bus, "partitions">,
  watermark: Watermark,
): readonly NewRecord[] {
  const whole = record("matches", `watermark/${watermark.source}`, watermark);
  return Array.from({ length: bus.partitions("matches") }, (_, partition) => {
    return { ...whole, partition };
  });
}

export function isLineage(value: Match | LineageFact | Problem): value is LineageFact {
  return "thing" in value;
}

export function isWatermark(value: RoutedMatch | Watermark | Problem): value is Watermark {
  return "source" in value;
}

/** On the topic of alerts: an alert must not overtake the lineage that it hangs on. */
export function lineageRecord(fact: LineageFact): NewRecord {
  return record("alerts", fact.thing, fact);
}

export function alertRecord(match: Match): NewRecord {
  return record("alerts", match.rule.id, match);
}

export function noticeRecord(notice: Notice): NewRecord {
  return record("pages", notice.incident.id, notice);
}

export function documentRecord(document: StoreDocument): NewRecord {
  return record("documents", document.id, document);
}

export function deadLetterRecord(rejection: Rejection, origin: LetterOrigin = {}): NewRecord {
  const { delivery, ...rest } = origin;
  const kept = delivery === undefined ? {} : { delivery: withoutSecrets(delivery) };
  return record("dead-letters", rejection.problem.code, { ...rejection, ...rest, ...kept });
}

/** Takes the letter of this id off every list. */
export function closingRecord(id: string): NewRecord {
  return record("dead-letters", id, { closes: id });
}

export function isClosing(value: DeadLetter | ClosedLetter | Problem): value is ClosedLetter {
  return "closes" in value;
}

/** A record of the bus that its stage could not read or apply. */
export function setAsideRecord(from: BusRecord, problem: Problem): NewRecord {
  const { topic, partition, offset, key, value } = from;
  const kept = value.subarray(0, letterBytesMax);
  const raw = Buffer.from(kept.buffer, kept.byteOffset, kept.byteLength).toString("utf8");
  return deadLetterRecord({ problem, raw }, { record: { topic, partition, offset, key } });
}

/** What a stage decided and the bus will never take, cut to what a dead letter holds. */
export function oversizedRecord({ topic, key, value }: NewRecord, found: string): NewRecord {
  const raw = Buffer.from(value).subarray(0, letterBytesMax).toString("utf8");
  const expected = "a record that the bus can take";
  return deadLetterRecord({
    problem: { code: "body-too-large", place: `${topic} ${shown(key)}`, expected, found },
    raw,
  });
}

/** Named, not filtered: a header that nobody thought of may hold a credential. */
function withoutSecrets(delivery: Delivery): Delivery {
  const named = Object.entries(delivery.headers).filter(([name]) => name.startsWith("x-github-"));
  return { ...delivery, headers: Object.fromEntries(named) };
}

/** `events/0/12`: where a record stands, for problems and logs. */
export function recordPlace(from: BusRecord): string {
  return `${from.topic}/${from.partition}/${from.offset}`;
}

/** The value of a record of this topic, or the problem with its bytes. */
export function readRecord<T extends keyof TopicValues>(
  topic: T,
  from: BusRecord,
): TopicValues[T] | Problem {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(from.value).toString("utf8"));
  } catch (error) {
    return unreadable(topic, from, String(error));
  }
  if (typeof parsed !== "object" || parsed === null || !("value" in parsed)) {
    return unreadable(topic, from, parsed);
  }
  if (!("v" in parsed) || parsed.v !== version) return unreadable(topic, from, parsed);
  // Only our own stages write these topics; the version says the shape is the one they wrote.
  return parsed.value as TopicValues[T];
}

function unreadable(topic: Topic, from: BusRecord, found: unknown): Problem {
  return {
    code: "stored-record-invalid",
    place: recordPlace(from),
    expected: `a record of ${topic}, version ${version}`,
    found: shown(found),
  };
}
