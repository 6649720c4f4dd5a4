// What the Kafka bus keeps while brokers, connections and handlers fail. None wants that nothing is
// delivered twice: only that nothing is lost. That sends never overlap is tested in kafka.test.ts.

import { type Admin, ConfigResourceTypes, Kafka, logLevel } from "kafkajs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Bus, BusRecord, BusTrouble, Consumer, Offset } from "../../src/bus/bus.ts";
import { type KafkaBusSettings, openKafkaBus } from "../../src/bus/kafka.ts";
import { realClock, VirtualClock } from "../../src/clock.ts";
import { codeOf, record, text, turn, Watcher } from "../contract/bus.ts";
import { type KafkaService, startKafka } from "../services/kafka.ts";
import type { FaultyProxy } from "../services/proxy.ts";

let kafka: KafkaService;
let admin: Admin;
let places = 0;
let topicPrefix: string;
let opened: Bus[];
let troubles: BusTrouble[];

beforeAll(async () => {
  kafka = await startKafka();
  admin = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
});

afterAll(async () => {
  await admin?.disconnect();
  await kafka?.stop();
});

beforeEach(() => {
  topicPrefix = `fault-${places++}.`;
  opened = [];
  troubles = [];
});

afterEach(async () => {
  await Promise.all(opened.map((bus) => bus.close()));
});

async function open(settings: Partial<KafkaBusSettings> = {}): Promise<Bus> {
  const bus = await openKafkaBus({
    brokers: kafka.brokers,
    clientId: "test",
    topicPrefix,
    partitions: 2,
    appendMsMax: 120_000, // a broker is away for as long as the machine takes to start it
    clock: realClock,
    onTrouble: (trouble) => void troubles.push(trouble),
    ...settings,
  });
  opened.push(bus);
  return bus;
}

function consume(bus: Bus, watcher: Watcher): Promise<Consumer> {
  return bus.consume({ group: "stage", topics: ["events"] }, watcher);
}

/** Waits for something that is under way; gives up, so that a failing test can be cleaned up. */
async function until(holds: () => boolean, step: () => void = () => undefined): Promise<void> {
  const end = performance.now() + 50_000;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`waited too long for ${holds}`);
    step();
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Time that must pass on the broker's own clock. */
function seconds(count: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, count * 1_000));
}

/** Appends numbered records, several calls at once, until told to stop or rejected. */
class Writer {
  readonly acknowledged: string[] = [];
  readonly rejected: unknown[] = [];
  readonly #bus: Bus;
  readonly #done: Promise<unknown>;
  #next = 0;
  #stopped = false;

