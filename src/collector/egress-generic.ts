/**
 * @module Egress in our own documented JSON form, for proxies and agents that have no form here.
 */

import type { JoinKeys } from "../event/event.ts";
import {
  type FieldSet,
  isRecord,
  numberAt,
  type OpenRecord,
  textAt,
  valueAt,
} from "../event/fields.ts";
import type { Decision, Egress } from "./egress-event.ts";
import { setUnknown } from "./squid.ts";

/**
 * One object per request or connection. Every key is optional but a destination: `url`, `host`, or
 * `dest_ip`.
 *
 * | key | holds |
 * |---|---|
 * | time | RFC 3339, or epoch s, ms, us or ns; of the end when `duration_ms` is given |
 * | duration_ms | how long it took |
 * | runner, pod, host_name | the runner's, pod's or machine's name: what joins it to a job |
 * | client, client_port | the address it came from |
 * | repository, run_id, run_attempt, job_id | when the sender knows them |
 * | method, url, status, user_agent, user | of the HTTP request |
 * | host, port | the destination as named, `host` with or without port |
 * | dest_ip, dest_port | the destination connected to |
 * | protocol | tcp, udp or dns |
 * | bytes_out, bytes_in | sent by and to the runner |
 * | decision | allow, deny or error, or a common word for one; absent means allow |
 * | process, command, pid, executable | who did it |
 *
 * Bullfrog's `timestamp, decision, protocol, dstIP, dstPort, domain, reason, processName,
 * commandLine, executablePath` are taken as other names of these. Other keys are kept under
 * `pipewarden.egress.`.
 */
const aliases: ReadonlyMap<string, readonly string[]> = new Map([
  ["time", ["time", "timestamp", "@timestamp", "ts"]],
  ["host", ["host", "domain"]],
  ["dest_ip", ["dest_ip", "dstIP"]],
  ["dest_port", ["dest_port", "dstPort"]],
  ["process", ["process", "processName"]],
  ["command", ["command", "commandLine"]],
  ["executable", ["executable", "executablePath"]],
  ["repository", ["repository", "repo"]],
]);

const knownKeys: ReadonlySet<string> = new Set([
  ...[...aliases.values()].flat(),
  ..."duration_ms runner pod host_name client client_port run_id run_attempt job_id".split(" "),
  ..."method url status user_agent user port protocol bytes_out bytes_in".split(" "),
  ..."decision pid reason proxy".split(" "),
]);

function alias(record: OpenRecord, name: string): string | undefined {
  for (const key of aliases.get(name) ?? [name]) {
    const text = textAt(record, key);
    if (text !== undefined && text !== "-") return text;
  }
  return undefined;
}

/** Whether the record names a destination; what the door of the feed requires. */
export function hasDestination(record: unknown): record is OpenRecord {
  if (!isRecord(record)) return false;
  return ["url", "host", "dest_ip"].some((name) => alias(record, name) !== undefined);
}

/**
 * Stricter, for files of unknown origin: network sensors' records have a destination too and are
 * not egress.
 */
export function isGenericEgress(record: unknown): boolean {
  if (!hasDestination(record) || alias(record, "time") === undefined) return false;
  if (valueAt(record, "event_type") !== undefined || valueAt(record, "flow_id") !== undefined) {
    return false;
  }
  const request = textAt(record, "method") !== undefined && textAt(record, "url") !== undefined;
  const origin = ["runner", "pod", "client", "process", "host_name"];
  return (
    request ||
    textAt(record, "decision") !== undefined ||
    origin.some((name) => alias(record, name) !== undefined)
  );
}

const decisions: ReadonlyMap<string, Decision> = new Map([
  ...words("deny", "deny denied block blocked drop dropped reject rejected refused"),
  ...words("error", "error failed failure timeout"),
]);

function words(decision: Decision, names: string): [string, Decision][] {
  return names.split(" ").map((name) => [name, decision]);
}

export function readGeneric(record: OpenRecord): Egress {
  const method = textAt(record, "method");
  const url = alias(record, "url");
  const protocol = textAt(record, "protocol")?.toLowerCase();
  const isRequest = method !== undefined || url !== undefined;
  const word = textAt(record, "decision")?.toLowerCase() ?? "allow";
  return {
    log: "generic",
    category: isRequest ? "proxy" : protocol === "dns" ? "dns" : "network_connection",
    claimedTime: alias(record, "time"),
    endedAfterMs: numberAt(record, "duration_ms"),
    decision: decisions.get(word) ?? "allow",
    method,
    url,
    named: alias(record, "host"),
    ip: alias(record, "dest_ip"),
    port: numberOf(alias(record, "dest_port")) ?? numberAt(record, "port"),
    transport: protocol === "tcp" || protocol === "udp" ? protocol : undefined,
    status: numberAt(record, "status"),
    bytesOut: numberAt(record, "bytes_out"),
    bytesIn: numberAt(record, "bytes_in"),
    client: textAt(record, "client"),
    clientPort: numberAt(record, "client_port"),
    userAgent: textAt(record, "user_agent"),
    user: textAt(record, "user"),
    join: joinKeys(record),
    more: (fields) => setMore(fields, record, protocol),
  };
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,5}$/.test(text) ? Number(text) : undefined;
}

function setMore(fields: FieldSet, record: OpenRecord, protocol: string | undefined): void {
  setUnknown(fields, record, knownKeys);
  fields
    .set("process.name", alias(record, "process"))
    .set("process.command_line", alias(record, "command"))
    .set("process.executable", alias(record, "executable"))
    .set("process.pid", numberAt(record, "pid"))
    .set("host.hostname", textAt(record, "proxy"))
    .set("network.protocol", protocol === "dns" ? "dns" : undefined)
    .set("pipewarden.egress.reason", textAt(record, "reason"));
  if (protocol === "dns") fields.set("dns.question.name", alias(record, "host"));
}

function joinKeys(record: OpenRecord): JoinKeys {
  const runnerName = textAt(record, "runner");
  const pod = textAt(record, "pod");
  const host = textAt(record, "host_name");
  const repository = alias(record, "repository");
  const runId = textAt(record, "run_id");
  const runAttempt = numberAt(record, "run_attempt");
  const jobId = textAt(record, "job_id");
  return {
    ...(runnerName === undefined ? {} : { runnerName }),
    ...(pod === undefined ? {} : { pod }),
    ...(host === undefined ? {} : { host }),
    ...(repository === undefined ? {} : { repository }),
    ...(runId === undefined ? {} : { runId }),
    ...(runAttempt === undefined ? {} : { runAttempt }),
    ...(jobId === undefined ? {} : { jobId }),
  };
}
