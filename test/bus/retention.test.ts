import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import fastify from "fastify";
import { Value } from "typebox/value";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Bus, BusTrouble, Topic } from "../../src/bus/bus.ts";
import { type EmbeddedBusSettings, openEmbeddedBus } from "../../src/bus/embedded.ts";
import { headerBytes, partitionOf } from "../../src/bus/frame.ts";
import { type Retention, retentionOf } from "../../src/bus/retention.ts";
import { type Swept, sweepMs } from "../../src/bus/retention-sweep.ts";
import { hourMs, minuteMs, VirtualClock } from "../../src/clock.ts";
import { collectors } from "../../src/collector/collectors.ts";
import { DoorsConfig, registerDoors } from "../../src/collector/receiver.ts";
import { readConfig } from "../../src/config/config.ts";
import { eventRecord } from "../../src/pipeline/records.ts";
import { silentTelemetry } from "../../src/telemetry.ts";
import { codeOf, record, turn, until, Watcher } from "../contract/bus.ts";

const maxAgeMs = 10 * minuteMs;
const unbounded = Number.MAX_SAFE_INTEGER;
const group = { group: "g", topics: ["events"] as const };

let folder: string;
let path: string;
let clock: VirtualClock;
let troubles: BusTrouble[];
let sweeps: Swept[];
let opened: Bus[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bus-retention-"));
  path = join(folder, "bus.db");
  clock = new VirtualClock();
  troubles = [];
  sweeps = [];
  opened = [];
});

afterEach(async () => {
  for (const bus of opened) await bus.close();
  await rm(folder, { recursive: true });
});

function keeping(
  keep: { maxAgeMs?: number; maxBytes?: number },
  topic: Topic = "events",
): Retention {
  return new Map([[topic, { maxAgeMs: unbounded, maxBytes: unbounded, ...keep }]]);
}

async function open(
  retention: Retention,
  settings: Partial<EmbeddedBusSettings> = {},
): Promise<Bus> {
  const bus = await openEmbeddedBus({
    ...{ path, clock, partitions: 1, retention },
    onTrouble: (trouble) => void troubles.push(trouble),
    onSwept: (swept) => void sweeps.push(swept),
    ...settings,
  });
  opened.push(bus);
  return bus;
}

/** Moves the clock one sweep on and waits until it is over. */
async function sweep(): Promise<Swept> {
  const before = sweeps.length;
  clock.advance(sweepMs);
  await until(() => sweeps.length > before);
  await turn();
  return sweeps.at(-1)!;
}

async function sweepUntil(time: number): Promise<void> {
  while (clock.now() < time) await sweep();
}

async function handled(bus: Bus, seen = new Watcher()): Promise<Watcher> {
  const consumer = await bus.consume(group, seen);
  await consumer.drained();
  return seen;
}

/** A consumer whose handler waits until it is let go. */
async function stuck(bus: Bus): Promise<{ seen: Watcher; release: () => void }> {
  const seen = new Watcher();
  const gate = Promise.withResolvers<void>();
  let asked = false;
  seen.onBatch = () => {
    asked = true;
    return gate.promise;
  };
  await bus.consume({ ...group, batchMax: 2 }, seen);
  await until(() => asked);
  return { seen, release: gate.resolve };
}

function storedBytes(partition = 0): { told: number; counted: number } {
  const db = new DatabaseSync(path);
  const told = db.prepare("SELECT bytes FROM streams WHERE topic = 'events' AND partition = ?");
  const counted = db.prepare(
    `SELECT coalesce(sum(length(key) + length(value) + ${headerBytes}), 0) AS bytes
      FROM "events/${partition}"`,
  );
  const found = {
    told: Number(told.get(partition)?.["bytes"]),
    counted: Number(counted.get()?.["bytes"]),
  };
  db.close();
  return found;
}

