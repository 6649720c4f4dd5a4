import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { Bus, BusRecord, NewRecord, Topic } from "../../src/bus/bus.ts";
import { openEmbeddedBus } from "../../src/bus/embedded.ts";
import { openMemoryBus } from "../../src/bus/memory.ts";
import { sweepMs } from "../../src/bus/retention-sweep.ts";
import { minuteMs, VirtualClock } from "../../src/clock.ts";
import type { Collector, Delivery, Intake } from "../../src/collector/collector.ts";
import { collectors } from "../../src/collector/collectors.ts";
import { type Problem, ServiceError } from "../../src/error.ts";
import { decodeEvent } from "../../src/event/codec.ts";
import type { Event } from "../../src/event/event.ts";
import { type DeadLetters, openDeadLetters } from "../../src/pipeline/dead-letters.ts";
import { deadLetterRecord, setAsideRecord } from "../../src/pipeline/records.ts";
import type { StageRunner } from "../../src/pipeline/stage-runner.ts";
import { openMemoryState } from "../../src/state/memory.ts";
import type { StateStore } from "../../src/state/state.ts";
import { silentTelemetry, type Telemetry } from "../../src/telemetry.ts";
import { codeOf, turn, until } from "../contract/bus.ts";
import { replacing } from "../contract/replacing.ts";
import { eventOf } from "../contract/store.ts";

const start = Date.UTC(2026, 10, 24, 2);
const problem: Problem = {
  ...{ code: "format-unsupported", place: "falco door/record 1" },
  ...{ expected: "the form of Falco", found: "a newer one" },
};
const delivery: Delivery = { receivedAt: start - 5_000, headers: {}, place: "falco door" };

const closers: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A collector of falco that can read what begins with `new `, and remembers what it was given. */
function newerCollector(given: Delivery[] = []): Collector {
  return {
    feed: "falco",
    recognises: () => false,
    read: (body, from): Intake => {
      given.push(from);
      const raw = body.toString();
      const counts = { records: 1, skipped: 0 };
      if (raw === "two\nlines") {
        const second = { problem: { ...problem, place: `${from.place}/record 2` }, raw: "lines" };
        return { ...counts, events: [{ ...eventOf("falco:two"), raw }], rejections: [second] };
      }
      if (raw === "banner") return { ...counts, skipped: 1, events: [], rejections: [] };
      const event = { ...eventOf(`falco:${raw}`), receivedAt: from.receivedAt, raw };
      return raw.startsWith("new ")
        ? { ...counts, events: [event], rejections: [] }
        : { ...counts, events: [], rejections: [{ problem, raw }] };
    },
  };
}

interface Rig {
  readonly bus: Bus;
  readonly clock: VirtualClock;
  readonly letters: DeadLetters;
  readonly runner: StageRunner;
  readonly telemetry: Telemetry;
}

interface RigParts {
  readonly bus?: Bus;
  readonly states?: StateStore;
  readonly clock?: VirtualClock;
  readonly lettersMax?: number;
  readonly collector?: Collector;
}

async function rigOf(parts: RigParts = {}): Promise<Rig> {
  const { clock = new VirtualClock(start), states = openMemoryState(), collector } = parts;
  const bus = parts.bus ?? openMemoryBus({ clock });
  const telemetry = silentTelemetry();
  const { runner, deadLetters } = openDeadLetters({
    ...{ bus, states, clock, telemetry },
    placeKey: ({ id }) => id,
    collectors: new Map([["falco", collector ?? newerCollector()]]),
    ...(parts.lettersMax === undefined ? {} : { lettersMax: parts.lettersMax }),
  });
  await runner.start();
  closers.push(() => runner.stop());
  if (parts.bus === undefined) closers.unshift(() => bus.close());
  return { bus, clock, letters: deadLetters, runner, telemetry };
}

/** Takes `appends` calls and has no room after that. */
function fullAfter(bus: Bus, appends: number): Bus {
  let left = appends;
  return replacing(bus, {
    append: async (records) => {
      left -= 1;
      if (left >= 0) return bus.append(records);
      const told = { place: "bus", expected: "room", found: "none" };
      throw new ServiceError({ code: "intake-full", ...told });
    },
  });
}

