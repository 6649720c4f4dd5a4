/**
 * @module Inputs that would take minutes or all memory if any reader looked at its text more than
 * a few times. A reader that does runs into the test's time limit.
 */

import { describe, expect, it } from "vitest";
import { collectors, readAny } from "../../src/collector/collectors.ts";
import { recordsMax } from "../../src/collector/intake.ts";
import type { Feed } from "../../src/event/event.ts";
import { FieldSet, fieldsMax } from "../../src/event/fields.ts";
import { accounted, delivery } from "./deliver.ts";
import { squidCombined, squidNative } from "./samples.ts";

const many = 150_000;
const bodies: readonly (readonly [name: string, body: string])[] = [
  ["objects on one line", "{}".repeat(many)],
  ["objects with text on one line", '{"a":"b"}'.repeat(many)],
  ["objects on one line after a broken one", `{"a\n${'{"a":1}'.repeat(many)}`],
  ["lines that open a text", '{"\n'.repeat(many)],
  ["lines that open an escaped text", '{\\"\n'.repeat(many)],
  ["lines that open objects", "{\n".repeat(many)],
  ["lines that open lists", "[\n".repeat(many)],
  ["backslashes", `{"a":"${"\\".repeat(many)}`],
  ["blanks before a letter", `x${" ".repeat(many)}x`],
  ["tabs on every line", " \t\n".repeat(many)],
  ["quotes", '"'.repeat(many)],
  ["a native line of blanks", `${squidNative.slice(0, -9)}${" ".repeat(many)}\u2028x`],
  ["a native line without end", squidNative.replace("10.4.7.21", "a".repeat(many))],
  ["a combined line of quotes", squidCombined.replace(/"e"vil.*/, `"${'" "'.repeat(many)}`)],
  ["an alert as text of digits", `09:00:01.${"1".repeat(many)}`],
  ["a list of numbers", `[${"1,".repeat(many)}1]`],
  ["an id of padding", `{"action":"a.b","actor":"m","_document_id":"${"=".repeat(many)}x"}`],
  ["a long number as time", `{"action":"a.b","actor":"m","created_at":${"1".repeat(many)}}`],
  ["dots as a host", `{"url":"http://${"1.".repeat(many)}/","runner":"r","time":1795510804}`],
];

describe("hostile shapes", () => {
  it.each(bodies)("%s", (_name, body) => {
    const bytes = Buffer.from(body);
    for (const feed of ["falco", "github-audit", "egress"] satisfies Feed[]) {
      const intake = collectors.get(feed)?.read(bytes, delivery());
      expect(intake?.records).toBe(intake === undefined ? -1 : accounted(intake));
      expect(intake?.records).toBeLessThanOrEqual(many + recordsMax);
    }
    const intake = readAny(bytes, delivery());
    expect(accounted(intake)).toBe(intake.records);
  });
});

describe("fields of hostile records", () => {
  it("do not multiply a huge key by what stands below it", () => {
    const below = Object.fromEntries(Array.from({ length: 50_000 }, (_, n) => [`k${n}`, n]));
    const { "pipewarden.ingest.dropped_fields": dropped, ...fields } = new FieldSet()
      .flatten("p", { ["x".repeat(5_000_000)]: below, small: 1 })
      .done();
    expect(fields).toEqual({ "p.small": 1 });
    expect(dropped).toBe(1);
  });

  it("are bounded in number, our own apart", () => {
    const set = new FieldSet();
    set.flatten("p", Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [n, n])));
    set.set("event.action", "ours");
    const fields = set.done();
    expect(Object.keys(fields)).toHaveLength(fieldsMax + 2);
    expect(fields["event.action"]).toBe("ours");
    expect(fields["pipewarden.ingest.dropped_fields"]).toBe(100_000 - fieldsMax);
  });

  it("are bounded in the length of lists", () => {
    const items = Array.from({ length: 5_000 }, (_, n) => n);
    for (const set of [new FieldSet().flatten("p.a", items), new FieldSet().set("p.a", items)]) {
      const fields = set.done();
      expect(fields["p.a"]).toEqual(items.slice(0, 1_000));
      expect(fields["pipewarden.ingest.dropped_items"]).toBe(4_000);
    }
  });
});
