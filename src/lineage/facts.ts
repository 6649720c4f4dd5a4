/** @module What a joined event tells about caches, artifacts and tokens. Pure. */

import { type Static, Type } from "typebox";
import { type Event, textOf } from "../event/event.ts";
import { isCache } from "./cache-hosts.ts";
import type { LineageFact, LineageKind } from "./lineage-fact.ts";

/** Settings of the lineage, under `lineage:`. */
export const LineageConfig = Type.Object(
  {
    keepDays: Type.Integer({
      default: 31,
      minimum: 1,
      maximum: 366,
      description: "How long a cache entry, artifact or token is remembered after its last use.",
    }),
    thingsMax: Type.Integer({
      default: 200_000,
      minimum: 100,
      description: "The most cache entries, artifacts and tokens kept.",
    }),
    runsMax: Type.Integer({ default: 50_000, minimum: 100, description: "The most runs kept." }),
  },
  {
    additionalProperties: false,
    description: "How runs are tied together by what they save and restore.",
  },
);
export type LineageConfig = Static<typeof LineageConfig>;

export interface LineageSettings {
  /**
   * The operator's list `cache_hosts`: host names, `host:port`, or URL prefixes. As in the rules
   * that use the list, `*` stands for any text and `?` for one character, and case does not count.
   */
  readonly cacheHosts: readonly string[];
}

const urlLengthMax = 2_048;
const saveMethods = new Set(["PUT", "POST", "PATCH"]);

/**
 * The facts in an event that has a build; [] for all others. Only what succeeded counts: a refused
 * upload saved nothing, and a tunnel hides what went through it.
 */
export function lineageFacts(event: Event, settings: LineageSettings): readonly LineageFact[] {
  if (event.build === undefined) return [];
  if (event.feed === "egress") return cacheFacts(event, settings);
  return event.feed === "registry" ? registryFacts(event) : [];
}

function cacheFacts(event: Event, settings: LineageSettings): readonly LineageFact[] {
  const { fields } = event;
  const method = textOf(fields, "http.request.method")?.toUpperCase();
  const status = Number(textOf(fields, "http.response.status_code"));
  const decision = textOf(fields, "pipewarden.egress.decision");
  if (method === undefined || !(status >= 200 && status < 300)) return [];
  if (decision !== undefined && decision !== "allow") return [];
  const url = cacheUrl(textOf(fields, "url.full"));
  if (url === undefined || !isCache(url, settings.cacheHosts)) return [];
  const thing = `cache:${url.href}`;
  if (saveMethods.has(method)) return factOf(event, "cache-saved", thing);
  return method === "GET" ? factOf(event, "cache-restored", thing) : [];
}

/**
 * The address of a cache entry: without query (signatures, block numbers), fragment, credentials
 * and default port.
 */
function cacheUrl(text: string | undefined): URL | undefined {
  if (text === undefined || text.length > urlLengthMax || !/^https?:\/\//i.test(text)) {
    return undefined;
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.pathname === "/") return undefined;
  url.search = "";
  url.hash = "";
  url.username = "";
  url.password = "";
  return url;
}

function registryFacts(event: Event): readonly LineageFact[] {
  const { fields } = event;
  const digest = textOf(fields, "artifact.hash");
  const token = textOf(fields, "pipewarden.registry.token");
  const pushed = textOf(fields, "event.action") === "push";
  const failed = textOf(fields, "event.outcome") === "failure";
  if (failed) return [];
  return [
    ...(pushed && digest !== undefined && digest !== ""
      ? factOf(event, "artifact-published", `artifact:${digest.toLowerCase()}`)
      : []),
    ...(token === undefined ? [] : factOf(event, "token-used", `token:${token}`)),
  ];
}

function factOf(event: Event, kind: LineageKind, thing: string): readonly LineageFact[] {
  const { build, id, occurredAt } = event;
  return build === undefined ? [] : [{ eventId: id, kind, thing, run: build, occurredAt }];
}
