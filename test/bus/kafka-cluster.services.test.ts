// Three brokers, three copies of each record: what one of them, or two, can fail without.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Bus } from "../../src/bus/bus.ts";
import { openKafkaBus } from "../../src/bus/kafka.ts";
import { KafkaClient } from "../../src/bus/kafka-client.ts";
import { realClock } from "../../src/clock.ts";
import { codeOf, record, text, turn, Watcher } from "../contract/bus.ts";
import { type KafkaCluster, startKafkaCluster } from "../services/kafka.ts";

let kafka: KafkaCluster;

beforeAll(async () => {
  kafka = await startKafkaCluster();
});

afterAll(async () => {
  await kafka?.stop();
});

function open(topicPrefix: string, appendMsMax: number): Promise<Bus> {
  const connection = { brokers: kafka.brokers, clientId: "test" };
  const settings = { topicPrefix, partitions: 3, replicationFactor: 3, appendMsMax };
  return openKafkaBus({ ...connection, ...settings, clock: realClock });
}

async function leaderOf(topic: string): Promise<number> {
  const admin = new KafkaClient({ brokers: kafka.brokers, clientId: "test" }).kafka.admin();
  await admin.connect();
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  await admin.disconnect();
  return topics[0]!.partitions.find(({ partitionId }) => partitionId === 0)!.leader;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await turn();
}

/** Numbered records into all partitions, one call after the other, until told to stop. */
function writing(bus: Bus) {
  const acknowledged: string[] = [];
  let stopped = false;
  let next = 0;
  const done = (async () => {
    while (!stopped) {
      const call = [0, 1, 2].map((partition) => {
        return { ...record(`p${partition}`, String(next++).padStart(8, "0")), partition };
      });
      await bus.append(call);
      acknowledged.push(...call.map(({ key, value }) => `${key}=${text(value)}`));
    }
  })();
  done.catch(() => undefined);
  const stop = () => {
    stopped = true;
    return done;
  };
  return { acknowledged, stop };
}

describe("kafka bus on three brokers", () => {
  it("loses nothing when a leader is killed, keeps the order, and goes on", async () => {
    const bus = await open("leader.", 120_000);
    const seen = new Watcher();
    const consumer = await bus.consume({ group: "stage", topics: ["events"] }, seen);
    const { acknowledged, stop } = writing(bus);
    await until(() => acknowledged.length > 300);
    const leader = await leaderOf("leader.events");
    await kafka.kill(leader);
    const before = acknowledged.length;
    await until(() => acknowledged.length > before + 300);
    await stop();
    await consumer.drained();
    const found = new Set(seen.texts);
    expect(acknowledged.filter((line) => !found.has(line))).toEqual([]);
    for (const lines of Map.groupBy(found, (line) => line.split("=")[0]).values()) {
      expect(lines).toEqual([...lines].sort());
    }
    await bus.close();
    await kafka.start(leader);
  });

  it("takes nothing in while only one copy could be kept, and goes on after that", async () => {
    const bus = await open("insync.", 10_000);
    const each = [0, 1, 2].map((partition) => ({ ...record("k", "v"), partition }));
    await bus.append(each);
    const dead = [1, 2, 3].filter((node) => node !== 3);
    await Promise.all(dead.map((node) => kafka.kill(node)));
    expect(await codeOf(bus.append(each))).toBe("bus-unavailable");
    await Promise.all(dead.map((node) => kafka.start(node)));
    let code = "";
    while (code !== "resolved") code = await codeOf(bus.append(each));
    const seen = new Watcher();
    const consumer = await bus.consume({ group: "stage", topics: ["events"] }, seen);
    await consumer.drained();
    for (const partition of [0, 1, 2]) {
      const own = seen.records.filter((record) => record.partition === partition);
      expect(own.length).toBeGreaterThanOrEqual(2);
      expect(own.map(({ offset }) => offset)).toEqual([...own.keys()]);
    }
    await bus.close();
  });
});
