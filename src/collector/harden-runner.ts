/**
 * @module Connections and lookups that the Harden-Runner community agent reports from inside a job.
 */

import {
  type FieldSet,
  isRecord,
  numberAt,
  type OpenRecord,
  textAt,
  valueAt,
} from "../event/fields.ts";
import type { Delivery } from "./collector.ts";
import { type Egress, runInPath } from "./egress-event.ts";
import { setUnknown } from "./squid.ts";

/**
 * The agent posts `{ipAddress, port, domainName, timestamp, tool, status, matched_policy, reason}`
 * to `…/networkconnection` and the same without port, tool and status to `…/dns`. Both always have
 * the key `domainName`.
 */
export function isHardenRunner(record: unknown): boolean {
  return (
    isRecord(record) &&
    valueAt(record, "domainName") !== undefined &&
    valueAt(record, "timestamp") !== undefined &&
    (valueAt(record, "ipAddress") !== undefined || valueAt(record, "matched_policy") !== undefined)
  );
}

const knownKeys: ReadonlySet<string> = new Set(
  "ipAddress port domainName timestamp tool status matched_policy reason repo run_id"
    .concat(" correlation_id")
    .split(" "),
);

export function readHardenRunner(record: OpenRecord, delivery: Delivery): Egress {
  const { jobs, ...place } = runInPath(delivery.path);
  const lastSegment = delivery.path?.split("/").findLast((segment) => segment !== "");
  const isLookup =
    lastSegment === "dns" || (lastSegment !== "networkconnection" && !hasConnection(record));
  const domain = textAt(record, "domainName")?.replace(/\.$/, "");
  const ip = textAt(record, "ipAddress");
  const repository = place.repository ?? textAt(record, "repo");
  const runId = place.runId ?? textAt(record, "run_id");
  return {
    log: "harden-runner",
    category: isLookup ? "dns" : "network_connection",
    claimedTime: valueAt(record, "timestamp"),
    decision: textAt(record, "status") === "Dropped" ? "deny" : "allow",
    named: domain === "" ? undefined : domain,
    tellsNames: !isLookup,
    ip: isLookup ? undefined : ip,
    port: isLookup ? undefined : numberAt(record, "port"),
    join: {
      ...place,
      ...(repository === undefined ? {} : { repository }),
      ...(runId === undefined ? {} : { runId }),
    },
    more: (fields) => {
      setUnknown(fields, record, knownKeys);
      fields
        .set("rule.name", textAt(record, "matched_policy"))
        .set("pipewarden.egress.reason", textAt(record, "reason"))
        // Random per job and in no GitHub event: it groups, it does not join.
        .set("pipewarden.egress.correlation_id", jobs ?? textAt(record, "correlation_id"));
      if (isLookup) {
        fields
          .set("dns.question.name", domain)
          .set("dns.resolved_ip", ip === undefined ? undefined : [ip])
          .set("network.protocol", "dns");
      }
      setTool(fields, valueAt(record, "tool"));
    },
  };
}

function hasConnection(record: OpenRecord): boolean {
  return valueAt(record, "port") !== undefined || valueAt(record, "tool") !== undefined;
}

/**
 * `tool` is the process, `tool.parent` its parent and so on outward, each with the hash of its
 * file.
 */
function setTool(fields: FieldSet, tool: unknown): void {
  if (!isRecord(tool)) return;
  const chain: OpenRecord[] = [];
  // The parser bounds the nesting, so the chain ends.
  for (let at: unknown = tool; isRecord(at); at = valueAt(at, "parent")) chain.push(at);
  const [process, parent, ...outward] = chain;
  fields
    .set("process.name", textAt(process, "name"))
    .set("process.hash.sha256", textAt(process, "sha256"))
    .set("process.parent.name", textAt(parent, "name"))
    .set("process.parent.hash.sha256", textAt(parent, "sha256"));
  const names = outward.flatMap((ancestor) => textAt(ancestor, "name") ?? []);
  const hashes = outward.flatMap((ancestor) => textAt(ancestor, "sha256") ?? []);
  if (names.length > 0) fields.set("pipewarden.process.ancestors", names);
  if (hashes.length > 0) fields.set("pipewarden.process.ancestor_hashes", hashes);
}
