/** @module Falco alerts: every form Falco and falcosidekick have written. */

import { describe, expect, it } from "vitest";
import { falcoCollector } from "../../src/collector/falco.ts";
import { codes, one, read, receivedAt } from "./deliver.ts";
import { falcoAlert, wire } from "./samples.ts";

const alert = (more: Record<string, unknown> = {}, output: Record<string, unknown> = {}): string =>
  wire({ ...falcoAlert, ...more, output_fields: { ...falcoAlert.output_fields, ...output } });

describe("a Falco alert", () => {
  const event = one(falcoCollector, alert());

  it("has its time, id, logsource and join keys", () => {
    expect(event.occurredAt).toBe(Date.parse("2026-11-24T09:00:01.123Z"));
    expect(event.timeSource).toBe("feed");
    expect(event.receivedAt).toBe(receivedAt);
    expect(event.id).toMatch(/^falco:[0-9a-f]{32}$/);
    expect(event.logsource).toEqual({
      product: "linux",
      category: "process_creation",
      service: "falco",
    });
    expect(event.join).toEqual({
      pod: "linux-x64-runner-8fk2p",
      host: "node-7",
      address: "10.4.7.21",
    });
    expect(event.raw).toBe(alert());
  });

  it.each([
    ["event.action", "Terminal shell in container"],
    ["event.dataset", "falco.alerts"],
    ["event.outcome", "success"],
    ["rule.name", "Terminal shell in container"],
    ["log.level", "warning"],
    ["host.hostname", "node-7"],
    ["tags", ["T1059.004", "container", "mitre_execution"]],
    ["threat.technique.id", ["T1059.004"]],
    ["process.name", "bash"],
    ["process.executable", "/usr/bin/bash"],
    ["process.command_line", "bash -c env"],
    ["process.pid", 4211],
    ["process.parent.name", "node"],
    ["pipewarden.process.ancestors", ["npm", "Runner.Worker"]],
    ["user.name", "root"],
    ["user.id", "0"],
    ["container.id", "3f2a9c81d0be"],
    ["container.image.name", "registry.example/ci/runner"],
    ["container.image.tag", ["2.330"]],
    ["orchestrator.namespace", "arc-runners"],
    ["orchestrator.resource.name", "linux-x64-runner-8fk2p"],
    ["pipewarden.time_ns", "1795510801123456789"],
    ["pipewarden.falco.evt.time", "1795510801123456789"],
    ["pipewarden.falco.proc.tty", 34816],
    ["pipewarden.falco.proc.name", "bash"],
    ["pipewarden.falco.user.loginuid", -1],
    ["pipewarden.falco.proc.aname[4]", null],
    ["pipewarden.falco.source", "syscall"],
  ])("has %s", (field, value) => {
    expect(event.fields[field]).toEqual(value);
  });

  it("does not take the clock from evt.time", () => {
    const late = one(falcoCollector, alert({}, { "evt.time": 1507591916746609046n }));
    expect(late.occurredAt).toBe(event.occurredAt);
    expect(late.fields["pipewarden.falco.evt.time"]).toBe("1507591916746609046");
  });
});