describe("age", () => {
  it("lets go of what is older, not of what is exactly as old", async () => {
    const bus = await open(keeping({ maxAgeMs }));
    await handled(bus);
    await sweepUntil(minuteMs - sweepMs);
    clock.advance(sweepMs - 1);
    await bus.append([record("k", "a millisecond older")]);
    clock.advance(1);
    await until(() => sweeps.length > 0);
    await turn();
    await bus.append([record("k", "as old"), record("k", "as old too")]);
    await sweepUntil(minuteMs + maxAgeMs - sweepMs);
    expect(await bus.first("events", 0)).toBe(0);
    expect(await sweep()).toEqual({ records: 1, bytes: headerBytes + 1 + 19 });
    expect(await bus.first("events", 0)).toBe(1);
    await sweep();
    expect(await bus.first("events", 0)).toBe(3);
    expect(await bus.end("events", 0)).toBe(3);
    expect(await bus.find("events", 0, 2)).toBeUndefined();
    expect(troubles).toEqual([]);
  });

  it("waits for a group that is behind, and for one sweep more", async () => {
    const bus = await open(keeping({ maxAgeMs }));
    await bus.append(["0", "1", "2", "3", "4"].map((value) => record("k", value)));
    const { seen, release } = await stuck(bus);
    await sweepUntil(3 * hourMs);
    expect(await bus.first("events", 0)).toBe(0);
    release();
    await until(() => seen.records.length === 5);
    await turn();
    // A crash of the machine may yet take the stage's newest positions back.
    expect((await sweep()).records).toBe(0);
    expect((await sweep()).records).toBe(5);
    expect(seen.texts).toEqual(["k=0", "k=1", "k=2", "k=3", "k=4"]);
    expect(troubles).toEqual([]);
  });

  it("waits for the slowest of several groups", async () => {
    const bus = await open(keeping({ maxAgeMs }));
    await bus.append(["0", "1", "2"].map((value) => record("k", value)));
    const { seen, release } = await stuck(bus);
    const consumer = await bus.consume({ group: "fast", topics: ["events"] }, new Watcher());
    await consumer.drained();
    await sweepUntil(hourMs);
    expect(await bus.first("events", 0)).toBe(0);
    release();
    await until(() => seen.records.length === 3);
    await sweepUntil(hourMs + 3 * sweepMs);
    expect(await bus.first("events", 0)).toBe(3);
  });

  it("still waits for a group that has stopped, as at a shutdown", async () => {
    const bus = await open(keeping({ maxAgeMs }));
    const consumer = await bus.consume(group, new Watcher());
    await consumer.drained();
    await consumer.stop();
    await bus.append([record("k", "unread")]);
    await sweepUntil(hourMs);
    expect(await bus.first("events", 0)).toBe(0);
  });

  it("holds everything until there is a group, then goes by age where nobody reads", async () => {
    const bus = await open(keeping({ maxAgeMs }, "documents"));
    await bus.append([record("k", "v", "documents")]);
    await sweepUntil(hourMs);
    expect(await bus.first("documents", 0)).toBe(0);
    await handled(bus);
    await sweepUntil(hourMs + 3 * sweepMs);
    expect(await bus.first("documents", 0)).toBe(1);
  });

  it("leaves topics alone for which nothing is set", async () => {
    const bus = await open(keeping({ maxAgeMs }, "documents"));
    await bus.append([record("k", "v")]);
    await handled(bus);
    await sweepUntil(hourMs);
    expect(await bus.first("events", 0)).toBe(0);
  });

  it("goes on over many small steps, with appends between them", async () => {
    const bus = await open(keeping({ maxAgeMs }));
    const many = Array.from({ length: 2_500 }, (_, index) => record("k", `${index}`));
    await bus.append(many);
    const seen = await handled(bus);
    await sweepUntil(maxAgeMs);
    clock.advance(sweepMs);
    await bus.append([record("k", "meanwhile")]);
    await until(() => seen.records.length === 2_501);
    await until(() => sweeps.at(-1)!.records === 2_500);
    expect(await bus.first("events", 0)).toBe(2_500);
    await bus.close();
    const { told, counted } = storedBytes();
    expect(told).toBe(counted);
    expect(told).toBe(headerBytes + 1 + "meanwhile".length);
  });
});

/** A key of one letter that falls into the partition, of two. */
function keyOf(partition: number): string {
  return [..."abcdefgh"].find((key) => partitionOf(key, 2) === partition)!;
}

