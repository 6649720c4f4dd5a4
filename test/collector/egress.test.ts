/**
 * @module Egress: Squid's forms, Harden-Runner, the generic form, and how a destination was named.
 */

import { describe, expect, it } from "vitest";
import { egressCollector } from "../../src/collector/egress.ts";
import { isGenericEgress } from "../../src/collector/egress-generic.ts";
import { addressOf, targetOf } from "../../src/collector/target.ts";
import type { Event } from "../../src/event/event.ts";
import { codes, one, read, receivedAt } from "./deliver.ts";
import {
  genericEgress,
  hardenConnection,
  hardenLookup,
  squidCombined,
  squidCommon,
  squidFirewall,
  squidJson,
  squidNative,
} from "./samples.ts";

const egress = (body: unknown, path?: string): Event =>
  one(egressCollector, body, path === undefined ? {} : { path });

describe("Squid's native log", () => {
  it("began before it was written, and was denied", () => {
    const event = egress(squidNative);
    expect(event.occurredAt).toBe(1795510804820 - 5003);
    expect(event.logsource).toEqual({ product: "ci", category: "proxy", service: "squid" });
    expect(event.join).toEqual({ address: "10.4.7.21" });
    expect(event.fields).toMatchObject({
      "event.action": "deny",
      "event.outcome": "failure",
      "event.dataset": "egress.squid",
      "source.ip": "10.4.7.21",
      "http.request.method": "CONNECT",
      "http.response.status_code": 403,
      "http.response.bytes": 3467,
      "url.full": "exfil.example:443",
      "url.domain": "exfil.example",
      "destination.domain": "exfil.example",
      "destination.port": 443,
      "network.direction": "egress",
      "network.transport": "tcp",
      "pipewarden.egress.decision": "deny",
      "pipewarden.egress.bare_address": false,
      "pipewarden.egress.result_code": "TCP_DENIED",
      "pipewarden.egress.duration_ms": 5003,
    });
    expect(event.fields).not.toHaveProperty(["destination.ip"]);
    expect(event.fields).not.toHaveProperty(["user.name"]);
  });

  const native = (result: string, url: string, rest = "- HIER_NONE/- -"): Event =>
    egress(`1795510804.820      2 10.4.7.21 ${result} 331 GET ${url} ${rest}`);

  it.each([
    ["TCP_MISS/200", "HIER_DIRECT/203.0.113.9", "allow", "success"],
    ["TCP_MISS/404", "HIER_DIRECT/203.0.113.9", "allow", "failure"],
    ["TCP_MISS/502", "HIER_DIRECT/203.0.113.9", "allow", "failure"],
    ["TCP_MISS/503", "HIER_NONE/-", "error", "failure"],
    ["TCP_MEM_HIT/200", "HIER_NONE/-", "allow", "success"],
    ["TCP_TUNNEL/200", "FIRSTUP_PARENT/10.0.0.9", "allow", "success"],
    ["TCP_DENIED/407", "HIER_NONE/-", "deny", "failure"],
    ["TCP_DENIED_ABORTED/403", "HIER_NONE/-", "deny", "failure"],
    ["NONE_NONE/500", "HIER_NONE/-", "error", "failure"],
    ["NONE/000", "HIER_NONE/-", "error", "failure"],
    ["TAG_NONE/503", "HIER_NONE/-", "error", "failure"],
  ])("%s %s is %s, %s", (result, peer, decision, outcome) => {
    const { fields } = native(result, "http://a.example/", `mara ${peer} text/html`);
    expect(fields["pipewarden.egress.decision"]).toBe(decision);
    expect(fields["event.outcome"]).toBe(outcome);
    expect(fields["user.name"]).toBe("mara");
  });

  it("has the peer's address, and none of a port probe", () => {
    const direct = native("TCP_MISS/200", "http://a.example/x?", "- HIER_DIRECT/203.0.113.9 -");
    expect(direct.fields).toMatchObject({
      "destination.ip": "203.0.113.9",
      "destination.port": 80,
      "url.path": "/x",
    });
    const probe = native("NONE_NONE/000", "error:transaction-end-before-headers").fields;
    expect(probe["url.full"]).toBe("error:transaction-end-before-headers");
    for (const name of [
      "destination.domain",
      "http.response.status_code",
      "pipewarden.egress.bare_address",
    ]) {
      expect(probe).not.toHaveProperty([name]);
    }
  });

  it("does not join a client on loopback", () => {
    expect(egress(squidNative.replace("10.4.7.21", "127.0.0.1")).join).toEqual({});
  });
});

