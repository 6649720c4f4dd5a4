/**
 * @module The bus of several machines: the topics of the journey on Apache Kafka.
 *
 * An append resolves after every in-sync replica has it. Records survive what the topics'
 * replication survives; on a cluster, give them three replicas and two in sync. Where the contract
 * says all or nothing, Kafka gives less to a caller that was rejected: some of the records may be
 * on the bus, as they may be when the process dies before its append resolves.
 */

import { randomUUID } from "node:crypto";
import { type Clock, secondMs } from "../clock.ts";
import type {
  Bus,
  BusRecord,
  Consumer,
  ConsumerHandler,
  ConsumerSettings,
  NewRecord,
  Offset,
  OnTrouble,
  Topic,
} from "./bus.ts";
import { KafkaAppends } from "./kafka-appends.ts";
import { inTime, type KafkaConnection, placeOf, realPause, unavailable } from "./kafka-client.ts";
import { KafkaConsumer } from "./kafka-consumer.ts";
import { KafkaFinder } from "./kafka-finder.ts";
import { KafkaProducer } from "./kafka-producer.ts";
import { KafkaTopics, type Reach } from "./kafka-topics.ts";
import type { Retention } from "./retention.ts";
import { checkPartition, closedError } from "./source.ts";

export interface KafkaBusSettings extends KafkaConnection {
  /** Before the names of topics and groups on the brokers; `pipewarden.` when absent. */
  readonly topicPrefix?: string;
  /** Of each divided topic. Fixed when they are made: absent means what they have, or 4. */
  readonly partitions?: number;
  /** Of topics that are made; absent means 3, or as many as there are brokers. */
  readonly replicationFactor?: number;
  /** By age, for topics that are made. Kafka does not ask what has been handled. */
  readonly retention?: Retention;
  readonly clock: Clock;
  /** The most bytes of appends waiting for the brokers; 64 MiB when absent. */
  readonly backlogMax?: number;
  /** An append that no broker acknowledges for this long is rejected; 30 s when absent. */
  readonly appendMsMax?: number;
  /** A consumer silent for this long loses its partitions to the others; 10 s when absent. */
  readonly sessionMs?: number;
  readonly onTrouble?: OnTrouble;
}

const topicPrefixDefault = "pipewarden.";
const backlogMaxDefault = 64 * 1024 * 1024;
const appendMsMaxDefault = 30 * secondMs;
const sessionMsDefault = 10_000;
const closeMsMax = 10_000;
const findMsMax = 20_000;

/**
 * Connects, makes missing topics and checks the others. Rejects with ServiceError: bus-unavailable
 * when no broker answers, or config-invalid when a topic is not what the bus needs.
 */
export async function openKafkaBus(settings: KafkaBusSettings): Promise<Bus> {
  const topics = new KafkaTopics({
    connection: settings,
    topicPrefix: settings.topicPrefix ?? topicPrefixDefault,
    ...(settings.partitions === undefined ? {} : { partitions: settings.partitions }),
    ...(settings.retention === undefined ? {} : { retention: settings.retention }),
    ...(settings.replicationFactor === undefined
      ? {}
      : { replicationFactor: settings.replicationFactor }),
  });
  await topics.open();
  const producer = new KafkaProducer(settings);
  try {
    await producer.open();
  } catch (error) {
    await topics.close();
    throw error;
  }
  return new KafkaBus(settings, topics, producer);
}

class KafkaBus implements Bus {
  readonly #settings: KafkaBusSettings;
  readonly #topics: KafkaTopics;
  readonly #producer: KafkaProducer;
  readonly #appends: KafkaAppends;
  readonly #consumers = new Set<KafkaConsumer>();
  readonly #place: string;
  #closed = false;
  #closing: Promise<void> | undefined;

  constructor(settings: KafkaBusSettings, topics: KafkaTopics, producer: KafkaProducer) {
    this.#settings = settings;
    this.#topics = topics;
    this.#producer = producer;
    this.#place = placeOf(settings);
    this.#appends = new KafkaAppends({
      place: this.#place,
      partitions: topics.partitions,
      backlogMax: settings.backlogMax ?? backlogMaxDefault,
      waitMsMax: settings.appendMsMax ?? appendMsMaxDefault,
      nameOf: (topic) => topics.nameOf(topic),
      send: (batch) => producer.send(batch),
    });
  }

  async append(records: readonly NewRecord[]): Promise<void> {
    if (this.#closed) throw closedError(this.#place);
    return this.#appends.append(records, this.#settings.clock.now());
  }

  async consume(settings: ConsumerSettings, handler: ConsumerHandler): Promise<Consumer> {
    if (this.#closing !== undefined) throw closedError(this.#place);
    const { topicPrefix, sessionMs, clock, onTrouble } = this.#settings;
    const own = settings.whole === true ? `.${randomUUID()}` : "";
    const consumer = new KafkaConsumer({
      connection: this.#settings,
      topics: this.#topics,
      groupId: `${topicPrefix ?? topicPrefixDefault}${settings.group}${own}`,
      consumer: settings,
      handler,
      sessionMs: sessionMs ?? sessionMsDefault,
      clock,
      onTrouble: onTrouble ?? (() => undefined),
      settled: () => this.#appends.settled(),
    });
    this.#consumers.add(consumer);
    await consumer.start();
    return {
      drained: () => consumer.drained(),
      behind: (topic, partition) => consumer.behind(topic, partition),
      stop: async () => {
        await consumer.stop();
        this.#consumers.delete(consumer);
      },
    };
  }

  partitions(topic: Topic): number {
    return this.#topics.partitionsOf(topic);
  }

  async first(topic: Topic, partition: number): Promise<Offset> {
    return (await this.#reach(topic, partition)).first;
  }

  async end(topic: Topic, partition: number): Promise<Offset> {
    return (await this.#reach(topic, partition)).end;
  }

  /** Over a connection of its own, as it is rare: what is consumed never waits for it. */
  async find(topic: Topic, partition: number, offset: Offset): Promise<BusRecord | undefined> {
    const { first, end } = await this.#reach(topic, partition);
    if (!Number.isSafeInteger(offset) || offset < first || offset >= end) return undefined;
    const finder = new KafkaFinder({
      connection: this.#settings,
      groupId: `${this.#settings.topicPrefix ?? topicPrefixDefault}find`,
      nameOf: (of) => this.#topics.nameOf(of),
    });
    try {
      const found = finder.open().then(() => finder.find(topic, partition, offset));
      return await inTime(found, findMsMax);
    } catch (error) {
      throw unavailable(this.#place, error);
    } finally {
      await finder.close();
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #reach(topic: Topic, partition: number): Promise<Reach> {
    if (this.#closed) throw closedError(this.#place);
    checkPartition(topic, partition, this.#topics.partitionsOf(topic));
    const reaches = await this.#topics.reach(topic);
    return reaches.get(partition) ?? { first: 0, end: 0 };
  }

  async #close(): Promise<void> {
    // Consumers first: a handler that is just running may still append what it made of its batch.
    await Promise.all([...this.#consumers].map((consumer) => consumer.stop()));
    this.#closed = true;
    // Without brokers what is pending would never settle: it is rejected, and so not lost.
    await Promise.race([this.#appends.settled(), realPause(closeMsMax)]);
    await this.#producer.close();
    await this.#appends.settled();
    await this.#topics.close();
  }
}
