/** @module The topics of the bus on Kafka: made, checked, and asked how far they reach. */

import { type Admin, ConfigResourceTypes, type ITopicConfig } from "kafkajs";
import { dayMs, type EpochMs, realClock, secondMs } from "../clock.ts";
import { ServiceError } from "../error.ts";
import { type Offset, partitionsOf, type Topic, topics } from "./bus.ts";
import { KafkaClient, type KafkaConnection, realPause, unavailable } from "./kafka-client.ts";

/** What is told of a partition: its oldest record kept, and the offset after its newest. */
export interface Reach {
  readonly first: Offset;
  readonly end: Offset;
}

export interface KafkaTopicsSettings {
  readonly connection: KafkaConnection;
  readonly topicPrefix: string;
  /** Of each divided topic; absent means what the brokers have, or 4. */
  readonly partitions?: number;
  /** Of topics that are made; absent means the brokers' default. */
  readonly replicationFactor?: number;
  /** Of topics that are made; absent means 30 days for what later joins need, else 7. */
  readonly retentionMs?: number;
}

const partitionsDefault = 4;
const partitionsMax = 4096;
/** The largest record, and with it the largest batch of records that is sent. */
export const recordBytesMax: number = 16 * 1024 * 1024;
/** What a broker must take: a record of the largest size, its key, its frame and the batch's. */
const batchBytesNeeded = recordBytesMax + 1024 * 1024;
const madeMsMax = 30 * secondMs;
const attemptsMax = 4;
const attemptMs = 250;

/** Facts that are joined to events of weeks later, and what must not get lost, stay longer. */
const keptLong: ReadonlySet<Topic> = new Set(["builds", "lineage", "pages", "dead-letters"]);

/** The bus's view of the brokers beside producing and consuming. */
export class KafkaTopics {
  readonly #settings: KafkaTopicsSettings;
  readonly #client: KafkaClient;
  readonly #admin: Admin;
  #partitions = 0;

  constructor(settings: KafkaTopicsSettings) {
    this.#settings = settings;
    this.#client = new KafkaClient(settings.connection);
    this.#admin = this.#client.kafka.admin();
    this.#admin.on("admin.network.request_timeout", () => this.#client.dropSilent());
  }

  /** Of each divided topic; known after `open`. */
  get partitions(): number {
    return this.#partitions;
  }

  /** Known after `open`. */
  partitionsOf(topic: Topic): number {
    return partitionsOf(topic, this.#partitions);
  }

  nameOf(topic: Topic): string {
    return `${this.#settings.topicPrefix}${topic}`;
  }

  /** The topic of a name on the brokers; undefined when it is not one of ours. */
  topicOf(name: string): Topic | undefined {
    return topics.find((topic) => this.nameOf(topic) === name);
  }

  /**
   * Connects, makes the topics that are missing and checks the others. Rejects with ServiceError:
   * bus-unavailable, or config-invalid when a topic is not what the bus needs.
   */
  async open(): Promise<void> {
    const place = this.#place;
    const asked = this.#settings.partitions;
    if (asked !== undefined && !(Number.isInteger(asked) && asked >= 1 && asked <= partitionsMax)) {
      throw invalid(place, `partitions from 1 to ${partitionsMax}`, String(asked));
    }
    try {
      await this.#admin.connect();
      await this.#ensureTopics(asked);
    } catch (error) {
      await this.close();
      throw unavailable(place, error);
    }
  }

  /** Each partition of a topic, by its number. Rejects with bus-unavailable. */
  async reach(topic: Topic): Promise<ReadonlyMap<number, Reach>> {
    const found = await this.#asked(() => this.#admin.fetchTopicOffsets(this.nameOf(topic)));
    return new Map(
      found.map(({ partition, low, high }) => {
        return [partition, { first: Number(low), end: Number(high) }];
      }),
    );
  }

  /** How far a group has said it is, as `topic/partition`; absent where it has not said. */
  async committed(groupId: string, of: readonly Topic[]): Promise<ReadonlyMap<string, Offset>> {
    const names = of.map((topic) => this.nameOf(topic));
    const found = await this.#asked(() => this.#admin.fetchOffsets({ groupId, topics: names }));
    const positions = new Map<string, Offset>();
    for (const { topic: name, partitions } of found) {
      for (const { partition, offset } of partitions) {
        const position = Number(offset);
        if (position >= 0) positions.set(`${this.topicOf(name)}/${partition}`, position);
      }
    }
    return positions;
  }

  close(): Promise<void> {
    return this.#client.close(() => this.#admin.disconnect());
  }

  get #place(): string {
    return `kafka ${this.#settings.connection.brokers.join(",")}`;
  }

