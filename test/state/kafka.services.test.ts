// States on a real Kafka broker: the contract, and what is particular to a log that others can
// write to.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Admin, type ITopicConfig, Kafka, logLevel } from "kafkajs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type KafkaStateOpened,
  type KafkaStateSettings,
  openKafkaState,
} from "../../src/state/kafka.ts";
import type { State, StateOwner, StateStore } from "../../src/state/state.ts";
import { codeOf, stateContract } from "../contract/state.ts";
import { type KafkaService, startKafka } from "../services/kafka.ts";
import { counterOwner, expectCounted, step } from "./counter.ts";

let kafka: KafkaService;
let admin: Admin;
let places = 0;

beforeAll(async () => {
  kafka = await startKafka();
  admin = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
});

afterAll(async () => {
  await admin?.disconnect();
  await kafka?.stop();
});

/** Makes the state topics of an installation of its own; gives its prefix. */
async function installation(configs: Record<string, string> = {}): Promise<string> {
  const topicPrefix = `place-${places++}.`;
  const entries = {
    "cleanup.policy": "compact",
    "max.message.bytes": String(32 * 1024 * 1024),
    "min.compaction.lag.ms": "600000",
    ...configs,
  };
  await make(
    ["correlate", "alert", "detect"].map((stage) => ({
      topic: `${topicPrefix}state.${stage}`,
      numPartitions: stage === "detect" ? 8 : 2,
      configEntries: Object.entries(entries).map(([name, value]) => ({ name, value })),
    })),
  );
  return topicPrefix;
}

/** Resolves when the topics have leaders. */
async function make(topics: ITopicConfig[]): Promise<void> {
  await admin.createTopics({ waitForLeaders: false, topics });
  const names = topics.map(({ topic }) => topic);
  await until(async () => {
    const found = await admin.fetchTopicMetadata({ topics: names }).catch(() => ({ topics: [] }));
    const parts = found.topics.flatMap(({ partitions }) => partitions);
    return parts.length > 0 && parts.every(({ leader }) => leader >= 0);
  });
}

stateContract(
  "kafka",
  () => {
    let topicPrefix = "";
    const open = () => openKafkaState({ brokers: kafka.brokers, clientId: "test", topicPrefix });
    return {
      open: async () => {
        topicPrefix = await installation();
        return open();
      },
      // The one before is a process that has not noticed that it is dead.
      reopen: async (store) => {
        forgotten.push(store);
        return open();
      },
      remove: async () => {
        await Promise.all(forgotten.splice(0).map((store) => store.close()));
      },
    };
  },
  15,
);
const forgotten: StateStore[] = [];