async function put({ bus, runner }: Rig, ...records: NewRecord[]): Promise<void> {
  await bus.append(records);
  await runner.drained();
}

function letter(raw: string, from: Partial<Delivery> = {}): NewRecord {
  return deadLetterRecord({ problem, raw }, { feed: "falco", delivery: { ...delivery, ...from } });
}

async function idsOf(letters: DeadLetters): Promise<string[]> {
  return (await letters.list({ limit: 200 })).items.map(({ id }) => id);
}

async function onBus(bus: Bus, topic: Topic): Promise<BusRecord[]> {
  const found: BusRecord[] = [];
  for (let partition = 0; partition < bus.partitions(topic); partition++) {
    for (let offset = 0; offset < (await bus.end(topic, partition)); offset++) {
      found.push((await bus.find(topic, partition, offset))!);
    }
  }
  return found;
}

async function eventsOn(bus: Bus): Promise<Event[]> {
  return (await onBus(bus, "events")).map(({ value }) => decodeEvent(value, "x") as Event);
}

describe("the list of dead letters", () => {
  it("comes latest first, page by page, and says how many are open", async () => {
    const rig = await rigOf();
    for (let count = 0; count < 5; count++) {
      await put(rig, letter(`a${count}`), letter(`b${count}`));
      rig.clock.advance(1_000);
    }
    const whole = await rig.letters.list({ limit: 200 });
    expect(whole.open).toBe(10);
    expect(whole.cursor).toBeUndefined();
    expect(whole.items.map(({ at }) => (at - start) / 1_000)).toEqual([
      ...[4, 4, 3, 3, 2, 2, 1, 1, 0, 0],
    ]);
    expect(whole.items[0]).toEqual({
      ...{ id: expect.stringMatching(/^dl-\d-9$/), at: start + 4_000, problem },
      ...{ feed: "falco", bytes: 2 },
    });
    const paged: string[] = [];
    const sizes: number[] = [];
    let cursor: string | undefined;
    do {
      const page = await rig.letters.list(
        cursor === undefined ? { limit: 4 } : { limit: 4, cursor },
      );
      paged.push(...page.items.map(({ id }) => id));
      sizes.push(page.items.length);
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(sizes).toEqual([4, 4, 2]);
    expect(paged).toEqual(whole.items.map(({ id }) => id));
  });

  it.each(["", "x", "1", "1.dl-0", "1.dl-0-", "1.dl-0-1 ", "-1.dl-0-1", "1.dl-99999-1"])(
    "refuses %j as a cursor",
    async (cursor) => {
      const { letters } = await rigOf();
      expect(await codeOf(letters.list({ limit: 1, cursor }))).toBe("cursor-invalid");
    },
  );

  it("lets the oldest go at its bound, and counts them", async () => {
    const rig = await rigOf({ lettersMax: 3 });
    for (const raw of ["0", "1", "2"]) {
      await put(rig, letter(raw));
      rig.clock.advance(1);
    }
    expect(await idsOf(rig.letters)).toHaveLength(3);
    expect(await rig.telemetry.metrics()).not.toContain('what="dead-letters",reason="bound"} 1');
    await put(rig, letter("3"));
    expect((await idsOf(rig.letters)).map((id) => id.split("-")[2])).toEqual(["3", "2", "1"]);
    expect(await rig.telemetry.metrics()).toContain('what="dead-letters",reason="bound"} 1');
  });

  it("is as it was when it is opened again", async () => {
    const clock = new VirtualClock(start);
    const [bus, states] = [openMemoryBus({ clock }), openMemoryState()];
    const first = await rigOf({ bus, states, clock });
    await put(first, letter("x"), letter("y"));
    const [gone, kept] = await idsOf(first.letters);
    await first.letters.drop(gone!);
    await first.runner.stop();
    const second = await rigOf({ bus, states, clock });
    await second.runner.drained();
    expect(await idsOf(second.letters)).toEqual([kept]);
    await second.runner.stop();
    await bus.close();
  });

  it("holds a letter that cannot itself be read, without writing another one about it", async () => {
    const rig = await rigOf();
    const broken = {
      topic: "dead-letters",
      key: "k",
      value: Buffer.from("\u001b not JSON"),
    } as const;
    await put(rig, broken);
    const [id] = await idsOf(rig.letters);
    expect(await rig.letters.find(id!)).toMatchObject({
      ...{ raw: "\u001b not JSON", bytes: 10 },
      problem: { code: "stored-record-invalid", place: expect.stringMatching(/^dead-letters\//) },
    });
    expect(await rig.letters.retry(id!)).toMatchObject({ kind: "rejected" });
    expect(await onBus(rig.bus, "dead-letters")).toHaveLength(1);
  });

  it("comes to an end over a letter that has no problem, nor anything else", async () => {
    const rig = await rigOf();
    const value = Buffer.from('{"v":1,"value":{}}');
    await put(rig, { topic: "dead-letters", key: "k", value });
    await rig.runner.drained();
    await put(rig, { topic: "dead-letters", key: "k", value: Buffer.from('{"v":1,"value":7}') });
    expect(await onBus(rig.bus, "dead-letters")).toHaveLength(2);
    const { items, open } = await rig.letters.list({ limit: 9 });
    expect(open).toBe(2);
    for (const { id, problem } of items) {
      expect(problem.code).toBe("stored-record-invalid");
      expect(await rig.letters.find(id)).toMatchObject({ id });
      expect(await rig.letters.retry(id)).toMatchObject({ kind: "rejected" });
    }
  });

  it("takes letters in while brokers do not tell where the topic begins, and writes none", async () => {
    const clock = new VirtualClock(start);
    const bus = openMemoryBus({ clock });
    closers.push(() => bus.close());
    let away = true;
    const asked = replacing(bus, {
      first: async (...of) => {
        const told = { place: "kafka", expected: "brokers", found: "none" };
        if (away) throw new ServiceError({ code: "bus-unavailable", ...told });
        return bus.first(...of);
      },
    });
    const rig = await rigOf({ bus: asked, clock });
    await put(rig, letter("new a"), letter("new b"));
    expect(await onBus(bus, "dead-letters")).toHaveLength(2);
    away = false;
    expect((await rig.letters.list({ limit: 9 })).open).toBe(2);
  });

  it("passes over a letter that its stage fails on, and writes none about it", async () => {
    const states = openMemoryState();
    // Any table: what it keeps is refused for one letter alone.
    const failing = replacing(states, {
      open: async (whose) => {
        const state = await states.open(whose);
        return replacing(state, {
          table: <V>(name: string) => {
            const table = state.table<V>(name);
            return replacing(table, {
              put: (row, kept) => {
                if (row === "dl-0-0") throw new TypeError("no");
                table.put(row, kept);
              },
            });
          },
        });
      },
    });
    const rig = await rigOf({ states: failing });
    await put(rig, letter("new a"), letter("new b"));
    expect(await onBus(rig.bus, "dead-letters")).toHaveLength(2);
    expect(await idsOf(rig.letters)).toEqual(["dl-0-1"]);
  });
});

describe("a dead letter", () => {
  it("shows what it takes to read it again, and no credential", async () => {
    const rig = await rigOf();
    const headers = {
      ...{ "x-github-event": "push", "x-github-delivery": "72d3162e", cookie: "s=1" },
      ...{ "x-hub-signature-256": "sha256=00", "x-api-key": "k", "content-type": "text/plain" },
    };
    await put(rig, letter("x\u0000y", { headers, path: "acme/api/1" }));
    const [id] = await idsOf(rig.letters);
    expect(await rig.letters.find(id!)).toEqual({
      ...{ id, at: start, problem, feed: "falco", bytes: 3, raw: "x\u0000y" },
      delivery: {
        ...{ receivedAt: start - 5_000, place: "falco door", path: "acme/api/1" },
        headers: { "x-github-event": "push", "x-github-delivery": "72d3162e" },
      },
    });
  });

  it.each([
    "",
    "dl-0-7",
    "dl-9-0",
    "dl-0-00000000000000000000",
    "dl-0-0x",
    "constructor",
    "dl--1-0",
  ])("of the id %j is not there", async (id) => {
    const rig = await rigOf();
    await put(rig, letter("new"));
    expect(await rig.letters.find(id)).toBeUndefined();
    expect(await rig.letters.retry(id)).toBeUndefined();
    expect(await rig.letters.drop(id)).toBe(false);
  });

  it("that a newer collector can read becomes its event, received when it was, and is closed", async () => {
    const given: Delivery[] = [];
    const rig = await rigOf({ collector: newerCollector(given) });
    await put(rig, letter("new thing", { headers: { "x-github-event": "push" }, path: "a/b" }));
    const [id] = await idsOf(rig.letters);
    expect(await rig.letters.retry(id!)).toEqual({ kind: "done", events: 1, rejected: 0 });
    expect(given).toEqual([
      {
        ...{ receivedAt: start - 5_000, place: "falco door", path: "a/b" },
        headers: { "x-github-event": "push" },
      },
    ]);
    const [event, ...more] = await eventsOn(rig.bus);
    expect(more).toEqual([]);
    expect(event).toMatchObject({ id: "falco:new thing", receivedAt: start - 5_000 });
    expect(await idsOf(rig.letters)).toEqual([]);
    expect(await rig.letters.retry(id!)).toBeUndefined();
    expect(await rig.telemetry.metrics()).toContain('events_accepted_total{feed="falco"} 1');
  });

  it("that still cannot be read stays, and nothing is written", async () => {
    const rig = await rigOf();
    await put(rig, letter("old thing"));
    const [id] = await idsOf(rig.letters);
    expect(await rig.letters.retry(id!)).toEqual({ kind: "rejected", problems: [problem] });
    expect(await eventsOn(rig.bus)).toEqual([]);
    expect(await idsOf(rig.letters)).toEqual([id]);
  });

  it("of which a part can be read leaves the rest as a new letter", async () => {
    const rig = await rigOf();
    await put(rig, letter("two\nlines"));
    const [id] = await idsOf(rig.letters);
    expect(await rig.letters.retry(id!)).toEqual({ kind: "done", events: 1, rejected: 1 });
    await rig.runner.drained();
    const [rest, ...more] = await idsOf(rig.letters);
    expect(more).toEqual([]);
    expect(rest).not.toBe(id);
    expect(await rig.letters.find(rest!)).toMatchObject({ raw: "lines", feed: "falco", delivery });
  });

  it("that turns out to be no event is closed", async () => {
    const rig = await rigOf();
    await put(rig, letter("banner"));
    const [id] = await idsOf(rig.letters);
    expect(await rig.letters.retry(id!)).toEqual({ kind: "done", events: 0, rejected: 0 });
    expect(await idsOf(rig.letters)).toEqual([]);
  });

  it("of no feed, or of one without a collector, says so and stays", async () => {
    const rig = await rigOf();
    const trivy = deadLetterRecord({ problem, raw: "new" }, { feed: "trivy" });
    await put(rig, deadLetterRecord({ problem, raw: "new" }), trivy);
    for (const id of await idsOf(rig.letters)) {
      const retried = await rig.letters.retry(id);
      expect(retried).toMatchObject({ kind: "rejected", problems: [{ code: "feed-unknown" }] });
    }
    expect(await idsOf(rig.letters)).toHaveLength(2);
  });

  it("stays when the bus is full", async () => {
    const clock = new VirtualClock(start);
    const bus = openMemoryBus({ clock });
    const rig = await rigOf({ bus: fullAfter(bus, 1), clock });
    closers.unshift(() => bus.close());
    await put(rig, letter("new thing"));
    const [id] = await idsOf(rig.letters);
    expect(await codeOf(rig.letters.retry(id!))).toBe("intake-full");
    expect(await codeOf(rig.letters.drop(id!))).toBe("intake-full");
    expect(await idsOf(rig.letters)).toEqual([id]);
    expect(await eventsOn(bus)).toEqual([]);
  });

  it("is closed at once, also where the list cannot be saved, and for whoever lists later", async () => {
    const states = openMemoryState();
    const rig = await rigOf({ states });
    await put(rig, letter("new one"), letter("new two"), letter("new three"));
    const ids = await idsOf(rig.letters);
    await states.close();
    expect(await rig.letters.retry(ids[0]!)).toMatchObject({ kind: "done" });
    expect(await rig.letters.drop(ids[1]!)).toBe(true);
    expect(await idsOf(rig.letters)).toEqual([ids[2]]);
    expect(await rig.letters.retry(ids[0]!)).toBeUndefined();
    const other = await rigOf({ bus: rig.bus, clock: rig.clock });
    await other.runner.drained();
    expect(await idsOf(other.letters)).toEqual([ids[2]]);
  });

  it("is read by the real collector as the delivery would have been", async () => {
    const real = collectors.get("github-webhook")!;
    const rig = await rigOf();
    const body = JSON.stringify({ ref: "refs/heads/main", repository: { full_name: "acme/api" } });
    const from: Delivery = {
      ...{ receivedAt: start, place: "github-webhook door" },
      headers: { "x-github-event": "push", "x-github-delivery": "0B989BA4-242F-11E5" },
    };
    await put(
      rig,
      deadLetterRecord({ problem, raw: body }, { feed: "github-webhook", delivery: from }),
    );
    const clock = new VirtualClock(start);
    const { runner, deadLetters } = openDeadLetters({
      ...{ bus: rig.bus, states: openMemoryState(), clock, telemetry: silentTelemetry() },
      ...{ placeKey: ({ id }) => id, collectors: new Map([["github-webhook", real]]) },
    });
    await runner.start();
    await runner.drained();
    const [id] = await idsOf(deadLetters);
    expect(await deadLetters.retry(id!)).toMatchObject({ kind: "done", events: 1 });
    await runner.stop();
    expect(await eventsOn(rig.bus)).toEqual(real.read(Buffer.from(body), from).events);
  });
});

describe("a record that a stage set aside", () => {
  async function setAside(rig: Rig, topic: Topic, value: string): Promise<string> {
    await rig.bus.append([{ topic, key: "the key", value: Buffer.from(value) }]);
    const [record] = (await onBus(rig.bus, topic)).slice(-1);
    await put(rig, setAsideRecord(record!, { ...problem, code: "stored-record-invalid" }));
    return (await idsOf(rig.letters))[0]!;
  }

  it("goes to its topic again, byte for byte under its key, once it can be read", async () => {
    const rig = await rigOf();
    const id = await setAside(rig, "documents", '{"v":1,"value":{"id":"x"}}');
    expect(await rig.letters.retry(id)).toEqual({ kind: "done", events: 0, rejected: 0 });
    const [first, again] = await onBus(rig.bus, "documents");
    expect([again?.key, String(again?.value)]).toEqual(["the key", String(first?.value)]);
    expect(await idsOf(rig.letters)).toEqual([]);
  });

  it("stays while it cannot", async () => {
    const rig = await rigOf();
    for (const topic of ["events", "alerts"] as const) {
      const id = await setAside(rig, topic, '{"v":99}');
      expect(await rig.letters.retry(id)).toMatchObject({
        ...{ kind: "rejected", problems: [{ code: "stored-record-invalid" }] },
      });
      expect(await onBus(rig.bus, topic)).toHaveLength(1);
    }
    expect(await idsOf(rig.letters)).toHaveLength(2);
  });
});

describe("retention of the topic", () => {
  it("closes what it lets go, and says so with the next letter", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dead-letters-"));
    closers.push(() => rmSync(folder, { recursive: true }));
    const clock = new VirtualClock(start);
    let sweeps = 0;
    const bus = await openEmbeddedBus({
      ...{ path: join(folder, "bus.db"), clock, partitions: 1 },
      retention: new Map([["dead-letters", { maxAgeMs: 10 * minuteMs, maxBytes: 1e9 }]]),
      onSwept: () => {
        sweeps += 1;
      },
    });
    closers.push(() => bus.close());
    const rig = await rigOf({ bus, clock });
    await put(rig, letter("new thing"));
    expect(await idsOf(rig.letters)).toEqual(["dl-0-0"]);
    for (let count = 1; count <= 12; count++) {
      clock.advance(sweepMs);
      await until(() => sweeps === count);
      await turn();
    }
    expect(await rig.letters.list({ limit: 9 })).toEqual({ items: [], open: 0 });
    expect(await rig.letters.find("dl-0-0")).toBeUndefined();
    expect(await rig.letters.retry("dl-0-0")).toBeUndefined();
    await put(rig, letter("new other"));
    expect(await idsOf(rig.letters)).toEqual(["dl-0-1"]);
    expect(await rig.telemetry.metrics()).toContain('what="dead-letters",reason="retention"} 1');
  });
});
