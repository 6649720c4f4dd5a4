/** @module Hostile input for every collector: mutated records and noise, from a fixed seed. */

import { expect } from "vitest";
import type { Delivery, Intake } from "../../src/collector/collector.ts";
import { collectors, readAny } from "../../src/collector/collectors.ts";
import { encodeEvent } from "../../src/event/codec.ts";
import type { Feed } from "../../src/event/event.ts";
import { accounted, receivedAt } from "./deliver.ts";
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

const jsonTexts = (...values: readonly unknown[]): string[] =>
  values.map((value) => JSON.stringify(value));

const seeds: Readonly<Record<Feed, readonly string[]>> = {
  falco: [wire(falcoAlert), wire({ ...falcoAlert, uuid: "u", rule: "Falco internal: x" })],
  "github-webhook": jsonTexts(workflowJob, workflowRun, push),
  "github-audit": jsonTexts(preparedJob, { event: preparedJob, time: 1 }),
  egress: [
    squidNative,
    squidFirewall,
    squidCommon,
    squidCombined,
    ...jsonTexts(squidJson, hardenConnection, hardenLookup, genericEgress),
  ],
  trivy: jsonTexts(trivyReport, trivyReport.Results),
  registry: jsonTexts(registryEnvelope),
};

type Random = (below: number) => number;

/** Small, fast and the same everywhere (mulberry32). */
function randomFrom(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) % below;
  };
}

const snippets = [
  ...'{ } [ ] " \\ , : null true -1 0 1e400 1e-400 99999999999999999999 [] {} é 😀'.split(" "),
  ...["\n", "\r\n", " ", '""', '"-"', '" "', "\u0000", "\ufeff", "\u202e", "[[[[[["],
  ...['"__proto__"', '"constructor"', '"toString"', '"toJSON"', '{"toString":null}'],
  ...['{"__proto__":{"polluted":1}}', '"\\ud800"', "payload=%7B", "TCP_DENIED/403"],
  ...['"0001-01-01T00:00:00Z"', '"9999-99-99T99:99:99Z"'],
];

/** As text, so that each use is a value of its own. */
const oddValues = [
  ...["null", "true", "0", "-1", "1e308", '""', '"-"', '"x"', "[]", "{}", "[null]", "[[]]"],
  ...['{"a":{"b":[1]}}', '{"toString":1,"toJSON":2}'],
  '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}',
];

/** Swaps values of the parsed record for others, which keeps the JSON whole. */
function reshaped(text: string, random: Random): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return text;
  }
  for (let count = random(3) + 1; count > 0; count--) {
    let at: unknown = value;
    for (let level = random(5); ; level--) {
      if (typeof at !== "object" || at === null) break;
      const keys = Object.keys(at);
      if (keys.length === 0) break;
      const key = keys[random(keys.length)] ?? "";
      const holder = at as Record<string, unknown>;
      if (level <= 0) {
        if (random(4) === 0) delete holder[key];
        else holder[key] = JSON.parse(oddValues[random(oddValues.length)] ?? "null");
        break;
      }
      at = holder[key];
    }
  }
  return JSON.stringify(value);
}

function mutated(text: string, random: Random): string {
  let result = random(2) === 0 ? reshaped(text, random) : text;
  for (let count = random(4); count > 0; count--) {
    const at = random(result.length + 1);
    const cut = random(3) === 0 ? random(result.length - at + 1) : random(4);
    const put = random(2) === 0 ? (snippets[random(snippets.length)] ?? "") : "";
    result = result.slice(0, at) + put + result.slice(at + cut);
  }
  return random(5) === 0 ? `${result}\n${text}` : result;
}

function noise(random: Random): Buffer {
  return Buffer.from(Array.from({ length: random(200) }, () => random(256)));
}

const paths = [
  undefined,
  "",
  "github",
  "github/a/b/actions/runs/1/jobs/2/dns",
  "__proto__/github/x/y",
];
const headerSets: readonly Record<string, string>[] = [
  {},
  { "x-github-event": "push", "x-github-delivery": "G" },
  { "x-github-event": "constructor" },
  { "x-github-event": "workflow_job", "content-type": "application/x-www-form-urlencoded" },
];

/**
 * Feeds `count` inputs to the feed's collector; throws (fails the test) at the first that breaks a
 * promise.
 */
export function fuzz(feed: Feed, { count, seed }: { count: number; seed: number }): void {
  const random = randomFrom(seed);
  const collector = collectors.get(feed);
  expect(collector).toBeDefined();
  const prototypeKeys = Reflect.ownKeys(Object.prototype).length;
  let events = 0;
  let rejections = 0;
  for (let run = 0; run < count; run++) {
    const sample = seeds[feed][random(seeds[feed].length)] ?? "";
    const body = random(10) === 0 ? noise(random) : Buffer.from(mutated(sample, random));
    const path = paths[random(paths.length)];
    const headers = headerSets[random(headerSets.length)] ?? {};
    const delivery: Delivery = {
      receivedAt,
      headers,
      place: `run ${run}`,
      ...(path === undefined ? {} : { path }),
    };
    for (const intake of [collector?.read(body, delivery), readAny(body, delivery)]) {
      if (intake === undefined) continue;
      check(intake, body);
      events += intake.events.length;
      rejections += intake.rejections.length;
    }
  }
  expect(Reflect.ownKeys(Object.prototype).length).toBe(prototypeKeys);
  expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false);
  // Mutations that all fail, or all pass, would prove little.
  expect(events).toBeGreaterThan(count / 10);
  expect(rejections).toBeGreaterThan(count / 10);
}

/** Plain comparisons, since millions of `expect` calls cost minutes. */
function check(intake: Intake, body: Buffer): void {
  const complain = (what: string): never => {
    throw new Error(`${what}: ${JSON.stringify(body.toString("utf8"))}`);
  };
  if (accounted(intake) !== intake.records) complain("records not accounted for");
  for (const { problem } of intake.rejections) {
    if (problem.place === "" || problem.expected === "" || problem.found === "") {
      complain("a problem that does not say enough");
    }
  }
  for (const event of intake.events) {
    if (Object.getPrototypeOf(event.fields) !== Object.prototype) complain("another prototype");
    if (!Number.isSafeInteger(event.occurredAt) || event.occurredAt <= 0) complain("no time");
    if (event.occurredAt > receivedAt + 60_000) complain("a time in the future");
    if (!event.id.startsWith(`${event.feed}:`)) complain("an id without feed");
    if (encodeEvent(event).length === 0) complain("cannot be written");
    for (const value of Object.values(event.fields)) {
      if (value === undefined || (typeof value === "number" && !Number.isFinite(value))) {
        complain("a value that JSON cannot hold");
      }
    }
  }
}
