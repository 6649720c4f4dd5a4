/** @module Entries of the GitHub audit log to events: streamed, posted, exported or polled. */

import type { Event, JoinKeys } from "../event/event.ts";
import { FieldSet, isRecord, numberAt, type OpenRecord, textAt, valueAt } from "../event/fields.ts";
import type { Delivery, Intake } from "./collector.ts";
import { actionOf, mapAudit, repositoryOf } from "./github-audit-fields.ts";
import {
  collectorOf,
  type FeedCollector,
  idOf,
  lacking,
  misshapen,
  type RecordText,
  taken,
} from "./intake.ts";
import { canonicalText, parseJson } from "./json.ts";
import { placeInTime } from "./time.ts";

/**
 * Reads JSON lines of a stream or object store, pages of the REST API, `{"event": …, "time": …}`
 * envelopes one after another, older exports with extras under `data`, and entries whose keys a
 * SIEM has renamed. Every key of an entry is kept under `pipewarden.audit.`, whatever else it is
 * mapped to: GitHub adds keys monthly.
 */
export const githubAuditCollector: FeedCollector = collectorOf({
  feed: "github-audit",
  recognises: (record) => looksLikeEntry(record) || looksLikeEntry(entryIn(record)?.entry),
  readValue: readEntry,
});

/** The audit entry, and what the envelope around it said of the time. */
interface Opened {
  readonly entry: OpenRecord;
  readonly time: unknown;
  /** Set when the entry came as text inside JSON: its own text then is the record. */
  readonly text?: string;
}

/** An entry itself may have a key `event`, then the name of a workflow's trigger: plain text. */
function entryIn(value: unknown): Opened | undefined {
  if (!isRecord(value)) return undefined;
  const inner = valueAt(value, "event");
  const time = valueAt(value, "time");
  if (isRecord(inner)) return { entry: inner, time };
  if (typeof inner === "string" && inner.startsWith("{")) {
    const parsed = parseJson(inner);
    if (parsed.ok && isRecord(parsed.value)) return { entry: parsed.value, time, text: inner };
  }
  return { entry: value, time: undefined };
}

const entryKeys = [
  "@timestamp",
  "_document_id",
  "at_sign_timestamp",
  "created_at",
  "actor",
  "actor_id",
  "org",
  "business",
  "operation_type",
];

function looksLikeEntry(entry: unknown): boolean {
  // Every audit action is `category.name`; webhook actions have no dot and name the sender in an
  // object.
  const action = textAt(entry, "action");
  if (action === undefined || !/^[\w-]+\.[\w.-]+$/.test(action)) return false;
  if (isRecord(valueAt(entry, "sender")) || isRecord(valueAt(entry, "actor"))) return false;
  return entryKeys.some((key) => valueAt(entry, key) !== undefined);
}

function readEntry(value: unknown, record: RecordText, delivery: Delivery): Intake {
  const opened = entryIn(value);
  if (opened === undefined) return misshapen(record, "an audit log entry", value);
  const entry = withData(opened.entry);
  const action = actionOf(entry);
  if (action === undefined) return lacking(record, "action", entry);
  const fields = new FieldSet();
  fields.flatten("pipewarden.audit", entry);
  mapAudit(fields, action, entry);
  const placed = placeInTime(
    fields,
    { claimed: claimedTime(entry) ?? opened.time },
    delivery.receivedAt,
  );
  const event: Event = {
    id: entryId(opened.entry),
    feed: "github-audit",
    logsource: { product: "github", service: "audit" },
    ...placed,
    receivedAt: delivery.receivedAt,
    fields: fields.done(),
    join: joinKeys(entry),
    raw: opened.text ?? record.text,
  };
  return taken([event]);
}

/** Old exports keep all but the common keys under `data`; the entry's own keys win. */
function withData(entry: OpenRecord): OpenRecord {
  const data = valueAt(entry, "data");
  // Spreading defines own keys, so `__proto__` in it stays a plain key.
  return isRecord(data) ? { ...data, ...entry } : entry;
}

function claimedTime(entry: OpenRecord): unknown {
  for (const key of ["@timestamp", "at_sign_timestamp", "created_at", "timestamp"]) {
    const time = valueAt(entry, key);
    if (time !== undefined && time !== null && time !== "") return time;
  }
  return undefined;
}

/**
 * Older ids are padded with `==`. Git events often have none: then the content, whatever its order
 * of keys.
 */
function entryId(entry: OpenRecord): string {
  const id = textAt(entry, "_document_id");
  return id === undefined
    ? idOf("github-audit", [canonicalText(entry)])
    : `github-audit:${id.replace(/={1,2}$/, "")}`;
}

function joinKeys(entry: OpenRecord): JoinKeys {
  const repository = repositoryOf(entry);
  const runId = textAt(entry, "workflow_run_id");
  const runAttempt = numberAt(entry, "run_attempt");
  const runnerName = textAt(entry, "runner_name");
  return {
    ...(repository === undefined ? {} : { repository }),
    ...(runId === undefined ? {} : { runId }),
    ...(runAttempt === undefined ? {} : { runAttempt }),
    ...(runnerName === undefined ? {} : { runnerName }),
  };
}