describe("Squid's other text forms", () => {
  it("reads the firewall's form, its escaped quotes included", () => {
    const event = egress(squidFirewall);
    expect(event.occurredAt).toBe(1795510804820);
    expect(event.fields).toMatchObject({
      "pipewarden.egress.decision": "allow",
      "source.port": 42054,
      "destination.ip": "203.0.113.9",
      "destination.port": 443,
      "destination.domain": "api.example",
      "user_agent.original": 'curl/8 "x"',
      "pipewarden.egress.hierarchy": "HIER_DIRECT",
    });
  });

  it("has no destination address where there was no connection", () => {
    const denied = squidFirewall
      .replace("203.0.113.9:443", "-:-")
      .replace("TCP_TUNNEL:HIER_DIRECT", "TCP_DENIED:HIER_NONE");
    const { fields } = egress(denied);
    expect(fields["pipewarden.egress.decision"]).toBe("deny");
    expect(fields).not.toHaveProperty(["destination.ip"]);
    expect(fields["destination.port"]).toBe(443);
  });

  it("reads common", () => {
    const event = egress(squidCommon);
    expect(event.occurredAt).toBe(Date.parse("2026-11-24T09:00:04Z"));
    expect(event.fields).toMatchObject({
      "user.name": "mara",
      "url.path": "/a",
      "url.query": "b",
      "destination.ip": "192.0.2.8",
      "pipewarden.egress.bare_address": true,
    });
  });

  it("reads combined, whose user agent cannot forge the verdict", () => {
    const event = egress(squidCombined);
    expect(event.occurredAt).toBe(Date.parse("2026-11-24T09:00:04Z"));
    expect(event.fields).toMatchObject({
      "pipewarden.egress.decision": "deny",
      "pipewarden.egress.result_code": "TCP_DENIED",
      "http.request.method": "POST",
      "pipewarden.egress.unescaped_quotes": true,
    });
    const plain = squidCombined.replace('"e"vil" TCP_MISS:HIER_DIRECT "x"', '"curl/8"');
    expect(egress(plain).fields).toMatchObject({ "user_agent.original": "curl/8" });
    expect(egress(plain).fields).not.toHaveProperty(["pipewarden.egress.unescaped_quotes"]);
  });

  it("refuses a hostile user agent of a megabyte without a verdict", () => {
    const hostile = squidCombined.replace(/"e"vil.*/, `"${'" "'.repeat(200_000)}`);
    expect(codes(read(egressCollector, hostile))).toEqual(["format-unsupported"]);
  });
});

describe("Squid's JSON", () => {
  it("has the numbers of both directions, and keeps unknown keys", () => {
    const event = egress(squidJson);
    expect(event.occurredAt).toBe(1795510804820 - 1500);
    expect(event.fields).toMatchObject({
      "http.request.bytes": 1204,
      "http.response.bytes": 9331,
      "user_agent.original": "curl/8",
      "destination.ip": "203.0.113.9",
      "pipewarden.egress.result_code": "TCP_TUNNEL",
      "pipewarden.egress.hierarchy": "HIER_DIRECT",
      "pipewarden.egress.host_mismatch": false,
      "pipewarden.egress.site": "eu-1",
    });
    expect(event.fields).not.toHaveProperty(["user.name"]);
  });

  const { ts, duration_ms: _duration, ...rest } = squidJson;
  it.each([
    ["seconds", { ts }],
    ["a schema", { _schema: "audit/v0.23.1", ts }],
    ["ISO", { timestamp: "2026-11-24T09:00:04.820Z", event: "http_access" }],
    ["seconds as text", { ts: "1795510804.820" }],
  ])("reads the generation with %s", (_name, time) => {
    const event = egress({ ...rest, ...time, decision: "TCP_TUNNEL" });
    expect(event.occurredAt).toBe(1795510804820);
    expect(event.fields["pipewarden.egress.decision"]).toBe("allow");
  });

  it.each([
    ["dest with no connection", { dest: "-:-" }, undefined, 443],
    [
      "dest_ip and dest_port as text",
      { dest: undefined, dest_ip: "203.0.113.9", dest_port: "8443" },
      "203.0.113.9",
      8443,
    ],
    ["dest_ip of a denial", { dest: undefined, dest_ip: "-", dest_port: "-" }, undefined, 443],
    ["an IPv6 destination", { dest: "2001:db8::9:443" }, "2001:db8::9", 443],
    ["a bracketed one", { dest: "[2001:db8::9]:443" }, "2001:db8::9", 443],
  ])("reads %s", (_name, more, ip, port) => {
    const { fields } = egress({ ...squidJson, ...more });
    expect(fields["destination.port"]).toBe(port);
    expect(fields["destination.ip"]).toBe(ip);
  });

  it("tells another Host header than the URL's", () => {
    const hidden = { ...squidJson, url: "http://front.example/", host: "hidden.example" };
    const { fields } = egress(hidden);
    expect(fields["pipewarden.egress.host_mismatch"]).toBe(true);
    expect(fields["destination.domain"]).toBe("front.example");
  });

  it("lets no key of the record pass for what is derived", () => {
    const forged = { ...squidJson, bare_address: true, hierarchy: "x", result_code: "y" };
    const { fields } = egress(forged);
    expect(fields).toMatchObject({
      "pipewarden.egress.bare_address": false,
      "pipewarden.egress.result_code": "TCP_TUNNEL",
    });
    const unnamed = egress({ dest_ip: "203.0.113.80", pod: "p", bare_address: true });
    expect(unnamed.fields).not.toHaveProperty(["pipewarden.egress.bare_address"]);
  });
});