describe("bytes", () => {
  const size = headerBytes + 1 + 100;
  const value = "v".repeat(100);

  function append(bus: Bus, count: number, key = "k"): Promise<void> {
    return bus.append(Array.from({ length: count }, () => record(key, value)));
  }

  it("keeps what fits exactly, and of one record more lets one go", async () => {
    const bus = await open(keeping({ maxBytes: 10 * size }));
    const seen = await handled(bus);
    await append(bus, 10);
    await until(() => seen.records.length === 10);
    for (let count = 0; count < 3; count++) expect((await sweep()).records).toBe(0);
    await append(bus, 1);
    await until(() => seen.records.length === 11);
    expect(await sweep()).toEqual({ records: 1, bytes: size });
    expect(await bus.first("events", 0)).toBe(1);
    expect(troubles).toEqual([]);
    await bus.close();
    expect(storedBytes()).toEqual({ told: 10 * size, counted: 10 * size });
  });

  it("forces a group that is behind to go on after the gap, and says how much it lost", async () => {
    const bus = await open(keeping({ maxBytes: 4 * size }));
    await append(bus, 10);
    // It has two in hand, and has read two ahead: those are still good.
    const { seen, release } = await stuck(bus);
    expect((await sweep()).records).toBe(6);
    expect(troubles).toEqual([]);
    release();
    await until(() => seen.records.length === 8);
    expect(seen.records.map(({ offset }) => offset)).toEqual([0, 1, 2, 3, 6, 7, 8, 9]);
    expect(troubles).toHaveLength(1);
    expect(troubles[0]).toMatchObject({
      ...{ group: "g", topic: "events", partition: 0 },
      lost: 2,
    });
    expect(String(troubles[0]!.error)).toContain("events/0, group g: bus-records-lost");
    // What it had handled before counts as handled, and the next ones come as ever.
    await append(bus, 1);
    await until(() => seen.records.length === 9);
    expect(troubles).toHaveLength(1);
  });

  it("lets a group of which everything has gone come to its end", async () => {
    const bus = await open(keeping({ maxBytes: size - 1 }));
    await append(bus, 5);
    const seen = new Watcher();
    let fail = true;
    seen.onBatch = async () => {
      if (fail) throw new Error("not now");
    };
    const consumer = await bus.consume(group, seen);
    await until(() => troubles.length === 1);
    fail = false;
    const swept = sweeps.length;
    clock.advance(500); // before its next try
    while (sweeps.length === swept) {
      clock.advance(sweepMs);
      await turn();
    }
    await consumer.drained();
    expect(await bus.first("events", 0)).toBe(5);
    const lost = troubles.reduce((sum, trouble) => sum + (trouble.lost ?? 0), 0);
    expect(lost + seen.records.length).toBe(5);
  });

  it("takes handled records before unhandled ones, whatever their partition", async () => {
    const bus = await open(keeping({ maxBytes: 8 * size }), { partitions: 2 });
    const seen = await handled(bus);
    await append(bus, 3, keyOf(1));
    await until(() => seen.records.length === 3);
    await sweep();
    const gate = Promise.withResolvers<void>();
    seen.onBatch = () => gate.promise;
    await append(bus, 6, keyOf(0));
    await sweep();
    expect(await bus.first("events", 0)).toBe(0);
    expect(await bus.first("events", 1)).toBe(1);
    gate.resolve();
    await until(() => seen.records.length === 9);
    expect(troubles).toEqual([]);
  });

  it("lets a flood push out its own partition only", async () => {
    const bus = await open(keeping({ maxBytes: 100 * size }), { partitions: 2 });
    const seen = await handled(bus);
    await append(bus, 10, keyOf(0));
    await append(bus, 2_000, keyOf(1));
    await until(() => seen.records.length === 2_010);
    await sweep();
    await sweep();
    expect(await bus.first("events", 0)).toBe(0);
    expect(await bus.first("events", 1)).toBe(1_910);
  });
});