describe("forms of delivery", () => {
  it.each([
    ["lines", `${alert()}\n${alert({ rule: "b" })}\n`],
    ["a list", `[${alert()},${alert({ rule: "b" })}]`],
    ["objects without line ends", `${alert()}${alert({ rule: "b" })}`],
  ])("reads %s", (_name, body) => {
    const intake = read(falcoCollector, body);
    expect(intake.events.map((event) => event.fields["rule.name"])).toEqual([
      "Terminal shell in container",
      "b",
    ]);
    expect(intake.events.map((event) => event.raw)).toEqual([alert(), alert({ rule: "b" })]);
  });

  it("is the same event by falcosidekick, with another uuid each time", () => {
    const ids = [
      alert(),
      alert({ uuid: "a", source: "syscall" }, { cluster: "eu" }),
      alert({ uuid: "b", tags: ["x"] }),
    ].map((body) => one(falcoCollector, body).id);
    expect(new Set(ids).size).toBe(1);
    expect(one(falcoCollector, alert({ uuid: "a" })).fields["pipewarden.falco.uuid"]).toBe("a");
  });

  it.each([
    ["time", { time: "2026-11-24T09:00:01.123456780Z" }, {}],
    ["rule", { rule: "Other" }, {}],
    ["host", { hostname: "node-8" }, {}],
    ["source", { source: "k8s_audit" }, {}],
    ["output", { output: "x" }, {}],
  ])("is another event with another %s", (_name, more, output) => {
    expect(one(falcoCollector, alert(more, output)).id).not.toBe(one(falcoCollector, alert()).id);
  });

  it("tells alerts without output text apart by their fields", () => {
    const bare = (name: string): string =>
      wire({ ...falcoAlert, output: undefined, output_fields: { "proc.name": name } });
    expect(one(falcoCollector, bare("a")).id).not.toBe(one(falcoCollector, bare("b")).id);
  });

  it("reads alerts of 2021 without source, hostname and tags, with <NA> and null", () => {
    const { source: _s, hostname: _h, tags: _t, ...old } = falcoAlert;
    const output = { "proc.name": "sh", "proc.pname": "<NA>", "user.name": null };
    const event = one(falcoCollector, wire({ ...old, output_fields: output }));
    expect(event.logsource.product).toBe("linux");
    expect(event.join).toEqual({});
    expect(Object.hasOwn(event.fields, "process.parent.name")).toBe(false);
    expect(Object.hasOwn(event.fields, "user.name")).toBe(false);
    expect(Object.hasOwn(event.fields, "tags")).toBe(false);
    expect(event.fields["pipewarden.falco.user.name"]).toBeNull();
  });

  it("reads alerts without output fields", () => {
    const event = one(falcoCollector, wire({ ...falcoAlert, output_fields: undefined }));
    expect(event.fields["rule.name"]).toBe("Terminal shell in container");
    expect(event.logsource).toEqual({ product: "linux", service: "falco" });
  });

  it("reads ancestors whose brackets falcosidekick rewrote", () => {
    const output = { "proc.aname_2": "npm", "proc.aname_4": "init", "proc.aexepath[2]": "/n" };
    const event = one(falcoCollector, wire({ ...falcoAlert, output_fields: output }));
    expect(event.fields["pipewarden.process.ancestors"]).toEqual(["npm", "init"]);
    expect(event.fields["pipewarden.process.ancestor_executables"]).toEqual(["/n"]);
  });

  it("marks texts that falcosidekick cut, and no others", () => {
    const cut = `${"x".repeat(507)}[...]`;
    const fieldsOf = (more: object, output: Record<string, unknown>): unknown =>
      one(falcoCollector, alert({ ...more }, output)).fields["pipewarden.falco.cut_fields"];
    expect(fieldsOf({ uuid: "a" }, { "proc.cmdline": cut })).toEqual(["proc.cmdline"]);
    expect(fieldsOf({ uuid: "a" }, { "proc.cmdline": `${"é".repeat(253)}\ufffd[...]` })).toEqual([
      "proc.cmdline",
    ]);
    expect(fieldsOf({ uuid: "a" }, { "proc.cmdline": "echo [...]" })).toBeUndefined();
    expect(fieldsOf({}, { "proc.cmdline": cut })).toBeUndefined();
  });

  it("pulls a future stamp back and takes receipt for an unreadable one", () => {
    expect(one(falcoCollector, alert({ time: "2031-01-01T00:00:00Z" }))).toMatchObject({
      occurredAt: receivedAt,
      timeSource: "clamped",
    });
    expect(one(falcoCollector, alert({ time: "now" }))).toMatchObject({
      occurredAt: receivedAt,
      timeSource: "receipt",
    });
  });
});

describe("priorities", () => {
  it.each([
    ["Informational", "informational"],
    ["INFO", "informational"],
    ["info", "informational"],
    ["EMERGENCY", "emergency"],
    ["Error", "error"],
    ["Peculiar", "peculiar"],
  ])("%s is %s", (priority, level) => {
    expect(one(falcoCollector, alert({ priority })).fields["log.level"]).toBe(level);
  });
});

