/** @module Falco alerts, from Falco itself or through falcosidekick, to events. */

import type { Event, JoinKeys } from "../event/event.ts";
import { FieldSet, isRecord, numberAt, textAt, valueAt } from "../event/fields.ts";
import type { Delivery, Intake } from "./collector.ts";
import { mapFalcoFields } from "./falco-fields.ts";
import { falcoLogsource, falcoOrigin } from "./falco-logsource.ts";
import {
  collectorOf,
  type FeedCollector,
  idOf,
  lacking,
  misshapen,
  passedOver,
  type RecordText,
  refused,
  taken,
  unsupported,
} from "./intake.ts";
import { placeInTime } from "./time.ts";

/**
 * Reads `json_output: true` of Falco 0.2x to 0.44 (stdout, file, program, http) and falcosidekick
 * 2.x (webhook, Kafka, S3). Start-up lines and rule-load reports on stdout are skipped; an alert in
 * text form is refused by name.
 */
export const falcoCollector: FeedCollector = collectorOf({
  feed: "falco",
  recognises: (record) =>
    textAt(record, "rule") !== undefined &&
    textAt(record, "priority") !== undefined &&
    (isRecord(valueAt(record, "output_fields")) || textAt(record, "output") !== undefined),
  readValue: readAlert,
  readLine: readTextLine,
});

/**
 * Spellings of the same priority: rules write INFO, JSON writes Informational, gRPC wrote upper
 * case.
 */
const priorityNames = new Map([
  ["info", "informational"],
  ["warn", "warning"],
  ["err", "error"],
  ["crit", "critical"],
  ["emerg", "emergency"],
]);

function readAlert(value: unknown, record: RecordText, delivery: Delivery): Intake {
  if (!isRecord(value)) return misshapen(record, "a Falco alert", value);
  const rule = textAt(value, "rule");
  if (rule === undefined) {
    return isBanner(value) ? passedOver : lacking(record, "rule", value);
  }
  const output = valueAt(value, "output_fields");
  const origin = falcoOrigin(rule, textAt(value, "source"));
  const fields = new FieldSet();
  fields.flatten("pipewarden.falco", output);
  if (origin === "internal") setCounters(fields, output);
  setHead(fields, value, rule);
  mapFalcoFields(fields, output, origin);
  const cut = cutFields(value, output);
  if (cut.length > 0) fields.set("pipewarden.falco.cut_fields", cut);
  const placed = placeInTime(fields, { claimed: valueAt(value, "time") }, delivery.receivedAt);
  const event: Event = {
    id: alertId(value, rule, output),
    feed: "falco",
    logsource: falcoLogsource(origin, output),
    ...placed,
    receivedAt: delivery.receivedAt,
    fields: fields.done(),
    join: joinKeys(value, output, origin),
    raw: record.text,
  };
  return taken([event]);
}

function setHead(fields: FieldSet, value: unknown, rule: string): void {
  const priority = (textAt(value, "priority") ?? "").toLowerCase();
  fields
    .set("event.action", rule)
    .set("event.module", "falco")
    .set("event.dataset", "falco.alerts")
    .set("rule.name", rule)
    .set("log.level", priorityNames.get(priority) ?? priority)
    .set("host.hostname", textAt(value, "hostname"))
    .set("pipewarden.falco.source", falcoSource(value))
    .set("pipewarden.falco.output", textAt(value, "output") ?? textAt(value, "message"))
    .set("pipewarden.falco.uuid", textAt(value, "uuid"));
  const tags = valueAt(value, "tags");
  if (!Array.isArray(tags) || tags.length === 0) return;
  fields.set("tags", tags);
  const techniques = tags.filter((tag) => typeof tag === "string" && /^T\d{4}/.test(tag));
  if (techniques.length > 0) fields.set("threat.technique.id", techniques);
}

/** Old Falco has no source and falcosidekick then writes `syscalls`: all mean the same. */
function falcoSource(value: unknown): string {
  const source = textAt(value, "source") ?? "syscall";
  return source === "syscalls" ? "syscall" : source;
}

/**
 * The same alert has one id whichever way it came: falcosidekick's uuid is made anew at each
 * receipt, and Falco repeats a request that timed out. `output` stands for the fields, which
 * falcosidekick adds to.
 */
function alertId(value: unknown, rule: string, output: unknown): string {
  return idOf("falco", [
    textAt(value, "time") ?? "",
    rule,
    textAt(value, "hostname") ?? "",
    falcoSource(value),
    textAt(value, "output") ?? output,
  ]);
}

/** Counters of Falco's own events are numbers in one version and text in another. */
function setCounters(fields: FieldSet, output: unknown): void {
  if (!isRecord(output)) return;
  for (const key of Object.keys(output)) {
    if (!/^(?:scap\.)?n_(?:drops|evts)|_drops$/.test(key)) continue;
    const count = numberAt(output, key);
    const name = `pipewarden.falco.${key}`;
    if (count !== undefined && fields.has(name)) fields.set(name, count);
  }
  fields.set(
    "pipewarden.falco.drops",
    numberAt(output, "n_drops") ?? numberAt(output, "scap.n_drops"),
  );
}

/**
 * falcosidekick cuts each text over 512 bytes to 507 and `[...]` when the alert exceeds 4096 bytes.
 */
function cutFields(value: unknown, output: unknown): string[] {
  if (textAt(value, "uuid") === undefined || !isRecord(output)) return [];
  return Object.keys(output).filter((key) => {
    const text = output[key];
    if (typeof text !== "string" || !text.endsWith("[...]")) return false;
    // A character cut in two becomes up to three replacement characters of three bytes.
    const bytes = Buffer.byteLength(text);
    return bytes >= 509 && bytes <= 520;
  });
}

function joinKeys(value: unknown, output: unknown, origin: string): JoinKeys {
  if (origin === "internal") {
    const host = textAt(value, "hostname");
    return host === undefined ? {} : { host };
  }
  // An audit record of a pod's exec or attach tells of that pod, not of the one Falco runs in.
  const target =
    textAt(output, "ka.target.resource") === "pods" ? textAt(output, "ka.target.name") : undefined;
  const pod = textAt(output, "k8s.pod.name") ?? textAt(output, "k8smeta.pod.name") ?? target;
  const address = textAt(output, "k8s.pod.ip");
  const host = origin === "syscall" ? textAt(value, "hostname") : undefined;
  return {
    ...(pod === undefined ? {} : { pod }),
    ...(host === undefined ? {} : { host }),
    ...(address === undefined ? {} : { address }),
  };
}

/** Falco's own log lines as JSON, and the report of a rule load. */
function isBanner(value: unknown): boolean {
  return (
    valueAt(value, "falco_load_results") !== undefined ||
    (textAt(value, "level") !== undefined && textAt(value, "msg") !== undefined)
  );
}

const textAlert =
  /^(?:\d{4}-\d\d-\d\dT)?\d\d:\d\d:\d\d\.\d\S{0,20}: (?:Eme|Ale|Cri|Err|War|Not|Inf|Deb)[a-z]/;
const startUpLine = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}: /;

function readTextLine(record: RecordText): Intake {
  if (startUpLine.test(record.text)) return passedOver;
  if (textAlert.test(record.text)) {
    return unsupported(record, "JSON alerts (json_output: true)", "an alert as text");
  }
  const { place, text } = record;
  const found = "a line of text";
  return refused({ code: "json-invalid", place, expected: "a Falco alert as JSON", found }, text);
}
