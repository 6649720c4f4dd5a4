/**
 * @module One record of the Kafka bus by its place: a single fetch from the leader of its
 * partition, without a consumer group.
 */

import type { Cluster, Consumer } from "kafkajs";
import { UnavailableError } from "../error.ts";
import type { BusRecord, Offset, Topic } from "./bus.ts";
import { partitionAssigner } from "./kafka-assigner.ts";
import { brokerCode, KafkaClient, type KafkaConnection } from "./kafka-client.ts";
import type { FetchedRecord } from "./kafka-link.ts";
import { busRecord } from "./kafka-streams.ts";

export interface KafkaFinderSettings {
  readonly connection: KafkaConnection;
  /** Of a group that is never joined, and so never known to the brokers. */
  readonly groupId: string;
  readonly nameOf: (topic: Topic) => string;
}

/** How long a broker may wait for a record that is said to be there. */
const waitMs = 1_000;
/** However little is asked for, a broker sends the batch that holds the offset, and whole. */
const fetchBytes = 1;

/** What the decoder of kafkajs makes of a fetch. */
interface FetchAnswer {
  readonly responses: readonly {
    readonly partitions: readonly {
      readonly messages: readonly (Omit<FetchedRecord, "offset"> & {
        readonly offset: string;
        readonly isControlRecord?: boolean;
      })[];
    }[];
  }[];
}

/** One life of a connection: `open`, any number of finds, `close`. */
export class KafkaFinder {
  readonly #settings: KafkaFinderSettings;
  readonly #client: KafkaClient;
  readonly #consumer: Consumer;
  #cluster: Cluster | undefined;

  constructor(settings: KafkaFinderSettings) {
    this.#settings = settings;
    this.#client = new KafkaClient(settings.connection);
    // kafkajs hands its cluster to the assigners only, when the consumer is made.
    const assigner = partitionAssigner({
      beforeJoin: async () => undefined,
      held: () => undefined,
      ended: () => undefined,
    });
    this.#consumer = this.#client.consumer({
      groupId: settings.groupId,
      allowAutoTopicCreation: false,
      partitionAssigners: [
        (config) => {
          this.#cluster = config.cluster;
          return assigner(config);
        },
      ],
    });
  }

  /** Connects and joins no group. Rejects when no broker answers. */
  async open(): Promise<void> {
    await this.#consumer.connect();
  }

  /** Undefined when no record stands at the offset. Rejects when the leader does not answer. */
  async find(topic: Topic, partition: number, offset: Offset): Promise<BusRecord | undefined> {
    const name = this.#settings.nameOf(topic);
    const cluster = this.#cluster;
    if (cluster === undefined) throw new UnavailableError("kafkajs gave no cluster");
    await cluster.addMultipleTargetTopics([name]);
    const [nodeId] = Object.keys(cluster.findLeaderForPartitions(name, [partition]));
    if (nodeId === undefined) throw new UnavailableError(`no leader of ${name}/${partition}`);
    const broker = await cluster.findBroker({ nodeId });
    let answer: FetchAnswer;
    try {
      const partitions = [{ partition, fetchOffset: String(offset), maxBytes: fetchBytes }];
      answer = await broker.fetch({
        maxWaitTime: waitMs,
        minBytes: 1,
        maxBytes: fetchBytes,
        topics: [{ topic: name, partitions }],
      });
    } catch (error) {
      // Retention was quicker than the question.
      if (brokerCode(error) === "OFFSET_OUT_OF_RANGE") return undefined;
      throw error;
    }
    for (const { partitions } of answer.responses) {
      for (const message of partitions.flatMap(({ messages }) => messages)) {
        if (Number(message.offset) !== offset || message.isControlRecord === true) continue;
        return busRecord(topic, partition, { ...message, offset });
      }
    }
    return undefined;
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}