describe("state on a broker", () => {
  let topicPrefix: string;
  let opened: StateStore[];

  beforeEach(async () => {
    topicPrefix = await installation();
    opened = [];
  });

  afterEach(async () => {
    await Promise.all(opened.map((store) => store.close()));
  });

  async function open(settings: Partial<KafkaStateSettings> = {}): Promise<StateStore> {
    const all = { brokers: kafka.brokers, clientId: "test", topicPrefix, ...settings };
    const store = await openKafkaState(all);
    opened.push(store);
    return store;
  }

  /** What a process finds that starts now. */
  async function restored(owner = counterOwner): Promise<State> {
    return (await open()).open(owner);
  }

  /** Counts until told to stop or refused; `number` was committed last. */
  function counting(state: State) {
    const run = { number: 0, stop: false, done: Promise.resolve("") };
    const count = async () => {
      while (!run.stop) {
        const number = step(state);
        await state.commit();
        run.number = number;
      }
    };
    run.done = codeOf(count);
    return run;
  }

  async function logEnd({ stage, partition }: StateOwner): Promise<string | undefined> {
    const offsets = await admin.fetchTopicOffsets(`${topicPrefix}state.${stage}`);
    return offsets.find((one) => one.partition === partition)?.high;
  }

  it("is taken from the owner that another process has followed", async () => {
    const first = await restored();
    step(first);
    await first.commit();
    const second = await restored();
    step(second);
    step(first);
    step(first);
    expect(await codeOf(() => first.commit())).toBe("state-taken");
    await second.commit();
    expect(await codeOf(() => first.commit())).toBe("state-taken");
    expect(expectCounted(await restored())).toBe(2);
  });

  it("is taken from an idle owner too", async () => {
    const store = await open({ idleMsMax: 50 });
    const first = await store.open(counterOwner);
    step(first);
    await first.commit();
    const second = await restored();
    await seconds(1);
    const before = await logEnd(counterOwner);
    step(first);
    expect(await codeOf(() => first.commit())).toBe("state-taken");
    // It knew: it has not even tried.
    expect(await logEnd(counterOwner)).toBe(before);
    step(second);
    await second.commit();
    expect(expectCounted(await restored())).toBe(2);
  });

  it("goes to one of several that open at once", async () => {
    const stores = await Promise.all([open(), open(), open()]);
    const tried = await Promise.allSettled(stores.map((store) => store.open(counterOwner)));
    const states = tried.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const codes = await Promise.all(
      states.map((state) => {
        step(state);
        return codeOf(() => state.commit());
      }),
    );
    expect(codes.filter((code) => code === "returned").length).toBe(1);
    expect(codes.every((code) => code === "returned" || code === "state-taken")).toBe(true);
    expect(expectCounted(await restored())).toBe(1);
  });

  it("loses nothing when answers get lost and connections are reset", async () => {
    const proxy = await kafka.proxy();
    const store = await open({ brokers: [proxy.address] });
    const run = counting(await store.open(counterOwner));
    for (let cut = 1; cut <= 15; cut++) {
      const before = run.number;
      proxy.loseNextAnswer(250); // only what appends is as large
      await until(() => run.number > before + 20);
    }
    run.stop = true;
    expect(await run.done).toBe("returned");
    await store.close();
    await proxy.close();
    expect(expectCounted(await restored())).toBe(run.number);
  });

  it("goes on when connections carry nothing any more without being closed", async () => {
    const proxy = await kafka.proxy();
    const store = await open({ brokers: [proxy.address] });
    const run = counting(await store.open(counterOwner));
    await until(() => run.number > 20);
    proxy.silence();
    const before = run.number;
    await until(() => run.number > before + 20);
    run.stop = true;
    expect(await run.done).toBe("returned");
    await store.close();
    await proxy.close();
    expect(expectCounted(await restored())).toBe(run.number);
  });

  it("goes on when the broker was killed in the middle of commits", async () => {
    const store = await open();
    const owners = [0, 1, 2, 3].map((partition) => ({ stage: "detect", partition }));
    const states = await Promise.all(owners.map((owner) => store.open(owner)));
    const runs = states.map(counting);
    await until(() => runs.every(({ number }) => number > 50));
    await kafka.kill();
    const before = runs.map(({ number }) => number);
    await kafka.start();
    await until(() => runs.every(({ number }, at) => number > (before[at] ?? 0) + 50));
    for (const run of runs) run.stop = true;
    for (const [at, run] of runs.entries()) {
      expect(await run.done).toBe("returned");
      expect(expectCounted(await restored(owners[at]))).toBe(run.number);
    }
  });

  it("says that nothing was saved, or ends, while there is no broker", async () => {
    const store = await open({ answerMsMax: 1_000 });
    const state = await store.open(counterOwner);
    step(state);
    await state.commit();
    await kafka.kill();
    step(state);
    const refused = await codeOf(() => state.commit());
    expect(["state-unavailable", "state-taken"]).toContain(refused);
    expect(await codeOf(() => store.open({ stage: "alert", partition: 0 }))).toBe(
      "state-unavailable",
    );
    expect(await codeOf(() => open())).toBe("state-unavailable");
    await kafka.start();
    // Not sent at all, the commit may be tried again; else only whoever opens anew knows.
    if (refused === "state-unavailable") await until(() => saved(state));
    const again = await (await open()).open(counterOwner);
    if (refused === "state-unavailable") expect(expectCounted(again)).toBe(2);
    else expect([1, 2]).toContain(expectCounted(again));
  });

  async function saved(state: State): Promise<boolean> {
    return (await codeOf(() => state.commit())) === "returned";
  }

  it("holds whole commits after kill -9 of the process that writes them", async () => {
    const child = fileURLToPath(new URL("./kafka-child.ts", import.meta.url));
    let before = 0;
    for (const commits of [1, 40, 300]) {
      const args = [child, kafka.brokers[0] ?? "", topicPrefix];
      const started = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
      const exited = once(started, "exit");
      let acknowledged = before;
      for await (const line of createInterface({ input: started.stdout })) {
        acknowledged = Number(line);
        if (acknowledged === before + commits) started.kill("SIGKILL");
      }
      await exited;
      expect(acknowledged).toBeGreaterThanOrEqual(before + commits);
      const found = expectCounted(await restored());
      // One commit may have been under way.
      expect([acknowledged, acknowledged + 1]).toContain(found);
      before = found;
    }
  });

  it("reads about as much as lives, however much has been written", async () => {
    topicPrefix = await installation({
      "min.compaction.lag.ms": "0",
      "min.cleanable.dirty.ratio": "0.01",
      "segment.ms": "1000",
      "delete.retention.ms": "100",
    });
    const reads: KafkaStateOpened[] = [];
    const store = await open({ onOpened: (one) => void reads.push(one) });
    const rows = 500;
    const state = await store.open(counterOwner);
    for (let round = 0; round < 50; round++) {
      const table = state.table<string>("t");
      for (let row = 0; row < rows; row++) table.put(String(row), `round ${round} of ${row}`);
      table.put(`brief ${round}`, "x");
      if (round > 0) table.delete(`brief ${round - 1}`);
      state.advance("events", 0, round + 1);
      await state.commit();
    }
    await until(async () => {
      const again = await store.open(counterOwner);
      expect(again.table("t").size).toBe(rows + 1);
      expect(again.table("t").get("7")).toBe("round 49 of 7");
      expect(again.position("events", 0)).toBe(50);
      await seconds(1);
      // 25,000 records were written.
      return (reads.at(-1)?.records ?? 0) < 2 * rows;
    });
  });

  it("opens 100,000 rows", async () => {
    const state = await restored();
    const rows = 100_000;
    for (let row = 0; row < rows; row++) {
      state.table("t").put(`row ${row}`, { row, text: "x".repeat(100) });
      if (row % 10_000 === 9_999) await state.commit();
    }
    const reads: KafkaStateOpened[] = [];
    const store = await open({ onOpened: (one) => void reads.push(one) });
    const again = await store.open(counterOwner);
    expect(again.table("t").size).toBe(rows);
    expect(again.table("t").get("row 77777")).toEqual({ row: 77_777, text: "x".repeat(100) });
    // Two openings beside the rows.
    expect(reads).toEqual([{ ...counterOwner, records: rows + 2, tookMs: expect.any(Number) }]);
  });

  it("saves the largest commits it allows", async () => {
    const state = await restored();
    state.table("t").put("large", "x".repeat(23 * 1024 * 1024));
    await state.commit();
    for (let row = 0; row < 20_000; row++) state.table("t").put(`row ${row}`, row);
    await state.commit();
    const again = await restored();
    expect(again.table("t").size).toBe(20_001);
    expect(again.table<string>("t").get("large")?.length).toBe(23 * 1024 * 1024);
  });

  it("shares its connections between all states", async () => {
    const proxy = await kafka.proxy();
    const store = await open({ brokers: [proxy.address] });
    const partitions = [0, 1, 2, 3, 4, 5, 6, 7];
    const owners = partitions.map((partition) => ({ stage: "detect", partition }));
    const states = await Promise.all(owners.map((owner) => store.open(owner)));
    const runs = states.map(counting);
    await until(() => runs.every(({ number }) => number > 20));
    // One for commits, one to read.
    expect(proxy.connections).toBe(2);
    for (const run of runs) run.stop = true;
    for (const run of runs) expect(await run.done).toBe("returned");
    for (const [at, run] of runs.entries()) {
      expect(expectCounted(await restored(owners[at]))).toBe(run.number);
    }
    await store.close();
    await proxy.close();
  });

  it.each<[string, Record<string, string>, StateOwner, string]>([
    ["a topic that is not there", {}, { stage: "later", partition: 0 }, "topics --create"],
    ["a partition too many", {}, { stage: "alert", partition: 2 }, "topics --create"],
    ["another clean-up", { "cleanup.policy": "delete" }, counterOwner, "compact"],
    ["two clean-ups", { "cleanup.policy": "compact,delete" }, counterOwner, "compact"],
    ["small batches", { "max.message.bytes": "1048588" }, counterOwner, "at least 33554432"],
  ])("refuses %s", async (_, configs, owner, expected) => {
    topicPrefix = await installation(configs);
    const store = await open();
    expect(await codeOf(() => store.open(owner))).toBe("config-invalid");
    await expect(store.open(owner)).rejects.toThrow(expected);
  });

  it("opens a topic that was made after it was missed", async () => {
    const store = await open();
    const owner = { stage: "later", partition: 0 };
    expect(await codeOf(() => store.open(owner))).toBe("config-invalid");
    const configEntries = [
      { name: "cleanup.policy", value: "compact" },
      { name: "max.message.bytes", value: String(32 * 1024 * 1024) },
    ];
    const topics = [{ topic: `${topicPrefix}state.later`, numPartitions: 1, configEntries }];
    await make(topics);
    const state = await store.open(owner);
    step(state);
    await state.commit();
    expect(expectCounted(await restored(owner))).toBe(1);
  });

  it("says what in the log is no record of a state", async () => {
    const producer = new Kafka({
      brokers: [...kafka.brokers],
      logLevel: logLevel.NOTHING,
    }).producer();
    await producer.connect();
    const topic = `${topicPrefix}state.alert`;
    await producer.send({ topic, messages: [{ key: "strange", value: "1", partition: 1 }] });
    await producer.disconnect();
    const store = await open();
    const place = `state.alert/1/0: state-corrupt: expected a key but found strange`;
    await expect(store.open({ stage: "alert", partition: 1 })).rejects.toThrow(place);
  });

  it("closes while a commit waits for a broker", async () => {
    const store = await open();
    const state = await store.open(counterOwner);
    await kafka.kill();
    step(state);
    const pending = codeOf(() => state.commit());
    await store.close();
    expect(await pending).toBe("state-unavailable");
    await kafka.start();
    expect([0, 1]).toContain(expectCounted(await restored()));
  });
});

/** Waits for something that is under way; gives up, so that a failing test can be cleaned up. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 80_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`waited too long for ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Time that must pass on the broker's own clock. */
function seconds(count: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, count * 1_000));
}
