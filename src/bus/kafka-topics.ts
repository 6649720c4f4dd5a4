/** @module The topics of the bus on Kafka: made, checked, and asked how far they reach. */

import type { Admin } from "kafkajs";
import { type EpochMs, realClock, secondMs } from "../clock.ts";
import { ServiceError } from "../error.ts";
import { type Offset, partitionsOf, type Topic, topics } from "./bus.ts";
import {
  KafkaClient,
  type KafkaConnection,
  placeOf,
  realPause,
  unavailable,
} from "./kafka-client.ts";
import { topicSpecs } from "./kafka-specs.ts";
import {
  createMissing,
  firstNeeded,
  inspectTopics,
  partsOf,
  refreshLeaders,
  type TopicState,
} from "./kafka-topic-check.ts";
import type { Retention } from "./retention.ts";

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
  /** Of topics that are made; absent means 3, or as many as there are brokers. */
  readonly replicationFactor?: number;
  /** By age, for topics that are made. */
  readonly retention?: Retention;
}

const partitionsDefault = 4;
export const partitionsMax = 4096;
const madeMsMax = 30 * secondMs;
const attemptsMin = 4;
const askedMsMax = 10 * secondMs;
const attemptMs = 250;

/** The bus's view of the brokers beside producing and consuming. */
export class KafkaTopics {
  readonly #settings: KafkaTopicsSettings;
  readonly #client: KafkaClient;
  readonly #admin: Admin;
  /** By the names on the brokers. */
  readonly #topics: ReadonlyMap<string, Topic>;
  #partitions = 0;

  constructor(settings: KafkaTopicsSettings) {
    this.#settings = settings;
    this.#client = new KafkaClient(settings.connection);
    this.#admin = this.#client.admin();
    this.#topics = new Map(topics.map((topic) => [this.nameOf(topic), topic]));
  }

  /** Of each divided topic; known once `open` or `connect` has resolved, 0 before. */
  get partitions(): number {
    return this.#partitions;
  }

  get admin(): Admin {
    return this.#admin;
  }

  /** Of any topic; known when `partitions` is. */
  partitionsOf(topic: Topic): number {
    return partitionsOf(topic, this.#partitions);
  }

  nameOf(topic: Topic): string {
    return `${this.#settings.topicPrefix}${topic}`;
  }

  /** The topic of a name on the brokers; undefined when it is not one of ours. */
  topicOf(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  /**
   * Connects, makes the topics that are missing and checks the others. Rejects with ServiceError:
   * bus-unavailable, or config-invalid when a topic is not what the bus needs.
   */
  async open(): Promise<void> {
    await this.connect();
    try {
      const found = await this.inspect();
      await createMissing(this.#admin, found);
      const fault = firstNeeded(isMade(found) ? found : await this.until(isMade));
      if (fault !== undefined) throw fault;
    } catch (error) {
      await this.close();
      throw unavailable(this.place, partsOf(error)[0]);
    }
  }

  /** Changes nothing. Rejects as `open` does, and closes then. */
  async connect(): Promise<void> {
    const asked = this.#settings.partitions;
    if (asked !== undefined && !(Number.isInteger(asked) && asked >= 1 && asked <= partitionsMax)) {
      const expected = `partitions from 1 to ${partitionsMax}`;
      const found = String(asked);
      throw new ServiceError({ code: "config-invalid", place: this.place, expected, found });
    }
    try {
      await this.#admin.connect();
      this.#partitions = asked ?? ((await this.#most()) || partitionsDefault);
    } catch (error) {
      await this.close();
      throw unavailable(this.place, error);
    }
  }

  /** Every topic as it is, those of states included. Rejects as kafkajs does. */
  inspect(): Promise<readonly TopicState[]> {
    return inspectTopics(
      this.#admin,
      topicSpecs({ ...this.#settings, partitions: this.partitions }),
    );
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
    return this.#client.close();
  }

  get place(): string {
    return placeOf(this.#settings.connection);
  }

  /** A question without effect may be asked again: after a restart the first meets a dead line. */
  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    const end: EpochMs = realClock.now() + askedMsMax;
    for (let attempt = 1; ; attempt++) {
      try {
        return await ask();
      } catch (error) {
        const over = attempt >= attemptsMin && realClock.now() > end;
        if (over) throw unavailable(this.place, error);
        await realPause(attemptMs);
        // Or kafkajs goes on asking the one that led the partition until it looks by itself.
        await refreshLeaders(this.#admin, this.nameOf("events")).catch(() => undefined);
      }
    }
  }

  /** The most partitions that a topic of the journey has; 0 when there is none. */
  async #most(): Promise<number> {
    const names = new Set(await this.#admin.listTopics());
    const known = [...this.#topics.keys()].filter((name) => names.has(name));
    if (known.length === 0) return 0;
    const { topics: found } = await this.#admin.fetchTopicMetadata({ topics: known });
    return Math.max(...found.map(({ partitions }) => partitions.length));
  }

  /**
   * The topics once they are so, or when that has taken too long: what brokers are told, they do a
   * little later. Rejects as kafkajs does.
   */
  async until(holds: (states: readonly TopicState[]) => boolean): Promise<readonly TopicState[]> {
    const end: EpochMs = realClock.now() + madeMsMax;
    for (;;) {
      const late = realClock.now() > end;
      try {
        const states = await this.inspect();
        if (late || holds(states)) return states;
      } catch (error) {
        if (late || error instanceof ServiceError) throw error;
      }
      await realPause(attemptMs);
    }
  }
}

/** Whether every topic is there, and each of its partitions has a leader. */
export function isMade(states: readonly TopicState[]): boolean {
  return states.every(({ partitions, faults }) => {
    return partitions !== undefined && !faults.some(({ what }) => what === "leaders");
  });
}
