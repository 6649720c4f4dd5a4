/** @module Senders whose clocks are wrong, of every feed: what becomes of the stamp. */

import { describe, expect, it } from "vitest";
import { dayMs, hourMs, minuteMs, secondMs } from "../../src/clock.ts";
import { collectors } from "../../src/collector/collectors.ts";
import { type Event, type Feed, feeds } from "../../src/event/event.ts";
import { delivery, receivedAt } from "./deliver.ts";

/** A record of the feed that bears this stamp, and the headers it comes with. */
const recordOf: Readonly<Record<Feed, (stamp: string) => unknown>> = {
  falco: (time) => ({
    ...{ time, rule: "Shell opened", priority: "Notice", hostname: "node-7", source: "syscall" },
    ...{ output: `${time}: Notice Shell opened`, output_fields: { "proc.name": "sh" } },
  }),
  "github-webhook": (started_at) => ({
    action: "in_progress",
    workflow_job: { id: 1, run_id: 2, run_attempt: 1, name: "test", started_at },
    repository: { id: 3, full_name: "acme/parcel", owner: { login: "acme" } },
    sender: { login: "mara" },
  }),
  "github-audit": (created_at) => ({ action: "org.add_member", actor: "mara", created_at }),
  egress: (timestamp) => ({
    ...{ timestamp, event: "http_access", client: "10.20.0.17", method: "GET" },
    ...{ host: "files.example", url: "http://files.example/a", status: 200, decision: "TCP_MISS" },
  }),
  trivy: (CreatedAt) => ({
    ...{ SchemaVersion: 2, CreatedAt, ArtifactName: "registry.example/app:1", Results: [] },
    ArtifactType: "container_image",
  }),
  registry: (timestamp) => ({
    events: [
      {
        ...{ id: "n-1", timestamp, action: "pull" },
        target: { repository: "acme/app", url: "https://registry.example/v2/acme/app" },
        request: { addr: "198.51.100.9:4711", host: "registry.example", method: "GET" },
        actor: { name: "bot" },
      },
    ],
  }),
};

function eventOf(feed: Feed, offsetMs: number, recorded = false): Event {
  const stamp = new Date(receivedAt + offsetMs).toISOString();
  const headers = feed === "github-webhook" ? { "x-github-event": "workflow_job" } : {};
  const body = Buffer.from(JSON.stringify(recordOf[feed](stamp)));
  const intake = collectors.get(feed)?.read(body, delivery({ headers, recorded }));
  expect(intake?.rejections).toEqual([]);
  expect(intake?.events).toHaveLength(1);
  return intake!.events[0]!;
}

function flagsOf({ fields }: Event): readonly unknown[] {
  return [fields["pipewarden.clock.skew"], fields["pipewarden.clock.skew_seconds"]];
}

const none = [undefined, undefined];
/** How far back each feed's stamps lie without being remarkable. */
const pastMs: Readonly<Record<Feed, number>> = {
  falco: hourMs,
  "github-webhook": 3 * dayMs,
  "github-audit": 7 * dayMs,
  egress: dayMs,
  trivy: 7 * dayMs,
  registry: dayMs,
};

describe.each(feeds)("the clock of %s", (feed) => {
  it.each([
    ["is right", 0],
    ["is a little behind", -minuteMs],
    ["is as far back as is usual", -pastMs[feed]],
    ["is as far ahead as is believed", minuteMs],
  ])("%s: the stamp stands", (_, offsetMs) => {
    const event = eventOf(feed, offsetMs);
    expect(event).toMatchObject({ occurredAt: receivedAt + offsetMs, timeSource: "feed" });
    expect(flagsOf(event)).toEqual(none);
  });

  it.each([
    ["a millisecond more", minuteMs + 1],
    ["ten years", 3_652 * dayMs],
  ])("%s ahead: pulled back to receipt, and what it claimed is kept", (_, offsetMs) => {
    const event = eventOf(feed, offsetMs);
    expect(event).toMatchObject({ occurredAt: receivedAt, timeSource: "clamped" });
    expect(event.fields["pipewarden.ingest.claimed_time"]).toBe(
      new Date(receivedAt + offsetMs).toISOString(),
    );
    expect(flagsOf(event)).toEqual(["future", Math.floor(offsetMs / secondMs)]);
  });

  it.each([
    ["a millisecond more than usual", -pastMs[feed] - 1],
    ["ten years", -3_652 * dayMs],
  ])("%s behind: flagged and never altered", (_, offsetMs) => {
    const event = eventOf(feed, offsetMs);
    expect(event).toMatchObject({ occurredAt: receivedAt + offsetMs, timeSource: "feed" });
    expect(flagsOf(event)).toEqual(["past", -Math.floor(-offsetMs / secondMs)]);
    expect(event.fields["pipewarden.ingest.claimed_time"]).toBeUndefined();
    // The flag is no part of what makes the same event again.
    expect(event.id).toBe(eventOf(feed, offsetMs, true).id);
  });

  it("is not judged by a recording that is read years later", () => {
    expect(flagsOf(eventOf(feed, -3_652 * dayMs, true))).toEqual(none);
  });
});
