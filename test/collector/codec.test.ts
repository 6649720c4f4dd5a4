/** @module Events to bytes and back. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeEvent, encodeEvent } from "../../src/event/codec.ts";
import type { Event } from "../../src/event/event.ts";

const event: Event = {
  ...{
    id: "falco:1",
    feed: "falco",
    logsource: { product: "linux" },
    occurredAt: 1,
    receivedAt: 2,
  },
  ...{ timeSource: "feed", fields: { "a.b": "x\ny", "c.d": [1, null] }, join: { host: "h" } },
  raw: '{"a":"x\\ny"}',
};

describe("event codec", () => {
  it("gives back every raw text, line ends and lone surrogates included", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string().map((raw) => `a\n${raw}\ud800`),
    );
    fc.assert(
      fc.property(text, (raw) => {
        const given = { ...event, raw };
        expect(decodeEvent(encodeEvent(given), "here")).toEqual(given);
      }),
      { seed: 5, numRuns: 500 },
    );
  });

  it("keeps what the join has told", () => {
    const build = { repository: "acme/a", workflow: "ci", runId: "1", runAttempt: 1 };
    const whole = { ...build, runUrl: "https://ci.example/1", sha: "", fork: false };
    const buildJoin = { method: "run-id", confidence: "exact", candidates: [] } as const;
    const joined: Event = { ...event, build: whole, buildJoin };
    expect(decodeEvent(encodeEvent(joined), "here")).toEqual(joined);
  });

  it("reads what version 1 wrote", () => {
    const bytes = Buffer.from(JSON.stringify({ v: 1, ...event }));
    expect(decodeEvent(bytes, "here")).toEqual(event);
  });

  it.each([
    ["no bytes", ""],
    ["another version", '{"v":3}\nraw'],
    ["version 2 without its raw text", '{"v":2,"id":"a"}'],
    ["a list", "[]\nraw"],
    ["null", "null"],
  ])("refuses %s", (_name, text) => {
    const code = "stored-record-invalid";
    expect(decodeEvent(Buffer.from(text), "events/0/1")).toMatchObject({
      code,
      place: "events/0/1",
    });
  });
});