describe("after retention", () => {
  it("a reopened file begins where it was cut, and a new group there", async () => {
    const first = await open(keeping({ maxAgeMs }));
    await first.append(["0", "1", "2"].map((value) => record("k", value)));
    await handled(first);
    await sweepUntil(maxAgeMs - sweepMs);
    await first.append([record("k", "3")]);
    await sweepUntil(maxAgeMs + sweepMs);
    await first.close();
    const bus = await open(keeping({ maxAgeMs }));
    expect(await bus.first("events", 0)).toBe(3);
    expect((await handled(bus)).texts).toEqual(["k=3"]);
    expect(troubles).toEqual([]);
    await bus.append([record("k", "4")]);
    expect(await bus.find("events", 0, 4)).toMatchObject({ offset: 4, key: "k" });
  });

  it("a file with nothing left opens, and counts on", async () => {
    const first = await open(keeping({ maxAgeMs }));
    await first.append([record("k", "0"), record("k", "1")]);
    await handled(first);
    await sweepUntil(hourMs);
    await first.close();
    expect(storedBytes()).toEqual({ told: 0, counted: 0 });
    const bus = await open(new Map());
    await bus.append([record("k", "2")]);
    expect((await handled(bus)).records.map(({ offset }) => offset)).toEqual([2]);
  });

  it.each([
    [1, 2],
    [3, undefined],
    [0, undefined],
  ])("a position of %i where 3 is the first has lost %s", async (position, lost) => {
    const first = await open(keeping({ maxAgeMs }));
    await first.append(["0", "1", "2"].map((value) => record("k", value)));
    await handled(first);
    await sweepUntil(hourMs);
    await first.append([record("k", "3")]);
    await first.close();
    const bus = await open(new Map());
    const seen = await handled(bus, new Watcher(new Map([["events/0", position]])));
    expect(seen.texts).toEqual(["k=3"]);
    expect(troubles.map((trouble) => trouble.lost)).toEqual(lost === undefined ? [] : [lost]);
  });
});

describe("a full file", () => {
  const fileBytesMax = 2 * 1024 * 1024;

  it("takes appends again once age has made room, and never grows", async () => {
    const bus = await open(keeping({ maxAgeMs }), { fileBytesMax });
    const seen = await handled(bus);
    let taken = 0;
    for (let round = 0; round < 4; round++) {
      let code = "resolved";
      while (code === "resolved") {
        code = await codeOf(bus.append([record("k", "v".repeat(30_000))]));
        if (code === "resolved") taken++;
      }
      expect(code).toBe("intake-full");
      await until(() => seen.records.length === taken);
      await sweepUntil(clock.now() + maxAgeMs + 2 * sweepMs);
    }
    expect(taken * 30_000).toBeGreaterThan(2 * fileBytesMax);
    await bus.close();
    expect((await stat(path)).size).toBeLessThanOrEqual(fileBytesMax);
  });

  it("is opened again, and read, while it is full", async () => {
    const bus = await open(new Map(), { fileBytesMax });
    let taken = 0;
    while ((await codeOf(bus.append([record("k", "v".repeat(30_000))]))) === "resolved") taken++;
    await bus.close();
    const before = await stat(path);
    const again = await open(new Map(), { fileBytesMax });
    expect((await handled(again)).records).toHaveLength(taken);
    await again.close();
    const { size, mtimeMs } = await stat(path);
    expect([size, mtimeMs]).toEqual([before.size, before.mtimeMs]); // without a write
  });

  it("shuts the door with 503 and Retry-After, and opens it by itself", async () => {
    const bus = await open(keeping({ maxAgeMs }), { fileBytesMax });
    await handled(bus);
    const app = fastify();
    await registerDoors(app, {
      config: Value.Default(DoorsConfig, {}) as DoorsConfig,
      ...{ clock, telemetry: silentTelemetry(), collectors },
      accept: ({ events }) => bus.append(events.map((event) => eventRecord(event, "k"))),
    });
    const line = (text: string) =>
      JSON.stringify({ time: "2026-11-24T02:07:34Z", rule: "x", priority: "Notice", output: text });
    const post = async () =>
      await app.inject({ method: "POST", url: "/v1/falco", payload: line("o".repeat(100_000)) });
    let answer = await post();
    for (let count = 0; answer.statusCode === 200 && count < 50; count++) answer = await post();
    expect([answer.statusCode, answer.headers["retry-after"]]).toEqual([503, "2"]);
    expect((await post()).statusCode).toBe(503);
    await sweepUntil(clock.now() + maxAgeMs + 3 * sweepMs);
    expect((await post()).statusCode).toBe(200);
    await app.close();
  });
});

describe("settings", () => {
  it("keep every topic within bounds by default", () => {
    const { bus } = readConfig({ environment: {} });
    const kept = [...retentionOf(bus)].map(([topic, keep]) => [topic, keep.maxAgeMs / hourMs]);
    expect(Object.fromEntries(kept)).toEqual({
      ...{ events: 168, builds: 168, matches: 168, alerts: 168, pages: 336 },
      ...{ documents: 336, "dead-letters": 720 },
    });
    expect(retentionOf(bus).get("events")?.maxBytes).toBe(20_000_000_000);
  });
});
