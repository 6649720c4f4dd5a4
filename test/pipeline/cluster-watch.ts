/** @module What brokers tell of a cluster of services: who has what, and how far each stage is. */

import { AssignerProtocol } from "kafkajs";
import type { Topic } from "../../src/bus/bus.ts";
import { KafkaClient } from "../../src/bus/kafka-client.ts";

/** Each stage whose processes share its partitions, and what it reads. */
const stages: ReadonlyMap<string, readonly Topic[]> = new Map([
  ["detect", ["events"]],
  ["correlate", ["matches"]],
  ["notify", ["alerts"]],
  ["deliver", ["pages"]],
]);

export interface ClusterWatch {
  /** Client ids of the group's members that have partitions, by `topic/partition`. */
  ownersOf(stage: string): Promise<ReadonlyMap<string, string>>;
  /** Records on the bus that the shared stages have not finished with, by stage. */
  behind(): Promise<ReadonlyMap<string, number>>;
  /** Offsets of the next records of a topic, by partition. */
  ends(topic: Topic): Promise<ReadonlyMap<number, number>>;
  /** Reads a topic as it is now: the number after the marker in each record that has one. */
  numbers(topic: Topic, marker: string, each: (number: number) => void): Promise<void>;
  close(): Promise<void>;
}

export interface ClusterWatchSettings {
  readonly brokers: readonly string[];
  readonly topicPrefix: string;
}

export async function watchCluster(settings: ClusterWatchSettings): Promise<ClusterWatch> {
  const { topicPrefix } = settings;
  const client = new KafkaClient({ brokers: settings.brokers, clientId: "watch" });
  // Patient: brokers are killed while it watches.
  const retry = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 60 };
  const admin = client.admin({ retry });
  await admin.connect();

  async function ends(topic: Topic): Promise<ReadonlyMap<number, number>> {
    const found = await admin.fetchTopicOffsets(`${topicPrefix}${topic}`);
    return new Map(found.map(({ partition, high }) => [partition, Number(high)]));
  }

  async function behindOf(stage: string, topics: readonly Topic[]): Promise<number> {
    const groupId = `${topicPrefix}${stage}`;
    let sum = 0;
    for (const topic of topics) {
      // Read before the ends: what comes in between counts as behind.
      const [saved] = await admin.fetchOffsets({ groupId, topics: [`${topicPrefix}${topic}`] });
      const offsets = new Map(
        saved?.partitions.map(({ partition, offset }) => [partition, Math.max(0, Number(offset))]),
      );
      for (const [partition, end] of await ends(topic)) {
        sum += end - (offsets.get(partition) ?? 0);
      }
    }
    return sum;
  }

  return {
    ends,
    behind: async () => {
      const counts = new Map<string, number>();
      for (const [stage, topics] of stages) counts.set(stage, await behindOf(stage, topics));
      return counts;
    },
    ownersOf: async (stage) => {
      const { groups } = await admin.describeGroups([`${topicPrefix}${stage}`]);
      const owners = new Map<string, string>();
      for (const { clientId, memberAssignment } of groups[0]?.members ?? []) {
        const { assignment = {} } =
          AssignerProtocol.MemberAssignment.decode(memberAssignment) ?? {};
        for (const [topic, partitions] of Object.entries(assignment)) {
          const name = topic.slice(topicPrefix.length);
          for (const partition of partitions) owners.set(`${name}/${partition}`, clientId);
        }
      }
      return owners;
    },
    numbers: async (topic, marker, each) => {
      const left = await ends(topic);
      await readAll(settings, { topic: `${topicPrefix}${topic}`, left }, (value) => {
        const at = value.indexOf(marker);
        if (at >= 0) each(Number.parseInt(value.toString("latin1", at + marker.length), 10));
      });
    },
    close: () => client.close(),
  };
}

interface Range {
  readonly topic: string;
  /** Where each partition ends, for this purpose. */
  readonly left: ReadonlyMap<number, number>;
}

/** Every record before the ends, with a client that knows nothing of the bus. */
async function readAll(
  { brokers }: ClusterWatchSettings,
  { topic, left }: Range,
  each: (value: Buffer) => void,
): Promise<void> {
  const client = new KafkaClient({ brokers, clientId: "reader" });
  const consumer = client.consumer({ groupId: `reader-${topic}`, maxWaitTimeInMs: 100 });
  const open = new Map([...left].filter(([, end]) => end > 0));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  if (open.size === 0) resolve();
  consumer.on("consumer.crash", ({ payload }) => reject(payload.error));
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await consumer.run({
      eachBatch: async ({ batch }) => {
        const { partition, messages } = batch;
        for (const { value } of messages) if (value !== null) each(value);
        if (Number(batch.lastOffset()) + 1 >= (open.get(partition) ?? 0)) open.delete(partition);
        if (open.size === 0) resolve();
      },
    });
    await promise;
  } finally {
    await client.close();
  }
}
