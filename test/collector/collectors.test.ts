/** @module The table of collectors, and reading what does not say its feed. */

import { describe, expect, it } from "vitest";
import type { Intake } from "../../src/collector/collector.ts";
import { collectors, readAny, recognise } from "../../src/collector/collectors.ts";
import { recordsMax } from "../../src/collector/intake.ts";
import { decodeEvent, encodeEvent } from "../../src/event/codec.ts";
import { feeds } from "../../src/event/event.ts";
import { accounted, codes, delivery } from "./deliver.ts";
import {
  falcoAlert,
  genericEgress,
  hardenConnection,
  hardenLookup,
  preparedJob,
  push,
  registryEnvelope,
  squidCombined,
  squidCommon,
  squidFirewall,
  squidJson,
  squidNative,
  trivyReport,
  wire,
  workflowJob,
  workflowRun,
} from "./samples.ts";

const any = (text: string): Intake => {
  const intake = readAny(Buffer.from(text), delivery());
  expect(accounted(intake)).toBe(intake.records);
  return intake;
};

const records: readonly (readonly [feed: string, text: string])[] = [
  ["falco", wire(falcoAlert)],
  ["github-webhook", JSON.stringify(workflowJob)],
  ["github-webhook", JSON.stringify(workflowRun)],
  ["github-webhook", JSON.stringify(push)],
  ["github-audit", JSON.stringify(preparedJob)],
  ["github-audit", JSON.stringify({ event: preparedJob, time: 1 })],
  ["egress", squidNative],
  ["egress", squidFirewall],
  ["egress", squidCommon],
  ["egress", squidCombined],
  ["egress", JSON.stringify(squidJson)],
  ["egress", JSON.stringify(hardenConnection)],
  ["egress", JSON.stringify(hardenLookup)],
  ["egress", JSON.stringify(genericEgress)],
  ["trivy", JSON.stringify(trivyReport)],
  ["registry", JSON.stringify(registryEnvelope)],
];

describe("collectors", () => {
  it("has one for each feed", () => {
    expect([...collectors.keys()].sort()).toEqual([...feeds].sort());
    for (const [feed, collector] of collectors) expect(collector.feed).toBe(feed);
  });

  it.each(records)("%s: one collector recognises %s", (feed, text) => {
    const record: unknown = text.startsWith("{") ? JSON.parse(text) : text;
    const takers = [...collectors.values()].filter((collector) => collector.recognises(record));
    expect(takers.map((collector) => collector.feed)).toEqual([feed]);
    expect(recognise(record)?.feed).toBe(feed);
  });

  it.each(records)("%s: events survive the codec: %s", (_feed, text) => {
    const { events } = any(text);
    expect(events.length).toBeGreaterThan(0);
    for (const event of events) {
      expect(decodeEvent(encodeEvent(event), "here")).toEqual(event);
    }
  });

  it.each(records)("%s: field values are scalars or lists of them: %s", (_feed, text) => {
    for (const { fields } of any(text).events) {
      for (const [name, value] of Object.entries(fields)) {
        expect(name).toMatch(/^(tags|[a-z_]+\..+)$/);
        for (const item of Array.isArray(value) ? value : [value]) {
          expect(item === null || ["string", "number", "boolean"].includes(typeof item)).toBe(true);
        }
      }
    }
  });
});

describe("readAny", () => {
  it("reads lines of all feeds mixed", () => {
    const intake = any(`${records.map(([, text]) => text).join("\n")}\nhello\n{"a":1}\n`);
    expect(codes(intake)).toEqual(["feed-unknown", "feed-unknown"]);
    expect(new Set(intake.events.map(({ feed }) => feed))).toEqual(new Set(feeds));
  });

  it.each(records.filter(([, text]) => text.startsWith("{")))(
    "%s: reads an indented document: %s",
    (feed, text) => {
      const indented = any(JSON.stringify(JSON.parse(text), undefined, 2));
      expect(indented.rejections).toEqual([]);
      expect(indented.events[0]?.feed).toBe(feed);
    },
  );

  it("takes apart a list of records, and not a list of results", () => {
    const list = any(JSON.stringify([preparedJob, workflowJob, { a: 1 }, 5]));
    expect(list).toMatchObject({ records: 4 });
    expect(list.events.map(({ feed }) => feed)).toEqual(["github-audit", "github-webhook"]);
    expect(any(JSON.stringify(trivyReport.Results))).toMatchObject({ records: 1 });
  });

  it("names refused formats", () => {
    expect(codes(any('{"bomFormat":"CycloneDX"}'))).toEqual(["format-unsupported"]);
  });

  it.each([
    ["nothing", "", 0],
    ["blank lines", "\n \n\n", 3],
  ])("counts %s", (_name, text, skipped) => {
    expect(any(text)).toMatchObject({ records: skipped, skipped });
  });

  it("refuses what nests too deep", () => {
    expect(codes(any("[".repeat(65) + "]".repeat(65)))).toEqual(["nesting-too-deep"]);
  });

  it("bounds the records of one delivery, and loses none of the rest", () => {
    const lines = any("x\n".repeat(recordsMax + 10));
    expect(lines.records).toBe(recordsMax + 1);
    expect(lines.rejections.at(-1)).toMatchObject({
      problem: { code: "body-too-large" },
      raw: "x\n".repeat(10),
    });
    const list = any(`[${"1,".repeat(recordsMax + 9)}1]`);
    expect(list.records).toBe(recordsMax + 1);
    expect(list.rejections.at(-1)).toMatchObject({
      problem: { code: "body-too-large" },
      raw: `[${"1,".repeat(9)}1]`,
    });
  });

  it("reads bytes that are not text", () => {
    const intake = readAny(Buffer.from([0xff, 0xfe, 0x00, 0x7b, 0x0a, 0x80]), delivery());
    expect(accounted(intake)).toBe(intake.records);
    expect(intake.records).toBeGreaterThan(0);
    expect(intake.events).toEqual([]);
  });
});
