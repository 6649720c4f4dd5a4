import { describe, expect, it } from "vitest";
import type { Event, Feed, Fields } from "../../src/event/event.ts";
import { lineageFacts } from "../../src/lineage/lineage.ts";
import { build, start } from "./fixture.ts";

const settings = {
  cacheHosts: [
    "cache.internal.example",
    "ported.example:8443",
    "https://blobs.example/actions-cache",
  ],
};

function event(feed: Feed, fields: Fields): Event {
  return {
    id: `${feed}:1`,
    feed,
    logsource: {},
    occurredAt: start,
    receivedAt: start,
    timeSource: "feed",
    fields,
    join: {},
    raw: "",
    build: build("7"),
  };
}

function things(feed: Feed, fields: Fields): string[] {
  return lineageFacts(event(feed, fields), settings).map((fact) => `${fact.kind} ${fact.thing}`);
}

function request(method: string, url: string, status: number | null, more: Fields = {}): string[] {
  return things("egress", {
    "http.request.method": method,
    "url.full": url,
    "http.response.status_code": status,
    ...more,
  });
}

describe("cache facts", () => {
  const url = "https://cache.internal.example/v1/linux-deps";

  it("come of uploads and downloads that succeeded", () => {
    const cases: [string, number | null, string | undefined][] = [
      ["PUT", 200, "cache-saved"],
      ["PUT", 201, "cache-saved"],
      ["POST", 204, "cache-saved"],
      ["patch", 204, "cache-saved"],
      ["GET", 200, "cache-restored"],
      ["GET", 206, "cache-restored"],
      ["HEAD", 200, undefined],
      ["DELETE", 204, undefined],
      ["GET", 304, undefined],
      ["GET", 404, undefined],
      ["GET", 302, undefined],
      ["PUT", 403, undefined],
      ["PUT", 500, undefined],
      ["GET", null, undefined],
      ["CONNECT", 200, undefined],
    ];
    for (const [method, status, kind] of cases) {
      const want = kind === undefined ? [] : [`${kind} cache:${url}`];
      expect([method, status, request(method, url, status)]).toEqual([method, status, want]);
    }
  });

  it("need an allowed request, a build and the egress feed", () => {
    expect(request("PUT", url, 200, { "pipewarden.egress.decision": "deny" })).toEqual([]);
    expect(request("PUT", url, 200, { "pipewarden.egress.decision": "allow" })).toHaveLength(1);
    const fields = {
      "http.request.method": "PUT",
      "url.full": url,
      "http.response.status_code": 200,
    };
    const { build: _build, ...unjoined } = event("egress", fields);
    expect(lineageFacts(unjoined, settings)).toEqual([]);
    expect(things("falco", fields)).toEqual([]);
  });

  it("name one entry one way", () => {
    const spellings = [
      "HTTPS://Cache.Internal.Example/v1/linux-deps",
      "https://cache.internal.example:443/v1/linux-deps",
      "https://cache.internal.example/v1/linux-deps?sig=abc&comp=block",
      "https://cache.internal.example/v1/linux-deps?",
      "https://cache.internal.example/v1/linux-deps#part",
      "https://user:pass@cache.internal.example/v1/linux-deps",
      "https://cache.internal.example/v1/x/../linux-deps",
    ];
    for (const spelling of spellings) {
      expect(request("GET", spelling, 200)).toEqual([`cache-restored cache:${url}`]);
    }
    expect(request("GET", "https://cache.internal.example:8443/a", 200)).toEqual([
      "cache-restored cache:https://cache.internal.example:8443/a",
    ]);
    expect(request("GET", "https://cache.internal.example/V1/linux-deps", 200)).not.toEqual(
      request("GET", url, 200),
    );
  });

  it("keep to the configured hosts and prefixes", () => {
    const cases: [string, boolean][] = [
      ["https://ported.example:8443/a", true],
      ["https://ported.example/a", false],
      ["https://blobs.example/actions-cache/a", true],
      ["https://blobs.example/actions-cache", true],
      ["https://blobs.example/actions-cache2/a", false],
      ["https://blobs.example/other", false],
      ["http://blobs.example/actions-cache/a", false],
      ["https://evil-cache.internal.example/a", false],
      ["https://cache.internal.example.evil.example/a", false],
      ["https://cache.internal.example@evil.example/a", false],
      ["https://cache.internal.example/", false],
      ["cache.internal.example:443", false],
      ["ftp://cache.internal.example/a", false],
      ["https://", false],
      [`${url}${"x".repeat(3_000)}`, false],
    ];
    for (const [from, taken] of cases) {
      expect([from, request("GET", from, 200).length === 1]).toEqual([from, taken]);
    }
  });
});