  /** A question without effect may be asked again: after a restart the first meets a dead line. */
  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await ask();
      } catch (error) {
        if (attempt === attemptsMax) throw unavailable(this.#place, error);
        await realPause(attemptMs);
      }
    }
  }

  async #ensureTopics(asked: number | undefined): Promise<void> {
    const names = new Set(await this.#admin.listTopics());
    const known = topics.filter((topic) => names.has(this.nameOf(topic)));
    const counts = await this.#counts(known);
    const partitions = asked ?? Math.max(...counts.values(), 0);
    this.#partitions = partitions > 0 ? partitions : partitionsDefault;
    const missing = topics.filter((topic) => !known.includes(topic));
    if (missing.length > 0) {
      const made = missing.map((topic) => this.#topicConfig(topic));
      try {
        // kafkajs would wait for leaders and may then reject although the topics were made.
        await this.#admin.createTopics({ topics: made, waitForLeaders: false });
      } catch (error) {
        // Another process may have been quicker; what is still missing shows below.
        if (!isExists(error)) throw error;
      }
    }
    await this.#checkCounts();
    await this.#checkConfigs();
  }

  async #counts(of: readonly Topic[]): Promise<ReadonlyMap<string, number>> {
    if (of.length === 0) return new Map();
    const wanted = of.map((topic) => this.nameOf(topic));
    const { topics: found } = await this.#admin.fetchTopicMetadata({ topics: wanted });
    return new Map(
      found.map(({ name, partitions }) => {
        const led = partitions.filter(({ leader }) => leader >= 0);
        return [name, led.length === partitions.length ? partitions.length : 0];
      }),
    );
  }

  #topicConfig(topic: Topic): ITopicConfig {
    const { retentionMs, replicationFactor } = this.#settings;
    const kept = retentionMs ?? (keptLong.has(topic) ? 30 * dayMs : 7 * dayMs);
    const entries = {
      // Never compact: each record is an event or a fact of its own, not the newest of its key.
      "cleanup.policy": "delete",
      "retention.ms": String(kept),
      "max.message.bytes": String(batchBytesNeeded),
      // appendedAt is our clock's; one that runs ahead must not stop the intake.
      "message.timestamp.after.max.ms": "9223372036854775807",
    };
    return {
      topic: this.nameOf(topic),
      numPartitions: this.partitionsOf(topic),
      replicationFactor: replicationFactor ?? -1,
      configEntries: Object.entries(entries).map(([name, value]) => ({ name, value })),
    };
  }

  /** Waits for leaders, then wants every topic to have its number of partitions. */
  async #checkCounts(): Promise<void> {
    const until: EpochMs = realClock.now() + madeMsMax;
    for (;;) {
      const late = realClock.now() > until;
      try {
        const counts = await this.#counts(topics);
        if (late || [...counts.values()].every((count) => count > 0)) {
          for (const topic of topics) {
            const name = this.nameOf(topic);
            const [wanted, count] = [this.partitionsOf(topic), counts.get(name) ?? 0];
            if (count === wanted) continue;
            const expected = `${wanted} partitions, each with a leader`;
            throw invalid(`kafka topic ${name}`, expected, String(count));
          }
          return;
        }
      } catch (error) {
        if (late || error instanceof ServiceError) throw error;
      }
      await realPause(attemptMs);
    }
  }

  async #checkConfigs(): Promise<void> {
    const configNames = ["cleanup.policy", "max.message.bytes"];
    const { resources } = await this.#admin.describeConfigs({
      includeSynonyms: false,
      resources: topics.map((topic) => {
        return { type: ConfigResourceTypes.TOPIC, name: this.nameOf(topic), configNames };
      }),
    });
    for (const { resourceName, configEntries } of resources) {
      const place = `kafka topic ${resourceName}`;
      const entries = new Map(configEntries.map((entry) => [entry.configName, entry.configValue]));
      const policy = entries.get("cleanup.policy") ?? "";
      if (policy !== "delete") throw invalid(`${place}: cleanup.policy`, "delete", policy);
      const bytes = Number(entries.get("max.message.bytes"));
      if (bytes >= batchBytesNeeded) continue;
      throw invalid(`${place}: max.message.bytes`, `at least ${batchBytesNeeded}`, String(bytes));
    }
  }
}

function invalid(place: string, expected: string, found: string): ServiceError {
  return new ServiceError({ code: "config-invalid", place, expected, found });
}

function isExists(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const parts: readonly unknown[] =
    "errors" in error && Array.isArray(error.errors) ? error.errors : [error];
  return parts.every((part) => {
    return part instanceof Error && "type" in part && part.type === "TOPIC_ALREADY_EXISTS";
  });
}
