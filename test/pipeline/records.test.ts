import { describe, expect, it } from "vitest";
import type { BusRecord, NewRecord } from "../../src/bus/bus.ts";
import { decodeEvent, isProblem } from "../../src/event/codec.ts";
import {
  deadLetterRecord,
  documentRecord,
  eventRecord,
  readRecord,
  recordPlace,
} from "../../src/pipeline/records.ts";
import { eventOf, incidentDocument, incidentOf } from "../contract/store.ts";

function onBus({ topic, key, value }: NewRecord): BusRecord {
  return { topic, key, value, partition: 2, offset: 7, appendedAt: 0 };
}

function rawRecord(text: string | Buffer): BusRecord {
  return onBus({ topic: "documents", key: "x", value: Buffer.from(text) });
}

describe("an event's record", () => {
  it("holds the whole event, under the key it is given", () => {
    const event = eventOf("falco:1");
    const record = eventRecord(event, "build-07");
    expect([record.topic, record.key]).toEqual(["events", "build-07"]);
    const read = decodeEvent(onBus(record).value, "events/2/7");
    expect(isProblem(read)).toBe(false);
    expect(read).toEqual(JSON.parse(JSON.stringify(event)));
  });
});

describe("a record of our own", () => {
  it("reads back as what it was", () => {
    const document = incidentDocument(incidentOf("inc_1", { title: 'a\u0000"\ud800 Ω' }));
    expect(readRecord("documents", onBus(documentRecord(document)))).toEqual(document);
  });

  it("of a dead letter keeps reason, bytes and feed", () => {
    const problem = {
      code: "json-invalid",
      place: "falco door/record 1",
      expected: "JSON",
      found: "x",
    } as const;
    const of = (letter: NewRecord) => JSON.parse(Buffer.from(letter.value).toString("utf8"));
    const letter = deadLetterRecord({ problem, raw: "{x\u0000" }, { feed: "falco" });
    expect(letter.topic).toBe("dead-letters");
    expect(of(letter)).toEqual({ v: 1, value: { problem, raw: "{x\u0000", feed: "falco" } });
    expect(of(deadLetterRecord({ problem, raw: "" })).value).toEqual({ problem, raw: "" });
  });

  it.each([
    ["no JSON", "{"],
    ["nothing", ""],
    ["other bytes", Buffer.from([0xff, 0xfe, 0x00])],
    ["null", "null"],
    ["a number", "1"],
    ["a list", "[1]"],
    ["no version", '{"value": {}}'],
    ["no value", '{"v": 1}'],
    ["a later version", '{"v": 2, "value": {}}'],
    ["the version as text", '{"v": "1", "value": {}}'],
    ["both in the prototype's name", '{"__proto__": {"v": 1, "value": {}}}'],
  ])("with %s is a problem at its place", (_name, bytes) => {
    expect(readRecord("documents", rawRecord(bytes))).toMatchObject({
      code: "stored-record-invalid",
      place: "documents/2/7",
      expected: "a record of documents, version 1",
    });
  });

  it("says where it stands", () => {
    expect(recordPlace(rawRecord("x"))).toBe("documents/2/7");
  });
});
