/**
 * @module What machines send: Squid's JSON log, Falco's alerts, a container registry's
 * notifications.
 */

import { createHash } from "node:crypto";
import type { EpochMs } from "../clock.ts";
import { idOf, type Post } from "./feeds.ts";

export interface DemoRequest {
  /** When the request ended: Squid writes its line then. */
  readonly at: EpochMs;
  readonly method: string;
  readonly url: string;
  readonly status?: number;
  readonly bytesOut?: number;
  readonly bytesIn?: number;
  readonly address?: string;
  readonly agent?: string;
}

/** Squid's access log as JSON lines, for one client. */
export function squid(client: string, requests: readonly DemoRequest[]): Post {
  const lines = requests.map((request) => {
    const connect = request.method === "CONNECT";
    const host = connect ? request.url : new URL(request.url).host;
    return JSON.stringify({
      ts: request.at / 1000,
      client,
      client_port: 40_000 + (idOf(`${client}${request.at}`) % 20_000),
      method: request.method,
      url: request.url,
      host,
      status: request.status ?? 200,
      decision: `${connect ? "TCP_TUNNEL" : "TCP_MISS"}:HIER_DIRECT`,
      dest_ip: request.address ?? "10.20.9.4",
      dest_port: host.split(":")[1] ?? "80",
      bytes_out: request.bytesOut ?? 210,
      bytes_in: request.bytesIn ?? 1_480,
      duration_ms: 120,
      user: "-",
      ua: request.agent ?? "curl/8.5.0",
    });
  });
  return {
    at: requests.at(-1)?.at ?? 0,
    door: "/v1/egress",
    headers: { "content-type": "application/x-ndjson" },
    body: lines.join("\n"),
    records: lines.length,
  };
}

export interface DemoAlert {
  readonly at: EpochMs;
  readonly host: string;
  readonly rule: string;
  readonly priority: string;
  readonly tags: readonly string[];
  readonly text: string;
  readonly fields: Readonly<Record<string, string | number | null>>;
}

/**
 * One alert as Falco's http_output posts it. `evt.time` is a 19-digit integer, as Falco writes it.
 */
export function falco({ at, host, rule, priority, tags, text, fields }: DemoAlert): Post {
  const nanoseconds = `${at}000000`;
  const time = `${new Date(at).toISOString().slice(0, -1)}000000Z`;
  const head = JSON.stringify({
    hostname: host,
    output: `${time.slice(11, 29)}: ${priority} ${text}`,
    priority,
    rule,
    source: "syscall",
    tags,
    time,
  });
  const outputFields = JSON.stringify(fields).replace("{", `{"evt.time":${nanoseconds},`);
  return {
    at,
    door: "/v1/falco",
    headers: { "content-type": "application/json" },
    body: `${head.slice(0, -1)},"output_fields":${outputFields}}`,
    records: 1,
  };
}

export interface DemoRegistryUse {
  readonly at: EpochMs;
  readonly action: "push" | "pull";
  readonly image: string;
  readonly actor: string;
  readonly address: string;
  readonly agent: string;
}

/**
 * A notification of a container registry. Source: the CNCF Distribution project's notification
 * format.
 */
export function registry({ at, action, image, actor, address, agent }: DemoRegistryUse): Post {
  const digest = `sha256:${createHash("sha256").update(image).digest("hex")}`;
  const id = createHash("sha256")
    .update(`${at}${action}${image}${actor}`)
    .digest("hex")
    .slice(0, 32);
  return {
    at,
    door: "/v1/registry",
    headers: { "content-type": "application/vnd.docker.distribution.events.v1+json" },
    body: JSON.stringify({
      events: [
        {
          id,
          timestamp: new Date(at).toISOString(),
          action,
          target: {
            mediaType: "application/vnd.oci.image.manifest.v1+json",
            size: 1_573,
            digest,
            repository: image,
            url: `https://images.corp.example/v2/${image}/manifests/${digest}`,
            tag: "latest",
          },
          request: {
            id: `${id}-r`,
            addr: `${address}:51544`,
            host: "images.corp.example",
            method: action === "push" ? "PUT" : "GET",
            useragent: agent,
          },
          actor: { name: actor },
          source: { addr: "images-0:5000", instanceID: "images-0" },
        },
      ],
    }),
    records: 1,
  };
}
