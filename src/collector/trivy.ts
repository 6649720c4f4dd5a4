/**
 * @module Reports of the Trivy command line to events: one for the scan, one for each thing it
 * found.
 */

import { createHash } from "node:crypto";
import type { EpochMs } from "../clock.ts";
import { shown } from "../error.ts";
import type { Event, JoinKeys, TimeSource } from "../event/event.ts";
import { FieldSet, isRecord, type OpenRecord, textAt, valueAt } from "../event/fields.ts";
import type { Delivery, Intake } from "./collector.ts";
import { runInPath } from "./egress-event.ts";
import {
  collectorOf,
  type FeedCollector,
  lacking,
  misshapen,
  type RecordText,
  taken,
  unsupported,
} from "./intake.ts";
import { canonicalText } from "./json.ts";
import { placeInTime } from "./time.ts";
import { foreignFormat } from "./trivy-foreign.ts";
import { type Found, foundIn, mapArtifact, mapFound, mapSummary } from "./trivy-report.ts";

/**
 * Reads the CLI's JSON: SchemaVersion 2 (Trivy 0.20 and later), and the bare list of results before
 * it. SARIF, SBOMs,
 * `trivy k8s` and the operator's resources are refused by name.
 */
export const trivyCollector: FeedCollector = collectorOf({
  feed: "trivy",
  recognises: (record) => isReport(record) || foreignFormat(record) !== undefined,
  keepsList: isResultList,
  readValue: readReport,
});

function isReport(value: unknown): boolean {
  if (isResultList(value)) return true;
  return (
    isRecord(value) &&
    valueAt(value, "SchemaVersion") !== undefined &&
    (valueAt(value, "ArtifactName") !== undefined ||
      valueAt(value, "ArtifactType") !== undefined ||
      valueAt(value, "Results") !== undefined ||
      valueAt(value, "Metadata") !== undefined)
  );
}

/** Before 0.20 the report was its results. */
function isResultList(value: unknown): boolean {
  if (!Array.isArray(value) || value.length === 0) return false;
  return value.every(
    (result) =>
      textAt(result, "Target") !== undefined &&
      ["Type", "Class", "Vulnerabilities", "Misconfigurations", "Secrets"].some(
        (key) => valueAt(result, key) !== undefined,
      ),
  );
}

function readReport(value: unknown, record: RecordText, delivery: Delivery): Intake {
  const foreign = foreignFormat(value);
  if (foreign !== undefined) {
    return unsupported(record, "Trivy's own JSON report (--format json)", foreign);
  }
  if (isResultList(value)) return eventsOf({ Results: value }, record, delivery);
  if (!isRecord(value)) return misshapen(record, "a Trivy report", value);
  const version = textAt(value, "SchemaVersion");
  if (version === undefined) return lacking(record, "SchemaVersion", value);
  if (version !== "2") {
    return unsupported(record, "SchemaVersion 2", `SchemaVersion ${shown(version)}`);
  }
  const results = valueAt(value, "Results");
  // A clean scan may have no results at all.
  if (results !== undefined && results !== null && !Array.isArray(results)) {
    return misshapen(record, "a list of Results", results);
  }
  return eventsOf(value, record, delivery);
}

interface Scan {
  readonly report: OpenRecord;
  readonly reportId: string;
  readonly receivedAt: EpochMs;
  readonly join: JoinKeys;
}

function eventsOf(report: OpenRecord, record: RecordText, delivery: Delivery): Intake {
  const { found, counts } = foundIn(report);
  const reportId = textAt(report, "ReportID") ?? hashOf([canonicalText(report)]);
  const { jobs: _jobs, ...place } = runInPath(delivery.path);
  const scan: Scan = { report, reportId, receivedAt: delivery.receivedAt, join: place };
  const fields = new FieldSet();
  fields.set("event.action", "scan");
  mapSummary(fields, report, counts);
  const events = found.map((one) => foundEvent(scan, one));
  return taken([
    eventOf(scan, { id: reportId, category: "scan", fields, raw: record.text }),
    ...events,
  ]);
}

function foundEvent(scan: Scan, found: Found): Event {
  const fields = new FieldSet();
  fields.set("event.action", found.kind);
  mapFound(fields, found);
  return eventOf(scan, {
    id: `${scan.reportId}:${foundId(found)}`,
    category: found.kind,
    fields,
    // The report may be megabytes; the scan's event keeps it whole.
    raw: JSON.stringify(found.item),
  });
}

interface Part {
  readonly id: string;
  readonly category: string;
  readonly fields: FieldSet;
  readonly raw: string;
}

function eventOf(scan: Scan, { id, category, fields, raw }: Part): Event {
  fields
    .set("event.module", "trivy")
    .set("event.dataset", "trivy.report")
    .set("pipewarden.trivy.report_id", scan.reportId);
  const repository = mapArtifact(fields, scan.report);
  const placed: { occurredAt: EpochMs; timeSource: TimeSource } = placeInTime(
    fields,
    { claimed: valueAt(scan.report, "CreatedAt") },
    scan.receivedAt,
  );
  return {
    id: `trivy:${id}`,
    feed: "trivy",
    logsource: { product: "trivy", category, service: "report" },
    ...placed,
    receivedAt: scan.receivedAt,
    fields: fields.done(),
    join: { ...(repository === undefined ? {} : { repository }), ...scan.join },
    raw,
  };
}

/** The same CVE repeats for each package; Trivy's own fingerprint exists since 0.68. */
function foundId({ kind, result, item }: Found): string {
  return hashOf([
    kind,
    textAt(result, "Target") ?? "",
    textAt(item, "Fingerprint") ?? canonicalText(item),
  ]);
}

function hashOf(parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
}