describe("the list of cache hosts", () => {
  const matches = (entry: string, url: string): boolean => {
    const fields = {
      "http.request.method": "GET",
      "url.full": url,
      "http.response.status_code": 200,
    };
    return lineageFacts(event("egress", fields), { cacheHosts: [entry] }).length === 1;
  };

  it("may hold wildcards, as in the rules", () => {
    const cases: [string, string, boolean][] = [
      ["*.cache.corp.example", "https://eu.cache.corp.example/a", true],
      ["*.CACHE.corp.example", "https://A.B.cache.corp.example:8443/a", true],
      ["*.cache.corp.example", "https://cache.corp.example/a", false],
      ["*.cache.corp.example", "https://eu.cache.corp.example.evil.example/a", false],
      ["*.cache.corp.example", "https://evil.example/eu.cache.corp.example", false],
      ["cache-?.corp.example", "https://cache-1.corp.example/a", true],
      ["cache-?.corp.example", "https://cache-12.corp.example/a", false],
      ["cache-?.corp.example", "https://cache-.corp.example/a", false],
      ["cache*.corp.*", "https://cache-12.eu.corp.example/a", true],
      ["*a*b*", "https://xaxbx.example/a", true],
      ["*a*b*", "https://xbxcx.invalid/a", false],
      ["cache.corp.example:*", "https://cache.corp.example:8443/a", true],
      ["cache.corp.example:*", "https://cache.corp.example/a", false],
      ["cache.corpXexample", "https://cache.corp.example/a", false],
      ["cache.corp.example", "https://cacheXcorp.example/a", false],
      ["\\*.corp.example", "https://a.corp.example/a", false],
      ["https://*.corp.example/v1", "https://eu.corp.example/v1/a", true],
      ["https://*.corp.example/v1", "https://eu.corp.example/v2/a", false],
      ["https://*.corp.example/v1", "http://eu.corp.example/v1/a", false],
      ["https://eu.corp.example:443", "https://eu.corp.example/v1/a", true],
      ["", "https://eu.corp.example/v1/a", false],
    ];
    for (const [entry, url, want] of cases) {
      expect([entry, url, matches(entry, url)]).toEqual([entry, url, want]);
    }
  });
});

describe("registry facts", () => {
  const push: Fields = {
    "event.action": "push",
    "artifact.hash": "sha256:AB12",
    "user.name": "robot",
    "destination.domain": "Registry.Example",
    "pipewarden.registry.token": "registry.example/robot",
  };

  it("come of a push: an artifact and the use of a token", () => {
    expect(things("registry", push)).toEqual([
      "artifact-published artifact:sha256:ab12",
      "token-used token:registry.example/robot",
    ]);
  });

  it("come of a pull: the use only", () => {
    const want = ["token-used token:registry.example/robot"];
    expect(things("registry", { ...push, "event.action": "pull" })).toEqual(want);
  });

  it("do without what is absent", () => {
    const { "pipewarden.registry.token": _token, ...unnamed } = push;
    expect(things("registry", { ...unnamed, "artifact.hash": null })).toEqual([]);
    expect(things("registry", unnamed)).toHaveLength(1);
    expect(things("registry", { ...push, "artifact.hash": null })).toHaveLength(1);
    expect(things("egress", push)).toEqual([]);
  });
});