  constructor(bus: Bus, lanes = 4) {
    this.#bus = bus;
    this.#done = Promise.all(Array.from({ length: lanes }, (_, lane) => this.#run(lane)));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #run(lane: number): Promise<void> {
    while (!this.#stopped) {
      const call = Array.from({ length: 5 }, () => {
        return record(`lane-${lane}`, String(this.#next++).padStart(8, "0"));
      });
      try {
        await this.#bus.append(call);
        this.acknowledged.push(...call.map(({ key, value }) => `${key}=${text(value)}`));
      } catch (error) {
        this.rejected.push(error);
        return;
      }
      // Each lane at a pace of its own, so that calls come while a send is on its way.
      for (let count = 0; count < lane; count++) await turn();
    }
  }
}

/** Everything acknowledged was seen, and what was seen of a lane first came in its order. */
function expectNothingLost(writer: Writer, seen: Watcher): void {
  const found = new Set(seen.texts);
  expect(writer.acknowledged.filter((line) => !found.has(line))).toEqual([]);
  for (const lines of Map.groupBy(found, (line) => line.split("=")[0]).values()) {
    expect(lines).toEqual([...lines].sort());
  }
  const offsets = Map.groupBy(seen.records, ({ partition }) => partition);
  for (const records of offsets.values()) expectEachOffset(records);
}

function expectEachOffset(records: readonly BusRecord[]): void {
  const offsets = [...new Set(records.map(({ offset }) => offset))];
  expect(offsets).toEqual([...offsets.keys()]);
}

describe("kafka bus, broker killed", () => {
  it("loses nothing that was acknowledged, and keeps the order", async () => {
    const bus = await open();
    const seen = new Watcher();
    const consumer = await consume(bus, seen);
    const writer = new Writer(bus);
    await until(() => seen.records.length > 2_000);
    await kafka.kill();
    const before = writer.acknowledged.length;
    await kafka.start();
    await until(() => writer.acknowledged.length > before + 2_000);
    await writer.stop();
    await consumer.drained();
    expect(writer.rejected).toEqual([]);
    expectNothingLost(writer, seen);
  });

  it("closes while there is no broker, and rejects what was not acknowledged", async () => {
    const bus = await open();
    await consume(bus, new Watcher());
    await kafka.kill();
    const pending = codeOf(bus.append([record("k", "v")]));
    await bus.close();
    expect(await pending).toBe("bus-unavailable");
    expect(await codeOf(open())).toBe("bus-unavailable");
    await kafka.start();
  });
});

describe("kafka bus, connections disturbed", () => {
  it("loses nothing when answers get lost and connections are reset", async () => {
    const proxy = await kafka.proxy();
    const bus = await open({ brokers: [proxy.address], partitions: 1 });
    const writer = new Writer(bus, 8);
    for (let cut = 1; cut <= 15; cut++) {
      const before = writer.acknowledged.length;
      proxy.loseNextAnswer(500); // only what appends is as large
      await until(() => writer.acknowledged.length > before + 500);
    }
    await writer.stop();
    expect(writer.rejected).toEqual([]);
    const seen = new Watcher();
    const consumer = await consume(await open({ partitions: 1 }), seen);
    await consumer.drained();
    expectNothingLost(writer, seen);
    // Sent again under their old numbers, they are known to the broker.
    expect(seen.texts.length).toBe(new Set(seen.texts).size);
    await bus.close();
    await proxy.close();
  });

  it.each([
    ["between answers", (proxy: FaultyProxy) => proxy.silence()],
    // kafkajs would read the first answer of its next connection as the rest of this one.
    ["in the midst of an answer", (proxy: FaultyProxy) => proxy.silenceWithin(300)],
  ])("comes back when connections fall silent %s, without being closed", async (_, silence) => {
    const proxy = await kafka.proxy();
    const bus = await open({ brokers: [proxy.address] });
    const seen = new Watcher();
    const consumer = await consume(bus, seen);
    const writer = new Writer(bus);
    await until(() => seen.records.length > 500);
    silence(proxy);
    const [acknowledged, handled] = [writer.acknowledged.length, seen.records.length];
    await until(() => writer.acknowledged.length > acknowledged + 500);
    await until(() => seen.records.length > handled + 500);
    await writer.stop();
    await consumer.drained();
    expectNothingLost(writer, seen);
    await bus.close();
    await proxy.close();
  });

  it("hands nothing more over once its session may have run out", async () => {
    const proxy = await kafka.proxy();
    const settings = { partitions: 1, sessionMs: 1_500 };
    const cutOff = await open({ ...settings, brokers: [proxy.address] });
    const bus = await open(settings);
    const [one, two] = [new Watcher(), new Watcher()];
    const gate = Promise.withResolvers<void>();
    one.onBatch = () => gate.promise;
    const group = { group: "stage", topics: ["events"], batchMax: 1 } as const;
    await bus.append(["0", "1", "2"].map((value) => record("k", value)));
    await cutOff.consume(group, one);
    await until(() => one.log.includes("batch events/0"));
    proxy.silence();
    await bus.consume(group, two);
    await until(() => two.records.length === 3);
    gate.resolve();
    await until(() => one.log.includes("revoked events/0"));
    expect(one.texts).toEqual(["k=0"]); // it had begun before
    await cutOff.close();
    await proxy.close();
  });
});

describe("kafka bus, sends refused", () => {
  it("does not lose what is acknowledged after a send that was taken in part", async () => {
    const bus = await open({ partitions: 1 });
    await bus.append([record("k", "0"), record("k", "a", "alerts")]);
    await admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: ConfigResourceTypes.TOPIC,
          name: `${topicPrefix}alerts`,
          configEntries: [{ name: "max.message.bytes", value: "1000" }],
        },
      ],
    });
    const large = "v".repeat(5_000);
    const refused = bus.append([record("k", "in part"), record("k", large, "alerts")]);
    expect(await codeOf(refused)).toBe("bus-unavailable");
    await bus.append([record("k", "1")]);
    await bus.append([record("k", "2"), record("k", "b", "alerts")]);
    const seen = new Watcher();
    await (await consume(bus, seen)).drained();
    expect(seen.texts.filter((line) => line !== "k=in part")).toEqual(["k=0", "k=1", "k=2"]);
  });
});