describe("Harden-Runner", () => {
  const door = "github/acme/parcel/actions/jobs/4f2c/networkconnection";

  it("has the connection, the process and its parents", () => {
    const event = egress(hardenConnection, door);
    expect(event.logsource).toEqual({
      product: "ci",
      category: "network_connection",
      service: "harden-runner",
    });
    expect(event.occurredAt).toBe(Date.parse("2026-11-24T09:00:04.123Z"));
    expect(event.join).toEqual({ repository: "acme/parcel" });
    expect(event.fields).toMatchObject({
      "event.dataset": "egress.harden-runner",
      "destination.ip": "203.0.113.9",
      "destination.port": 443,
      "destination.domain": "api.example",
      "process.name": "curl",
      "process.hash.sha256": "aa",
      "process.parent.name": "bash",
      "pipewarden.process.ancestors": ["node"],
      "pipewarden.process.ancestor_hashes": ["cc"],
      "rule.name": "default",
      "pipewarden.egress.decision": "allow",
      "pipewarden.egress.bare_address": false,
      "pipewarden.egress.correlation_id": "4f2c",
      "pipewarden.time_ns": "1795510804123456000",
    });
  });

  it.each([
    [
      "github/acme/parcel/actions/runs/77/jobs/4f2c/networkconnection",
      { repository: "acme/parcel", runId: "77" },
    ],
    [
      "github/acme/parcel/actions/runs/77/attempts/2/jobs/4f2c/networkconnection",
      { repository: "acme/parcel", runId: "77", runAttempt: 2 },
    ],
    ["v1/github/acme/parcel/actions/jobs/4f2c/networkconnection", { repository: "acme/parcel" }],
    ["github/acme/parcel/actions/runs/x/networkconnection", { repository: "acme/parcel" }],
    ["github/acme", {}],
    ["", {}],
  ])("joins by the path %j", (path, join) => {
    expect(egress(hardenConnection, path).join).toEqual(join);
  });

  it("joins by repo and run_id in the record when the path is lost", () => {
    const event = egress({ ...hardenConnection, repo: "acme/parcel", run_id: "77" });
    expect(event.join).toEqual({ repository: "acme/parcel", runId: "77" });
  });

  it("was dropped", () => {
    const { fields } = egress({ ...hardenConnection, status: "Dropped" }, door);
    expect(fields["event.action"]).toBe("deny");
  });

  it("was called by address when the agent saw no name", () => {
    const { fields } = egress({ ...hardenConnection, domainName: "" }, door);
    expect(fields["pipewarden.egress.bare_address"]).toBe(true);
    expect(fields).not.toHaveProperty(["destination.domain"]);
  });

  it.each([[undefined], [door.replace("networkconnection", "dns")]])(
    "is a lookup at %s",
    (path) => {
      const event = egress(hardenLookup, path);
      expect(event.logsource.category).toBe("dns");
      expect(event.fields).toMatchObject({
        "dns.question.name": "api.example",
        "dns.resolved_ip": ["203.0.113.9"],
        "destination.domain": "api.example",
      });
      expect(event.fields).not.toHaveProperty(["destination.ip"]);
    },
  );

  it("is one event when sent three times, another in another run", () => {
    const runs = ["77", "77", "78"].map(
      (run) => egress(hardenConnection, door.replace("jobs", `runs/${run}/jobs`)).id,
    );
    expect(runs[0]).toBe(runs[1]);
    expect(runs[0]).not.toBe(runs[2]);
  });
});

