/**
 * @module What runners reach outside to events: proxy logs, agents in the job, and a form of our
 * own.
 */

import { isRecord } from "../event/fields.ts";
import type { Delivery, Intake } from "./collector.ts";
import { egressEvent } from "./egress-event.ts";
import { hasDestination, isGenericEgress, readGeneric } from "./egress-generic.ts";
import { isHardenRunner, readHardenRunner } from "./harden-runner.ts";
import {
  collectorOf,
  type FeedCollector,
  lacking,
  misshapen,
  type RecordText,
  taken,
  unsupported,
} from "./intake.ts";
import { isSquidJson, readSquidJson, readSquidLine } from "./squid.ts";

/**
 * Reads lines of Squid, JSON of Squid and Harden-Runner, and the form documented in
 * `egress-generic.ts`.
 */
export const egressCollector: FeedCollector = collectorOf({
  feed: "egress",
  recognises: (record) =>
    typeof record === "string"
      ? readSquidLine(record) !== undefined
      : isHardenRunner(record) || isSquidJson(record) || isGenericEgress(record),
  readValue: readJson,
  readLine,
});

function readJson(value: unknown, record: RecordText, delivery: Delivery): Intake {
  if (!isRecord(value)) return misshapen(record, "an egress record", value);
  if (isHardenRunner(value)) {
    return taken([egressEvent(readHardenRunner(value, delivery), record, delivery)]);
  }
  if (isSquidJson(value)) return taken([egressEvent(readSquidJson(value), record, delivery)]);
  if (hasDestination(value)) return taken([egressEvent(readGeneric(value), record, delivery)]);
  return lacking(record, "url, host or dest_ip", value);
}

function readLine(record: RecordText, delivery: Delivery): Intake {
  const egress = readSquidLine(record.text);
  if (egress !== undefined) return taken([egressEvent(egress, record, delivery)]);
  return unsupported(record, "a Squid access log line or JSON", "another kind of line");
}