describe("kafka bus, handlers", () => {
  it.each([
    new TypeError("x is not a function"),
    new SyntaxError("not JSON"),
    new RangeError("too far"),
  ])("delivers again after a $name, which would stop kafkajs for good", async (error) => {
    const clock = new VirtualClock(Date.UTC(2026, 0, 2));
    const bus = await open({ clock });
    const seen = new Watcher();
    let failures = 2;
    seen.onBatch = async () => {
      if (failures-- > 0) throw error;
    };
    await consume(bus, seen);
    await bus.append([record("k", "v")]);
    await until(
      () => seen.records.length === 1,
      () => clock.advance(100),
    );
    await bus.append([record("k", "later")]);
    await until(() => seen.records.length === 2);
    expect(troubles.map((trouble) => trouble.error)).toEqual([error, error]);
  });

  it("keeps its partitions while a handler is busy for longer than the session", async () => {
    const bus = await open({ sessionMs: 1_500 });
    const seen = new Watcher();
    seen.onBatch = () => seconds(4);
    const consumer = await consume(bus, seen);
    await bus.append([record("k", "v")]);
    await consumer.drained();
    expect(seen.log.filter((line) => line.startsWith("revoked"))).toEqual([]);
    expect(seen.texts).toEqual(["k=v"]);
    expect(troubles).toEqual([]);
  });

  it("gives a partition to another only after the busy handler is done and has let go", async () => {
    const settings = { sessionMs: 1_500, partitions: 1 };
    const [left, right] = [await open(settings), await open(settings)];
    const log: string[] = [];
    const positions = new Map<string, Offset>();
    const watcher = (name: string) => {
      const seen = new Watcher(positions);
      seen.log.push = (line) => log.push(`${name} ${line}`);
      return seen;
    };
    const [one, two] = [watcher("one"), watcher("two")];
    const [ones, twos] = [await consume(left, one), await consume(right, two)];
    await until(() => log.at(-1)?.includes("assigned") === true);
    const owner = log.at(-1)?.startsWith("one") === true ? one : two;
    const gate = Promise.withResolvers<void>();
    owner.onBatch = () => gate.promise;
    await left.append([record("k", "v")]);
    await until(() => log.at(-1)?.includes("batch") === true);
    const quiet = log.length;
    const third = watcher("three");
    const joining = consume(left, third);
    await seconds(4);
    expect(log.slice(quiet)).toEqual([]);
    gate.resolve();
    await Promise.all([joining, ones.drained(), twos.drained()]);
    await until(() => log.slice(quiet).some((line) => line.includes("assigned")));
    expect(log.slice(quiet)[0]).toMatch(/revoked/);
    expect([...one.texts, ...two.texts, ...third.texts]).toEqual(["k=v"]);
  });
});

describe("kafka bus, topics", () => {
  it("makes them once, however many open at the same time", async () => {
    const [left, right] = await Promise.all([open({ partitions: 3 }), open({ partitions: 3 })]);
    await left!.append([record("k", "v")]);
    const ends = await Promise.all([0, 1, 2].map((partition) => right!.end("events", partition)));
    expect(ends.reduce((sum, end) => sum + end, 0)).toBe(1);
    const third = await openKafkaBus({
      ...{ brokers: kafka.brokers, clientId: "test", topicPrefix, clock: realClock },
    });
    opened.push(third);
    expect(third.partitions("events")).toBe(3);
  });

  it.each([
    ["another number of partitions", { numPartitions: 5 }],
    [
      "a topic that forgets what shares a key",
      { configEntries: [{ name: "cleanup.policy", value: "compact" }] },
    ],
    [
      "a topic too small for our records",
      { configEntries: [{ name: "max.message.bytes", value: "1000000" }] },
    ],
  ])("refuses %s", async (_, difference) => {
    const topic = { topic: `${topicPrefix}builds`, numPartitions: 2, ...difference };
    await admin.createTopics({ topics: [topic], waitForLeaders: false });
    expect(await codeOf(open({ partitions: 2 }))).toBe("config-invalid");
  });

  it("refuses a number of partitions that is none", async () => {
    for (const partitions of [0, 1.5, -1, 5_000]) {
      expect(await codeOf(open({ partitions }))).toBe("config-invalid");
    }
  });

  it("tells the brokers how far a group is", async () => {
    const bus = await open({ partitions: 1 });
    const consumer = await consume(bus, new Watcher());
    await bus.append(["0", "1", "2"].map((value) => record("k", value)));
    await consumer.drained();
    await consumer.stop();
    const topics = [`${topicPrefix}events`];
    const [found] = await admin.fetchOffsets({ groupId: `${topicPrefix}stage`, topics });
    expect(found?.partitions.map(({ offset }) => offset)).toEqual(["3"]);
  });

  it("stops a partition whose saved position lies after the end", async () => {
    const bus = await open({ partitions: 1 });
    await bus.append([record("k", "v")]);
    const consumer = await consume(bus, new Watcher(new Map([["events/0", 7]])));
    expect(await codeOf(consumer.drained())).toBe("bus-corrupt");
    expect(troubles.map(({ retryAfterMs }) => retryAfterMs)).toEqual([undefined]);
  });

  it("says when retention has taken what was not handled, and goes on behind it", async () => {
    const bus = await open({ partitions: 1 });
    await bus.append(["0", "1", "2", "3"].map((value) => record("k", value)));
    const all = [{ partition: 0, offset: "-1" }];
    await admin.fetchTopicOffsets(`${topicPrefix}events`); // or kafkajs does not find the leader
    await admin.deleteTopicRecords({ topic: `${topicPrefix}events`, partitions: all });
    await bus.append([record("k", "4")]);
    const seen = new Watcher(new Map([["events/0", 2]]));
    await (await consume(bus, seen)).drained();
    expect(seen.texts).toEqual(["k=4"]);
    expect(troubles.map(({ lost }) => lost)).toEqual([2]);
    expect(String(troubles[0]!.error)).toContain("offset 2 but found 4 as the oldest one kept");
  });
});