describe("logsources", () => {
  const syscall = (output: Record<string, unknown>): unknown =>
    one(falcoCollector, wire({ ...falcoAlert, output_fields: output })).logsource.category;

  it.each([
    ["execve", { "evt.type": "execve" }, "process_creation"],
    ["connect", { "evt.type": "connect" }, "network_connection"],
    ["openat", { "evt.type": "openat", "fd.name": "/etc/shadow" }, "file_event"],
    ["unlinkat", { "evt.type": "unlinkat" }, "file_event"],
    ["write to a file", { "evt.type": "write", "fd.type": "file" }, "file_event"],
    ["write to a socket", { "evt.type": "write", "fd.type": "ipv4" }, "network_connection"],
    ["ptrace", { "evt.type": "ptrace", "proc.cmdline": "gdb" }, undefined],
    ["no call, a socket", { "fd.sip": "192.0.2.1", "proc.cmdline": "x" }, "network_connection"],
    ["no call, a path", { "fd.name": "/x", "proc.cmdline": "x" }, "file_event"],
    ["no call, a command", { "proc.cmdline": "x" }, "process_creation"],
    ["nothing", {}, undefined],
  ])("%s", (_name, output, category) => {
    expect(syscall(output)).toBe(category);
  });

  it.each([
    ["syscalls", { product: "linux", category: "process_creation", service: "falco" }],
    ["k8s_audit", { product: "kubernetes", service: "audit" }],
    ["github", { product: "github", service: "falco" }],
    ["aws_cloudtrail", { product: "aws_cloudtrail", service: "falco" }],
  ])("source %s", (source, logsource) => {
    expect(one(falcoCollector, alert({ source })).logsource).toEqual(logsource);
  });

  it("takes a pod's exec by its target, and not the sensor's host", () => {
    const event = one(
      falcoCollector,
      wire({
        ...falcoAlert,
        source: "k8s_audit",
        output_fields: {
          "ka.target.name": "linux-x64-runner-8fk2p",
          "ka.target.namespace": "arc-runners",
          "ka.target.resource": "pods",
          "ka.uri.param[command]": "sh",
          "ka.user.name": "ops",
          "ka.response.code": "101",
          "ka.sourceips": ["198.51.100.4", "10.0.0.1"],
        },
      }),
    );
    expect(event.join).toEqual({ pod: "linux-x64-runner-8fk2p" });
    expect(event.fields).toMatchObject({
      "user.name": "ops",
      "orchestrator.namespace": "arc-runners",
      "orchestrator.resource.type": "pods",
      "source.ip": "198.51.100.4",
      "http.response.status_code": 101,
      "pipewarden.falco.ka.uri.param[command]": "sh",
    });
  });
});

describe("files and sockets", () => {
  const fieldsOf = (output: Record<string, unknown>): Record<string, unknown> =>
    one(falcoCollector, wire({ ...falcoAlert, output_fields: output })).fields;

  it("maps a file's name, and a path where the call took one", () => {
    expect(fieldsOf({ "fd.name": "/home/r/.npmrc" })["file.path"]).toBe("/home/r/.npmrc");
    expect(fieldsOf({ "fs.path.name": "/etc/hosts" })["file.path"]).toBe("/etc/hosts");
  });

  it("maps a socket's ends, by its fields or by its name", () => {
    expect(
      fieldsOf({
        "fd.cip": "10.4.7.21",
        "fd.cport": 40122,
        "fd.sip": "203.0.113.9",
        "fd.sport": 443,
        "fd.sip.name": "api.example",
        "fd.l4proto": "tcp",
      }),
    ).toMatchObject({
      "source.ip": "10.4.7.21",
      "source.port": 40122,
      "destination.ip": "203.0.113.9",
      "destination.port": 443,
      "destination.domain": "api.example",
      "network.transport": "tcp",
    });
    const named = fieldsOf({ "fd.name": "10.4.7.21:40122->203.0.113.9:443", "fd.type": "ipv4" });
    expect(named).toMatchObject({ "destination.ip": "203.0.113.9", "destination.port": 443 });
    expect(Object.hasOwn(named, "file.path")).toBe(false);
    expect(fieldsOf({ "fd.name": "::1:40122->::1:443" })["destination.ip"]).toBe("::1");
  });

  it("tells failed calls", () => {
    expect(fieldsOf({ "evt.res": "EACCES" })["event.outcome"]).toBe("failure");
  });
});

