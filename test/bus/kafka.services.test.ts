// The Kafka bus against a real broker.

import { Kafka, logLevel } from "kafkajs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BusTrouble } from "../../src/bus/bus.ts";
import { openKafkaBus } from "../../src/bus/kafka.ts";
import { realClock } from "../../src/clock.ts";
import { busContract, codeOf, record, text, turn, until, Watcher } from "../contract/bus.ts";
import { type KafkaService, startKafka } from "../services/kafka.ts";

let kafka: KafkaService;
let places = 0;

beforeAll(async () => {
  kafka = await startKafka();
});

afterAll(async () => {
  await kafka?.stop();
});

busContract("kafka", {
  eager: true,
  place: async () => {
    const topicPrefix = `place-${places++}.`;
    return {
      open: (options) =>
        openKafkaBus({
          ...options,
          brokers: kafka.brokers,
          clientId: "test",
          topicPrefix, // and no retention: the virtual clock stamps records of long ago
        }),
      remove: async () => undefined,
    };
  },
});

describe("kafka groups", () => {
  it("leave members what they had when one joins or leaves", async () => {
    const topicPrefix = `place-${places++}.`;
    const bus = await openKafkaBus({
      ...{ brokers: kafka.brokers, clientId: "test", topicPrefix, partitions: 6 },
      ...{ clock: realClock },
    });
    try {
      const join = async () => {
        const watcher = new Watcher();
        const settings = { group: "stage", topics: ["events", "alerts"] } as const;
        return { watcher, consumer: await bus.consume(settings, watcher) };
      };
      /** What a member has now: assigned and not revoked since. */
      const held = ({ watcher }: { watcher: Watcher }) => {
        const now = new Set<string>();
        for (const [act, place] of watcher.log.map((line) => line.split(" ") as [string, string])) {
          if (act === "assigned") now.add(place);
          if (act === "revoked") now.delete(place);
        }
        return [...now].filter((place) => place.startsWith("events/")).sort();
      };
      const settled = async (members: { watcher: Watcher }[], each: number) => {
        await until(() => members.every((member) => held(member).length === each));
      };
      const one = await join();
      await settled([one], 6);
      const two = await join();
      await settled([one, two], 3);
      const before = [held(one), held(two)];
      const three = await join();
      await settled([one, two, three], 2);
      expect(before[0]).toEqual(expect.arrayContaining(held(one)));
      expect(before[1]).toEqual(expect.arrayContaining(held(two)));
      const [ones, twos] = [held(one), held(two)];
      await three.consumer.stop();
      await settled([one, two], 3);
      expect(held(one)).toEqual(expect.arrayContaining(ones));
      expect(held(two)).toEqual(expect.arrayContaining(twos));
    } finally {
      await bus.close();
    }
  });

  it("of one that shares with nobody commit nothing, and are forgotten", async () => {
    const topicPrefix = `place-${places++}.`;
    const bus = await openKafkaBus({
      ...{ brokers: kafka.brokers, clientId: "test", topicPrefix, partitions: 2 },
      ...{ clock: realClock },
    });
    const admin = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).admin();
    try {
      await admin.connect();
      const groups = async () => {
        const { groups: all } = await admin.listGroups();
        return all.map(({ groupId }) => groupId).filter((id) => id.startsWith(topicPrefix));
      };
      const whole = { group: "table", whole: true, topics: ["events"] } as const;
      await bus.append([record("k", "v")]);
      const consumer = await bus.consume(whole, new Watcher());
      await consumer.drained();
      const [groupId = ""] = await groups();
      expect(groupId).toMatch(/table\.[0-9a-f-]{36}$/);
      await consumer.stop();
      const topics = [`${topicPrefix}events`];
      const [found] = await admin.fetchOffsets({ groupId, topics });
      expect(found?.partitions.map(({ offset }) => offset)).toEqual(["-1", "-1"]);
      while ((await groups()).length > 0) await turn(); // the broker of the tests looks each second
    } finally {
      await admin.disconnect();
      await bus.close();
    }
  });
});

describe("kafka records by their place", () => {
  it("are found one by one, until retention has let them go, and the loss is told", async () => {
    const topicPrefix = `place-${places++}.`;
    const troubles: BusTrouble[] = [];
    const bus = await openKafkaBus({
      ...{ brokers: kafka.brokers, clientId: "test", topicPrefix, partitions: 2 },
      ...{ clock: realClock, onTrouble: (trouble) => void troubles.push(trouble) },
    });
    const admin = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).admin();
    try {
      // One batch on the brokers, then one of its own.
      await bus.append(["0", "1", "2", "3"].map((value) => record("k", value)));
      await bus.append([record("k", "4")]);
      const partition = (await bus.end("events", 0)) > 0 ? 0 : 1;
      const found = async (offset: number) => {
        const one = await bus.find("events", partition, offset);
        return one && [one.topic, one.partition, one.offset, one.key, text(one.value)];
      };
      expect(await bus.first("events", partition)).toBe(0);
      expect(await bus.first("events", 1 - partition)).toBe(0);
      expect(await found(2)).toEqual(["events", partition, 2, "k", "2"]);
      expect(await found(4)).toEqual(["events", partition, 4, "k", "4"]);
      for (const offset of [5, -1, 0.5, Number.NaN]) expect(await found(offset)).toBeUndefined();
      expect(await bus.find("events", 1 - partition, 0)).toBeUndefined();
      expect(await codeOf(bus.find("events", 2, 0))).toContain("RangeError");

      const topic = `${topicPrefix}events`;
      await admin.connect();
      expect((await admin.listGroups()).groups.map(({ groupId }) => groupId)).not.toContain(
        `${topicPrefix}find`,
      );
      await admin.fetchTopicOffsets(topic); // or kafkajs does not find the leader
      await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: "3" }] });
      expect(await bus.first("events", partition)).toBe(3);
      expect(await found(2)).toBeUndefined();
      expect(await found(3)).toEqual(["events", partition, 3, "k", "3"]);

      const seen = new Watcher(new Map([[`events/${partition}`, 1]]));
      const consumer = await bus.consume({ group: "stage", topics: ["events"] }, seen);
      await consumer.drained();
      expect(seen.texts).toEqual(["k=3", "k=4"]);
      expect(troubles.map(({ lost, retryAfterMs }) => [lost, retryAfterMs])).toEqual([[2, 0]]);
      expect(await codeOf(Promise.reject(troubles[0]!.error))).toBe("bus-records-lost");
    } finally {
      await admin.disconnect();
      await bus.close();
    }
    expect(await codeOf(bus.first("events", 0))).toBe("bus-unavailable");
    expect(await codeOf(bus.find("events", 0, 0))).toBe("bus-unavailable");
  });
});
