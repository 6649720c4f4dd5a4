import { PassThrough } from "node:stream";
import Value from "typebox/value";
import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../src/clock.ts";
import { createSinks, SinksConfig } from "../../src/sink/sink.ts";
import { noticeOf } from "./fakes.ts";

const secrets = [`whsec_${Buffer.alloc(32, 7).toString("base64")}`];
const webhook = { type: "webhook", url: "https://hooks.example/x", secrets };

describe("sinks", () => {
  it.each([
    ["none", {}],
    ["each kind", { a: { type: "terminal" }, b: { type: "jsonl", path: "x" }, c: webhook }],
    ["only pages", { pager: { ...webhook, notices: "pages" } }],
  ])("accepts settings with %s", (_name, config) => {
    expect(Value.Check(SinksConfig, config)).toBe(true);
  });

  it.each([
    ["an unknown type", { a: { type: "pigeon" } }],
    ["no type", { a: { path: "x" } }],
    ["a key of another type", { a: { type: "terminal", path: "x" } }],
    ["an unknown key", { a: { ...webhook, retries: 3 } }],
    ["three secrets", { a: { ...webhook, secrets: ["a", "b", "c"] } }],
    ["no secret", { a: { ...webhook, secrets: [] } }],
    ["a name with a dot", { "a.b": { type: "terminal" } }],
    ["a name that is a prototype's", JSON.parse('{"__proto__":{"type":"terminal"}}')],
    ["an unknown choice", { a: { type: "terminal", notices: "none" } }],
  ])("refuses settings with %s", (_name, config) => {
    expect(Value.Check(SinksConfig, config)).toBe(false);
  });

  it("makes each configured sink under its name, and routes by its settings", async () => {
    const sinks = createSinks(
      {
        screen: { type: "terminal", notices: "all" },
        file: { type: "jsonl", path: "/nowhere/at/all" },
        pager: { type: "webhook", url: webhook.url, secrets, notices: "pages" },
      },
      { stdout: new PassThrough(), clock: new VirtualClock() },
    );
    expect(sinks.map(({ name }) => name)).toEqual(["screen", "file", "pager"]);
    const wanting = (kind: "page" | "update") =>
      sinks.filter((sink) => sink.wants(noticeOf({ kind }))).map(({ name }) => name);
    expect(wanting("page")).toEqual(["screen", "file", "pager"]);
    expect(wanting("update")).toEqual(["screen", "file"]);
    await Promise.all(sinks.map((sink) => sink.close()));
  });

  it("links to the console when it knows where that is", async () => {
    const stdout = new PassThrough();
    const parts = { stdout, clock: new VirtualClock(), consoleUrl: "https://pw.example" };
    const [screen] = createSinks({ screen: { type: "terminal" } }, parts);
    await screen?.send(noticeOf(), new AbortController().signal);
    expect(String(stdout.read())).toContain("https://pw.example/api/v1/incidents/inc_1");
  });
});