describe("Falco's own events", () => {
  it.each([
    ["text", { n_drops: "815", n_drops_buffer_total: "815", n_evts: "2270", ebpf_enabled: "1" }],
    ["numbers", { n_drops: 815, n_drops_buffer_total: 815, n_evts: 2270, ebpf_enabled: "1" }],
  ])("count drops as numbers, given as %s", (_name, output) => {
    const rule = "Falco internal: syscall event drop";
    const event = one(falcoCollector, wire({ ...falcoAlert, rule, output_fields: output }));
    expect(event.logsource).toEqual({ product: "falco", service: "internal" });
    expect(event.join).toEqual({ host: "node-7" });
    expect(event.fields).toMatchObject({
      "event.action": rule,
      "pipewarden.falco.drops": 815,
      "pipewarden.falco.n_drops": 815,
      "pipewarden.falco.n_drops_buffer_total": 815,
      "pipewarden.falco.n_evts": 2270,
      "pipewarden.falco.ebpf_enabled": "1",
    });
  });

  it("are snapshots of metrics, with or without drop counters", () => {
    const snapshot = (output: Record<string, unknown>): Record<string, unknown> =>
      one(
        falcoCollector,
        wire({
          ...falcoAlert,
          rule: "Falco internal: metrics snapshot",
          source: "internal",
          tags: undefined,
          output_fields: { "falco.start_ts": 1795510000881742916n, ...output },
        }),
      ).fields;
    expect(snapshot({ "scap.n_drops": 3, "scap.n_drops_perc": 0.5 })).toMatchObject({
      "pipewarden.falco.drops": 3,
      "pipewarden.falco.scap.n_drops_perc": 0.5,
      "pipewarden.falco.falco.start_ts": "1795510000881742916",
    });
    expect(snapshot({})).not.toHaveProperty(["pipewarden.falco.drops"]);
  });

  it("are falcosidekick's test, whatever its source", () => {
    for (const source of ["syscalls", "internal"]) {
      const event = one(falcoCollector, alert({ rule: "Test rule", source }));
      expect(event.logsource).toEqual({ product: "falco", service: "internal" });
    }
  });
});

describe("what is not an alert", () => {
  it.each([
    ["a start-up line", "Tue Nov 24 09:00:00 2026: Falco version: 0.44.0 (x86_64)\n"],
    ["the report of a rule load", '{"falco_load_results":[{"successful":true}]}'],
    ["a log line as JSON", '{"level":"info","msg":"Loading rules","time":"x"}'],
  ])("skips %s", (_name, body) => {
    expect(read(falcoCollector, body)).toMatchObject({ records: 1, skipped: 1, rejections: [] });
  });

  it.each([
    [
      "an alert as text",
      "09:00:01.123456789: Warning Shell opened (user=root)",
      "format-unsupported",
    ],
    ["the same with ISO time", "2026-11-24T09:00:01.1+0000: Notice Shell", "format-unsupported"],
    ["other text", "hello", "json-invalid"],
    ["an alert without rule", '{"priority":"Notice","output":"x"}', "field-missing"],
    ["a number in a list", "[7]", "shape-unexpected"],
    ["an alert cut off", alert().slice(0, 200), "json-invalid"],
    ["a rule that is no text", '{"rule":{"a":1}}', "field-missing"],
  ])("rejects %s", (_name, body, code) => {
    const intake = read(falcoCollector, body);
    expect(codes(intake)).toEqual([code]);
    expect(intake.rejections[0]?.problem.place).toBe("door/record 1");
  });

  it("goes on after a broken record", () => {
    const intake = read(falcoCollector, `${alert().slice(0, 200)}\n\n${alert()}\nTue: x\n`);
    expect(codes(intake)).toEqual(["json-invalid", "json-invalid"]);
    expect(intake).toMatchObject({ records: 4, skipped: 1 });
    expect(intake.events).toHaveLength(1);
  });

  it("keeps hostile keys where they do no harm", () => {
    const event = one(
      falcoCollector,
      '{"rule":"r","priority":"Notice","__proto__":{"a":1},"output_fields":{"__proto__":"x","constructor":{"prototype":1}}}',
    );
    expect(event.fields["pipewarden.falco.__proto__"]).toBe("x");
    expect(event.fields["pipewarden.falco.constructor.prototype"]).toBe(1);
    expect(Object.getPrototypeOf(event.fields)).toBe(Object.prototype);
  });
});
