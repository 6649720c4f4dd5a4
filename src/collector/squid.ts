/**
 * @module Squid access logs: native, common, combined, the firewall's text form, and JSON
 * logformats.
 */

import { type FieldSet, isRecord, numberAt, type OpenRecord, textAt } from "../event/fields.ts";
import type { Decision, Egress } from "./egress-event.ts";

/** `TCP_DENIED`, `NONE_NONE`, `TAG_NONE`, `TCP_MISS_ABORTED`, …: how Squid names what it did. */
const resultForm = /^(?:TCP|UDP|NONE|TAG|CONN|ICP|HIER|ERR)(?:_[A-Z]+)*$/;

/** Squid's `-` for an absent value. */
function present(text: string | undefined): string | undefined {
  return text === "-" || text === "" ? undefined : text;
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

interface Verdict {
  readonly result: string;
  readonly hierarchy: string | undefined;
  readonly status: number | undefined;
}

/**
 * A name that did not resolve, a refused upstream and a port probe are errors: nothing went out.
 */
function decisionOf({ result, hierarchy, status }: Verdict): Decision {
  if (result.includes("DENIED")) return "deny";
  if (/^(?:NONE|TAG)(?:_|$)/.test(result)) return "error";
  const failed = status === undefined || status === 0 || status >= 500;
  return failed && (hierarchy === undefined || hierarchy === "HIER_NONE") ? "error" : "allow";
}

function setVerdict(fields: FieldSet, { result, hierarchy }: Verdict): void {
  fields
    .set("pipewarden.egress.result_code", result)
    .set("pipewarden.egress.hierarchy", present(hierarchy));
}

/** The line as an Egress; undefined when it is in none of Squid's text forms. */
export function readSquidLine(line: string): Egress | undefined {
  return nativeLine(line) ?? firewallLine(line) ?? webLine(line);
}

// time.ms duration client result/status bytes method url user hierarchy/peer type. The flag s:
// where the last dot could stop at a line separator, the blanks before it would be tried in every
// length.
const nativeForm = new RegExp(
  [
    /^(\d{9,11}\.\d{1,9})/,
    /(-?\d{1,12})/,
    /(\S+)/,
    /([A-Z_]+)\/(\d{3})/,
    /(\d{1,15})/,
    /(\S+)/,
    /(\S+)/,
    /(\S+)/,
    /([A-Z_]+)\/(\S+)(?:\s+(.*))?$/,
  ]
    .map(({ source }) => source)
    .join("\\s+"),
  "s",
);

function nativeLine(line: string): Egress | undefined {
  const found = nativeForm.exec(line);
  if (found === null) return undefined;
  const [, time, duration, client, result = "", status, bytes, method, url, user, hierarchy] =
    found;
  const [peer, type] = found.slice(11);
  const verdict: Verdict = { result, hierarchy, status: numberOf(status) };
  return {
    ...base(verdict),
    claimedTime: time,
    endedAfterMs: numberOf(duration),
    ...request(method, url),
    ip: present(peer),
    bytesIn: numberOf(bytes),
    client: present(client),
    user: present(user),
    more: (fields) => {
      setVerdict(fields, verdict);
      fields.set("pipewarden.egress.content_type", present(type));
    },
  };
}

// time.ms client:port host dest:port version method status result:hierarchy url "user agent"
const firewallForm =
  /^(\d{9,11}\.\d{1,9}) (\S+):(\d{1,5}|-) (\S+) (\S+) (\S+) (\S+) (\d{1,3}|-) ([A-Z_]+):([A-Z_]+) (\S+) "(.*)"$/;

function firewallLine(line: string): Egress | undefined {
  const found = firewallForm.exec(line);
  if (found === null) return undefined;
  const [, time, client, clientPort, host, dest, , method, status, result = "", hierarchy, url] =
    found;
  const verdict: Verdict = { result, hierarchy, status: numberOf(status) };
  return {
    ...base(verdict),
    claimedTime: time,
    ...request(method, url),
    named: present(host),
    ...destination(dest),
    client: present(client),
    clientPort: numberOf(clientPort),
    // Inside quotes Squid escapes quotes and backslashes.
    userAgent: present(found[12]?.replace(/\\(["\\])/g, "$1")),
    more: (fields) => setVerdict(fields, verdict),
  };
}

// client ident user [time] "method url version" status bytes ["referer" "user agent"]
// result:hierarchy
const webHead =
  /^(\S+) (\S+) (\S+) \[([^\]]{20,30})\] "(\S+) (\S+) (?:HTTP|ICY|ICAP)\/[\d.]+" (\d{3}) (\d{1,15}) /;
const webTail = /(?:^|" )([A-Z_]+):([A-Z_]+)$/;

/**
 * In `combined` Squid does not escape quotes, so a user agent with quotes can forge the referer
 * and itself, never the request before nor the result after. Such a line is marked
 * `pipewarden.egress.unescaped_quotes`.
 */
function webLine(line: string): Egress | undefined {
  // Head and tail apart: one expression for the whole would take quadratic time on a hostile user
  // agent.
  const head = webHead.exec(line);
  if (head === null) return undefined;
  const end = line.slice(head[0].length);
  const tail = webTail.exec(end.slice(-64));
  if (tail === null) return undefined;
  const [, client, , user, time, method, url, status, bytes] = head;
  const [, result = "", hierarchy] = tail;
  const verdict: Verdict = { result, hierarchy, status: numberOf(status) };
  // `"referer" "user agent" `, or nothing in `common`.
  const quoted = end.slice(1, -tail[0].length);
  const between = quoted.lastIndexOf('" "');
  const referer = between === -1 ? undefined : quoted.slice(0, between);
  const agent = between === -1 ? undefined : quoted.slice(between + 3);
  return {
    ...base(verdict),
    claimedTime: time,
    ...request(method, url),
    bytesIn: numberOf(bytes),
    client: present(client),
    userAgent: present(agent),
    user: present(user),
    more: (fields) => {
      setVerdict(fields, verdict);
      fields.set("http.request.referrer", present(referer));
      if (`${referer ?? ""}${agent ?? ""}`.includes('"')) {
        fields.set("pipewarden.egress.unescaped_quotes", true);
      }
    },
  };
}

function base(verdict: Verdict): Pick<Egress, "log" | "category" | "decision" | "status"> {
  // Status 000: the connection ended before there was a request.
  const status = verdict.status === 0 ? undefined : verdict.status;
  return { log: "squid", category: "proxy", decision: decisionOf(verdict), status };
}

function request(
  method: string | undefined,
  url: string | undefined,
): Pick<Egress, "method" | "url"> {
  return { method: present(method), url: present(url) };
}

/** `address:port`, IPv6 without brackets; `-:-` when there was no connection. */
function destination(dest: string | undefined): Pick<Egress, "ip" | "port"> {
  const colon = dest?.lastIndexOf(":") ?? -1;
  if (dest === undefined || colon === -1) return { ip: present(dest) };
  const ip = dest.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  return { ip: present(ip), port: numberOf(dest.slice(colon + 1)) };
}

/**
 * Squid JSON has no standard: these keys are those of GitHub's agentic-workflow firewall and of our
 * docs.
 */
export function isSquidJson(record: unknown): boolean {
  if (!isRecord(record)) return false;
  const decision = textAt(record, "decision")?.split(":", 1)[0];
  return decision !== undefined && resultForm.test(decision);
}

const squidKeys: ReadonlySet<string> = new Set(
  "ts timestamp client client_port host dest dest_ip dest_port method status decision hier url ua"
    .concat(" bytes_out bytes_in duration_ms user event")
    .split(" "),
);

/**
 * All generations: `ts` or `timestamp`, seconds or ISO; the decision with or without the hierarchy.
 */
export function readSquidJson(record: OpenRecord): Egress {
  const [result = "", joined] = (textAt(record, "decision") ?? "").split(":", 2);
  const hierarchy = joined ?? textAt(record, "hier");
  const verdict: Verdict = { result, hierarchy, status: numberAt(record, "status") };
  const dest = destination(textAt(record, "dest"));
  return {
    ...base(verdict),
    claimedTime: textAt(record, "ts") ?? textAt(record, "timestamp"),
    endedAfterMs: numberAt(record, "duration_ms"),
    ...request(textAt(record, "method"), textAt(record, "url")),
    named: present(textAt(record, "host")),
    ip: present(textAt(record, "dest_ip")) ?? dest.ip,
    port: numberAt(record, "dest_port") ?? dest.port,
    bytesOut: numberAt(record, "bytes_out"),
    bytesIn: numberAt(record, "bytes_in"),
    client: present(textAt(record, "client")),
    clientPort: numberAt(record, "client_port"),
    userAgent: present(textAt(record, "ua")),
    user: present(textAt(record, "user")),
    more: (fields) => {
      setUnknown(fields, record, squidKeys);
      setVerdict(fields, verdict);
    },
  };
}

/** What we derive under the same prefix; a record's own key of that name must not pass for it. */
const derived: ReadonlySet<string> = new Set(
  "decision bare_address host_mismatch result_code hierarchy duration_ms unescaped_quotes".split(
    " ",
  ),
);

/** Keys that no form knows are kept as they are. */
export function setUnknown(fields: FieldSet, record: OpenRecord, known: ReadonlySet<string>): void {
  for (const key of Object.keys(record)) {
    if (!known.has(key) && !derived.has(key))
      fields.flatten(`pipewarden.egress.${key}`, record[key]);
  }
}
