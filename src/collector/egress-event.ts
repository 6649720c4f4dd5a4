/**
 * @module One outgoing request, connection or lookup of a runner, whichever log told of it, to an
 * event.
 */

import type { Event, JoinKeys, Logsource } from "../event/event.ts";
import { FieldSet } from "../event/fields.ts";
import type { Delivery } from "./collector.ts";
import { idOf, type RecordText } from "./intake.ts";
import { addressOf, authorityTarget, type Target, targetOf } from "./target.ts";
import { earlierBy, placeInTime, readTime } from "./time.ts";

export type Decision = "allow" | "deny" | "error";

/** What a log tells of one try to reach the outside. All but the log's own name may be missing. */
export interface Egress {
  readonly log: "squid" | "harden-runner" | "generic";
  readonly category: "proxy" | "network_connection" | "dns";
  /** The stamp as written; with `endedAfterMs` it is that of the end. */
  readonly claimedTime: unknown;
  readonly endedAfterMs?: number | undefined;
  readonly decision: Decision;
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  /** `host` or `host:port` as the client named it. */
  readonly named?: string | undefined;
  /**
   * True when the log would have told the name, so that an address alone means it was called by
   * address.
   */
  readonly tellsNames?: boolean;
  readonly ip?: string | undefined;
  readonly port?: number | undefined;
  readonly transport?: string | undefined;
  readonly status?: number | undefined;
  readonly bytesOut?: number | undefined;
  readonly bytesIn?: number | undefined;
  readonly client?: string | undefined;
  readonly clientPort?: number | undefined;
  readonly userAgent?: string | undefined;
  readonly user?: string | undefined;
  readonly join?: JoinKeys;
  /** Fields that only this log has; set before the derived ones, which none may forge. */
  readonly more?: (fields: FieldSet) => void;
}

export function egressEvent(egress: Egress, record: RecordText, delivery: Delivery): Event {
  const fields = new FieldSet();
  egress.more?.(fields);
  const target = setDestination(fields, egress);
  setRequest(fields, egress);
  fields
    .set("event.action", egress.decision)
    .set("event.module", egress.log)
    .set("event.dataset", `egress.${egress.log}`)
    .set("event.outcome", outcomeOf(egress))
    .set("network.direction", "egress")
    .set("pipewarden.egress.decision", egress.decision);
  if (target !== undefined) {
    fields.set("pipewarden.egress.bare_address", target.address !== undefined);
  } else if (egress.tellsNames === true && egress.ip !== undefined) {
    fields.set("pipewarden.egress.bare_address", true);
  }
  return {
    id: idOf("egress", [record.text, delivery.path ?? ""]),
    feed: "egress",
    logsource: logsourceOf(egress),
    ...placed(fields, egress, delivery),
    receivedAt: delivery.receivedAt,
    fields: fields.done(),
    join: { ...addressJoin(egress.client), ...egress.join },
    raw: record.text,
  };
}

function logsourceOf({ category, log }: Egress): Logsource {
  return { product: "ci", category, service: log };
}

/** A proxy's line is written when the request ends; the event occurred when it began. */
function placed(
  fields: FieldSet,
  { claimedTime, endedAfterMs = 0 }: Egress,
  { receivedAt }: Delivery,
): Pick<Event, "occurredAt" | "timeSource"> {
  const end = readTime(claimedTime);
  const read = end !== undefined && endedAfterMs > 0 ? earlierBy(end, endedAfterMs) : end;
  if (endedAfterMs > 0) fields.set("pipewarden.egress.duration_ms", endedAfterMs);
  return placeInTime(fields, { claimed: claimedTime, read }, receivedAt);
}

/** Answers the destination as the client named it, if the log tells. */
function setDestination(fields: FieldSet, egress: Egress): Target | undefined {
  const { url, named, ip, port } = egress;
  const inUrl = url === undefined ? undefined : targetOf(url);
  const inName = named === undefined ? undefined : authorityTarget(named);
  const target = inUrl?.host === undefined ? inName : inUrl;
  const address = ip === undefined ? undefined : addressOf(ip);
  if (target?.host !== undefined && target.address === undefined) {
    fields.set("destination.domain", target.host);
  }
  fields
    .set("destination.ip", address ?? target?.address)
    .set("destination.port", port ?? target?.port)
    .set("url.full", url)
    .set("url.domain", inUrl?.host)
    .set("url.scheme", inUrl?.scheme)
    .set("url.path", inUrl?.path)
    .set("url.query", inUrl?.query)
    .set("url.extension", /\.([a-z0-9]{1,16})$/i.exec(inUrl?.path ?? "")?.[1]?.toLowerCase())
    .set("network.transport", egress.category === "proxy" ? "tcp" : egress.transport);
  // Another Host header than the URL's host is how a fronted request hides where it goes.
  if (inUrl?.host !== undefined && inName?.host !== undefined) {
    fields.set("pipewarden.egress.host_mismatch", inUrl.host !== inName.host);
  }
  return target?.host === undefined ? undefined : target;
}

function setRequest(fields: FieldSet, egress: Egress): void {
  fields
    .set("http.request.method", egress.method)
    .set("http.response.status_code", egress.status)
    .set("http.request.bytes", egress.bytesOut)
    .set("http.response.bytes", egress.bytesIn)
    .set("user_agent.original", egress.userAgent)
    .set("user.name", egress.user)
    .set("source.ip", egress.client === undefined ? undefined : addressOf(egress.client))
    .set("source.port", egress.clientPort);
}

function outcomeOf({ decision, status }: Egress): string {
  return decision === "allow" && (status === undefined || status < 400) ? "success" : "failure";
}

/** A proxy on the runner itself sees loopback, which says nothing of which runner. */
function addressJoin(client: string | undefined): JoinKeys {
  const address = client === undefined ? undefined : addressOf(client);
  if (address === undefined || address === "::1" || address.startsWith("127.")) return {};
  return { address };
}

/**
 * `owner/name` and run from `github/<owner>/<name>/actions/[runs/<id>/[attempts/<n>/]]…` in a
 * door's path.
 */
export function runInPath(path: string | undefined): JoinKeys & { readonly jobs?: string } {
  const segments = (path ?? "").split("/").filter((segment) => segment !== "");
  const start = segments.indexOf("github");
  if (start === -1) return {};
  const [owner, name] = segments.slice(start + 1, start + 3);
  if (owner === undefined || name === undefined) return {};
  const rest = segments.slice(start + 3);
  const after = (key: string): string | undefined => {
    const index = rest.indexOf(key);
    return index === -1 ? undefined : rest[index + 1];
  };
  const runId = /^\d{1,20}$/.exec(after("runs") ?? "")?.[0];
  const attempt = /^\d{1,6}$/.exec(after("attempts") ?? "")?.[0];
  const jobs = after("jobs");
  return {
    repository: `${owner}/${name}`,
    ...(runId === undefined ? {} : { runId }),
    ...(attempt === undefined ? {} : { runAttempt: Number(attempt) }),
    ...(jobs === undefined ? {} : { jobs }),
  };
}
