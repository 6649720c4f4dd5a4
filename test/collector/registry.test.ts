/** @module Registry notifications. */

import { describe, expect, it } from "vitest";
import { registryCollector } from "../../src/collector/registry.ts";
import { codes, read } from "./deliver.ts";
import { registryEnvelope } from "./samples.ts";

describe("an envelope", () => {
  const { records, events } = read(registryCollector, registryEnvelope);

  it("is as many records as entries, each with its id", () => {
    expect(records).toBe(2);
    expect(events.map(({ id }) => id)).toEqual(
      registryEnvelope.events.map(({ id }) => `registry:${id}`),
    );
    expect(events.map(({ raw }) => JSON.parse(raw))).toEqual(registryEnvelope.events);
  });

  it("tells who pushed what from where", () => {
    expect(events[0]).toMatchObject({
      occurredAt: Date.parse("2026-11-24T09:07:00.123Z"),
      logsource: { product: "registry", service: "notification" },
      join: { address: "10.4.7.21" },
    });
    expect(events[0]?.fields).toMatchObject({
      "event.action": "push",
      "event.dataset": "registry.notification",
      "user.name": "ci-push",
      "source.ip": "10.4.7.21",
      "source.port": 50112,
      "destination.domain": "registry.example",
      "destination.port": 5000,
      "http.request.method": "PUT",
      "user_agent.original": "docker/27",
      "container.image.name": "acme/parcel",
      "container.image.tag": ["1.4"],
      "container.image.hash.all": ["sha256:33"],
      "artifact.hash": ["sha256:33"],
      "url.path": "/v2/acme/parcel/manifests/sha256:33",
      "pipewarden.registry.size": 708,
      "pipewarden.time_ns": "1795511220123456789",
    });
  });

  it("tells a mount, from an IPv6 client", () => {
    expect(events[1]?.fields).toMatchObject({
      "event.action": "mount",
      "source.ip": "2001:db8::7",
      "pipewarden.registry.from_repository": "acme/base",
    });
    expect(events[1]?.fields).not.toHaveProperty(["user.name"]);
  });

  it("may come on lines, or one after another", () => {
    const text = JSON.stringify(registryEnvelope);
    expect(read(registryCollector, `${text}\n${text}\n`).records).toBe(4);
    expect(read(registryCollector, text + text).events).toHaveLength(4);
  });

  it("without id has a hash for one", () => {
    const entry = { ...registryEnvelope.events[0], id: undefined };
    const id = (value: unknown): unknown =>
      read(registryCollector, { events: [value] }).events[0]?.id;
    expect(id(entry)).toMatch(/^registry:[0-9a-f]{32}$/);
    expect(id(entry)).toBe(id({ ...entry }));
    expect(id(entry)).not.toBe(id({ ...entry, action: "pull" }));
  });

  it("keeps its good entries beside bad ones", () => {
    const intake = read(registryCollector, {
      events: [1, registryEnvelope.events[0], { id: "x" }],
    });
    expect(intake).toMatchObject({ records: 3 });
    expect(intake.events).toHaveLength(1);
    expect(codes(intake)).toEqual(["shape-unexpected", "field-missing"]);
    expect(intake.rejections[1]?.problem.place).toBe("door/record 1/events 3");
  });

  it("may be empty", () => {
    expect(read(registryCollector, { events: [] })).toMatchObject({ records: 1, skipped: 1 });
  });
});

describe("what is not an envelope", () => {
  it.each([
    ["another object", { a: 1 }, "field-missing"],
    ["events that are no list", { events: { a: 1 } }, "field-missing"],
    ["a number in a list", [1], "shape-unexpected"],
    ["text", "hello", "json-invalid"],
  ])("%s is rejected", (_name, body, code) => {
    expect(codes(read(registryCollector, body))).toEqual([code]);
  });
});