describe("the generic form", () => {
  it("has what it documents", () => {
    const event = egress(genericEgress);
    expect(event.logsource).toEqual({ product: "ci", category: "proxy", service: "generic" });
    expect(event.join).toEqual({ runnerName: "linux-x64-runner-8fk2p" });
    expect(event.fields).toMatchObject({
      "http.request.method": "POST",
      "http.request.bytes": 48211,
      "http.response.bytes": 12,
      "destination.ip": "203.0.113.80",
      "pipewarden.egress.bare_address": true,
      "process.name": "curl",
      "pipewarden.egress.rack.row": 3,
    });
  });

  it.each([
    ["deny", "deny"],
    ["Blocked", "deny"],
    ["dropped", "deny"],
    ["error", "error"],
    ["allowed", "allow"],
    [undefined, "allow"],
  ])("decision %s is %s", (decision, expected) => {
    const { fields } = egress({ ...genericEgress, decision });
    expect(fields["pipewarden.egress.decision"]).toBe(expected);
  });

  it("does not know how a destination was named when only its address is told", () => {
    const event = egress({ dest_ip: "203.0.113.80", dest_port: 53, protocol: "UDP", pod: "p" });
    expect(event.logsource.category).toBe("network_connection");
    expect(event.fields).not.toHaveProperty(["pipewarden.egress.bare_address"]);
    expect(event.fields).toMatchObject({ "network.transport": "udp", "destination.port": 53 });
    expect(event).toMatchObject({
      join: { pod: "p" },
      timeSource: "receipt",
      occurredAt: receivedAt,
    });
  });

  it("takes Bullfrog's names", () => {
    const event = egress({
      timestamp: 1795510804820,
      decision: "blocked",
      protocol: "tcp",
      dstIP: "203.0.113.80",
      dstPort: 443,
      domain: "exfil.example",
      processName: "node",
      commandLine: "node x.js",
    });
    expect(event.fields).toMatchObject({
      "pipewarden.egress.decision": "deny",
      "destination.domain": "exfil.example",
      "destination.port": 443,
      "process.name": "node",
      "process.command_line": "node x.js",
    });
  });

  it.each([
    ["a request", genericEgress, true],
    [
      "a network sensor's alert",
      {
        timestamp: "2026-11-24T09:00:00Z",
        flow_id: 1,
        event_type: "alert",
        dest_ip: "192.0.2.1",
        client: "10.0.0.1",
      },
      false,
    ],
    ["a destination alone", { time: 1795510804, dest_ip: "192.0.2.1" }, false],
    ["no time", { host: "a", runner: "r" }, false],
  ])("is recognised in files: %s", (_name, record, expected) => {
    expect(isGenericEgress(record)).toBe(expected);
  });
});

describe("what is not egress", () => {
  it.each([
    [
      "an agent's configuration",
      { repo: "a/b", run_id: "1", egress_policy: "block" },
      "field-missing",
    ],
    ["a number in a list", [4], "shape-unexpected"],
    ["another line", "hello world", "format-unsupported"],
    ["a native line cut off", squidNative.slice(0, 60), "format-unsupported"],
    ["broken JSON", '{"ts":1', "json-invalid"],
  ])("%s is rejected", (_name, body, code) => {
    expect(codes(read(egressCollector, body))).toEqual([code]);
  });
});

describe("destinations", () => {
  it.each([
    ["10.0.0.1", "10.0.0.1"],
    ["2130706433", "127.0.0.1"],
    ["0x7f000001", "127.0.0.1"],
    ["0x7f.1", "127.0.0.1"],
    ["0177.0.0.1", "127.0.0.1"],
    ["192.168.257", "192.168.1.1"],
    ["::1", "::1"],
    ["fe80::1%eth0", "fe80::1"],
    ["::ffff:192.0.2.1", "::ffff:192.0.2.1"],
    ["256.0.0.1", undefined],
    ["1.2.3.4.5", undefined],
    ["4294967296", undefined],
    ["1.2.65536", undefined],
    ["0x", undefined],
    ["089", undefined],
    ["1e100.example", undefined],
    ["10.0.0.1.example", undefined],
    ["deadbeef", undefined],
    ["1..2", undefined],
    ["", undefined],
  ])("address of %s is %s", (host, address) => {
    expect(addressOf(host)).toBe(address);
  });

  it.each([
    [
      "http://user:pw@203.0.113.9:8080/a/b.tgz?x=1#f",
      {
        host: "203.0.113.9",
        port: 8080,
        scheme: "http",
        path: "/a/b.tgz",
        query: "x=1",
        address: "203.0.113.9",
      },
    ],
    ["https://a@b@Evil.Example./", { host: "evil.example", port: 443, scheme: "https", path: "/" }],
    [
      "http://[2001:db8::1]:81/x",
      { host: "2001:db8::1", port: 81, scheme: "http", path: "/x", address: "2001:db8::1" },
    ],
    ["exfil.example:443", { host: "exfil.example", port: 443 }],
    ["2001:db8::1", { host: "2001:db8::1", address: "2001:db8::1" }],
    ["a.example", { host: "a.example" }],
    ["a.example:99999", { host: "a.example" }],
    ["-", {}],
    ["/only/path", {}],
    ["", {}],
  ])("target of %s", (text, target) => {
    expect(targetOf(text)).toEqual(target);
  });
});
