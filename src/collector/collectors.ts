/**
 * @module The table of known collectors, and reading of files that do not say which feed they are
 * of.
 */

import { shown } from "../error.ts";
import type { Feed } from "../event/event.ts";
import type { Collector, Delivery, Intake } from "./collector.ts";
import { egressCollector } from "./egress.ts";
import { falcoCollector } from "./falco.ts";
import { githubAuditCollector } from "./github-audit.ts";
import { githubWebhookCollector } from "./github-webhook.ts";
import { type FeedCollector, type RecordText, readBody, refused } from "./intake.ts";
import { registryCollector } from "./registry.ts";
import { trivyCollector } from "./trivy.ts";

/** In the order they are asked: the strictest first, egress with its open form last. */
const known: readonly FeedCollector[] = [
  falcoCollector,
  trivyCollector,
  registryCollector,
  githubWebhookCollector,
  githubAuditCollector,
  egressCollector,
];

export const collectors: ReadonlyMap<Feed, Collector> = new Map(
  known.map((collector) => [collector.feed, collector]),
);

/** The collector whose feed the record is of: a parsed JSON value, or a line that is not JSON. */
export function recognise(record: unknown): Collector | undefined {
  return recognised(record);
}

function recognised(record: unknown): FeedCollector | undefined {
  return known.find((collector) => collector.reader.recognises(record));
}

/**
 * Reads a body whose feed nobody told, record by record; feeds may be mixed. A record of no known
 * feed is rejected with `feed-unknown`. Never throws.
 */
export function readAny(body: Buffer, delivery: Delivery): Intake {
  return readBody(body, delivery, {
    readValue: (value, record) =>
      recognised(value)?.reader.readValue(value, record, delivery) ?? unknownFeed(record),
    readLine: (record) =>
      recognised(record.text)?.reader.readLine?.(record, delivery) ?? unknownFeed(record),
    keepsList: (list) => trivyCollector.reader.keepsList?.(list) === true,
  });
}

function unknownFeed({ place, text }: RecordText): Intake {
  const expected = `a record of ${known.map(({ feed }) => feed).join(", ")}`;
  return refused({ code: "feed-unknown", place, expected, found: shown(text) }, text);
}
