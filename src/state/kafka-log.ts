/**
 * @module Partitions of changelog topics on Kafka: single produces and fetches at the leader,
 * without groups, retries or sequence numbers.
 *
 * kafkajs's producer repeats a batch by itself when an answer is lost; the owner of a changelog has
 * to know of each attempt, so the requests are sent here one by one. All partitions share one
 * client and its two connections to each broker. Whatever goes wrong on a connection ends that
 * client's life, and the next request begins another: its sockets may be dead.
 */

import type { Broker, Cluster } from "kafkajs";
import type { Offset } from "../bus/bus.ts";
import {
  brokerCode,
  KafkaClient,
  type KafkaConnection,
  placeOf,
  rootOf,
} from "../bus/kafka-client.ts";
import { stateBatchBytesMax } from "../bus/kafka-specs.ts";
import { foundTopics } from "../bus/kafka-topic-check.ts";
import { ServiceError, shown, UnavailableError } from "../error.ts";
import { NotAppended, type PartitionLog } from "./kafka-batch.ts";
import { type LogRecord, parseStamp, type StoredRecord, stampText } from "./kafka-changelog.ts";

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** How long the brokers may take to copy a batch; shorter than a request may take. */
const copyMsMax = 6_000;
/** A fetch is for records that are there. */
const fetchWaitMs = 500;
const fetchBytes = 8 * 1024 * 1024;
const stampHeader = "s";

/**
 * Refusals given before anything is appended. Others, of a leader that no longer is one for
 * example, may come after it.
 */
const refusals: ReadonlySet<string> = new Set([
  "MESSAGE_TOO_LARGE",
  "RECORD_LIST_TOO_LARGE",
  "NOT_ENOUGH_REPLICAS",
  "TOPIC_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
  "POLICY_VIOLATION",
  "INVALID_RECORD",
]);
const sizeRefusals: ReadonlySet<string> = new Set(["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"]);

/** What kafkajs makes of the answers, which it leaves untyped. */
interface ProduceAnswer {
  readonly topics: readonly { readonly partitions: readonly { readonly baseOffset: string }[] }[];
}

interface FetchAnswer {
  readonly responses: readonly { readonly partitions: readonly FetchedPartition[] }[];
}

interface FetchedPartition {
  readonly highWatermark: string;
  readonly messages: readonly FetchedMessage[];
}

interface FetchedMessage {
  readonly offset: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly isControlRecord?: boolean;
}

interface Life {
  readonly client: KafkaClient;
  readonly cluster: Cluster;
  readonly known: Set<string>;
}

/** All changelog partitions of one store, on shared connections. */
export class KafkaLogs {
  readonly #connection: KafkaConnection;
  readonly #groupId: string;
  readonly #checked = new Map<string, Promise<number>>();
  readonly #dropped = new WeakSet<Life>();
  readonly #ending = new Set<Promise<void>>();
  #life: Promise<Life> | undefined;
  #closed = false;

  /** `groupId` is of a group that is never joined, and so never known to the brokers. */
  constructor(connection: KafkaConnection, groupId: string) {
    this.#connection = connection;
    this.#groupId = groupId;
  }

  get place(): string {
    return placeOf(this.#connection);
  }

  /** Rejects when no broker answers. */
  async open(): Promise<void> {
    await this.#living();
  }

  /**
   * Rejects with config-invalid when the topic cannot keep a State, or with what kafkajs throws.
   */
  async check({ topic, partition }: TopicPartition): Promise<void> {
    const checked = this.#checked.get(topic) ?? this.#partitionsOf(topic);
    this.#checked.set(topic, checked);
    let count: number;
    try {
      count = await checked;
    } catch (error) {
      this.#checked.delete(topic);
      throw error;
    }
    if (partition < count) return;
    this.#checked.delete(topic);
    throw invalid(
      topic,
      `a partition ${partition}: pipewarden topics --create`,
      `${count} of them`,
    );
  }

  log(place: TopicPartition): PartitionLog {
    return {
      append: (records) => this.#append(place, records),
      read: (from, until, each) => this.#read(place, { from, until }, each),
      first: () => this.#offset(place, true),
      end: () => this.#offset(place, false),
    };
  }

  /** Requests on their way are cut off. */
  async close(): Promise<void> {
    this.#closed = true;
    const life = await this.#life?.catch(() => undefined);
    if (life !== undefined) this.#drop(life);
    await Promise.all(this.#ending);
  }

  async #partitionsOf(topic: string): Promise<number> {
    const client = new KafkaClient(this.#connection);
    const admin = client.admin();
    try {
      await admin.connect();
      const found = (await foundTopics(admin, [topic])).get(topic);
      if (found === undefined) {
        throw invalid(topic, "the topic: pipewarden topics --create", "none");
      }
      const policy = found.configs.get("cleanup.policy") ?? "";
      // With "delete" beside it, rows of old would go although they are the last of their key.
      if (policy !== "compact") throw invalid(`${topic}: cleanup.policy`, "compact", policy);
      const bytes = Number(found.configs.get("max.message.bytes"));
      if (!(bytes >= stateBatchBytesMax)) {
        const expected = `at least ${stateBatchBytesMax}`;
        throw invalid(`${topic}: max.message.bytes`, expected, String(bytes));
      }
      return found.partitions;
    } finally {
      await client.close();
    }
  }

  async #append(place: TopicPartition, records: readonly LogRecord[]): Promise<Offset> {
    const messages = records.map(({ key, value, stamp }) => {
      const headers = stamp === undefined ? {} : { [stampHeader]: stampText(stamp) };
      return { key, value, headers };
    });
    const { life, broker } = await this.#leader(place).catch((error) => {
      throw new NotAppended(textOf(error), false, { cause: error });
    });
    const { topic, partition } = place;
    try {
      const answer: ProduceAnswer = await broker.produce({
        acks: -1,
        timeout: copyMsMax,
        topicData: [{ topic, partitions: [{ partition, messages }] }],
      });
      return offsetOf(answer.topics[0]?.partitions[0]?.baseOffset);
    } catch (error) {
      const code = await this.#judge(life, error);
      if (code === undefined || !refusals.has(code)) throw error;
      throw new NotAppended(textOf(error), sizeRefusals.has(code), { cause: error });
    }
  }

  async #read(
    { topic, partition }: TopicPartition,
    { from, until }: { readonly from: Offset; readonly until: Offset },
    each: (record: StoredRecord) => void,
  ): Promise<void> {
    for (let next = from; next < until; ) {
      const found = await this.#fetch({ topic, partition }, next);
      for (const message of found.messages) {
        const offset = offsetOf(message.offset);
        // A batch comes whole, however much of it was asked for.
        if (offset < next) continue;
        if (offset >= until) return;
        next = offset + 1;
        if (message.isControlRecord !== true) each(storedRecord(message, offset));
      }
      if (found.messages.length > 0) continue;
      if (offsetOf(found.highWatermark) <= next) {
        throw new UnavailableError(`${topic}/${partition} ends at ${next}, before ${until}`);
      }
      // A batch that compaction has emptied: kafkajs does not say how far it reaches.
      next += 1;
    }
  }

  async #fetch(place: TopicPartition, offset: Offset): Promise<FetchedPartition> {
    const { life, broker } = await this.#leader(place);
    const { topic, partition } = place;
    try {
      const partitions = [{ partition, fetchOffset: String(offset), maxBytes: fetchBytes }];
      const answer: FetchAnswer = await broker.fetch({
        maxWaitTime: fetchWaitMs,
        minBytes: 1,
        maxBytes: fetchBytes,
        topics: [{ topic, partitions }],
      });
      const found = answer.responses[0]?.partitions[0];
      if (found === undefined) throw new UnavailableError(`no answer for ${topic}/${partition}`);
      return found;
    } catch (error) {
      await this.#judge(life, error);
      throw error;
    }
  }

  async #offset(place: TopicPartition, fromBeginning: boolean): Promise<Offset> {
    const { life } = await this.#leader(place);
    const { topic, partition } = place;
    try {
      const [found] = await life.cluster.fetchTopicsOffset([
        { topic, partitions: [{ partition }], fromBeginning },
      ]);
      return offsetOf(found?.partitions[0]?.offset);
    } catch (error) {
      await this.#judge(life, error);
      throw error;
    }
  }

  async #leader({ topic, partition }: TopicPartition): Promise<{ life: Life; broker: Broker }> {
    const life = await this.#living();
    try {
      const { cluster, known } = life;
      if (!known.has(topic)) {
        await cluster.addMultipleTargetTopics([topic]);
        known.add(topic);
      }
      const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]));
      if (nodeId === undefined || Number(nodeId) < 0) {
        await cluster.refreshMetadata();
        throw new UnavailableError(`no leader of ${topic}/${partition}`);
      }
      return { life, broker: await cluster.findBroker({ nodeId }) };
    } catch (error) {
      await this.#judge(life, error);
      throw error;
    }
  }

  /** The broker's own word for an error, with which the connection is well. */
  async #judge(life: Life, error: unknown): Promise<string | undefined> {
    const code = brokerCode(error);
    if (code === undefined) {
      if (!(error instanceof UnavailableError)) this.#drop(life);
      return undefined;
    }
    // Most of them mean that somebody else leads now.
    if (!refusals.has(code)) await life.cluster.refreshMetadata().catch(() => this.#drop(life));
    return code;
  }

  #living(): Promise<Life> {
    if (this.#closed) return Promise.reject(new UnavailableError("the state is closed"));
    if (this.#life === undefined) {
      const born = this.#bear();
      this.#life = born;
      born.catch(() => {
        if (this.#life === born) this.#life = undefined;
      });
    }
    return this.#life;
  }

  async #bear(): Promise<Life> {
    const client = new KafkaClient(this.#connection);
    let cluster: Cluster | undefined;
    const consumer = client.consumer({
      groupId: this.#groupId,
      allowAutoTopicCreation: false,
      // kafkajs hands its cluster to the assigners only, when the consumer is made.
      partitionAssigners: [
        (config) => {
          cluster = config.cluster;
          return { name: "none", version: 0, assign: async () => [], protocol: noProtocol };
        },
      ],
    });
    try {
      await consumer.connect();
      if (cluster === undefined) throw new UnavailableError("kafkajs gave no cluster");
      return { client, cluster, known: new Set() };
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  #drop(life: Life): void {
    // Several requests may find out at once.
    if (this.#dropped.has(life)) return;
    this.#dropped.add(life);
    void this.#life?.then((current) => {
      if (current === life) this.#life = undefined;
    });
    const ending = life.client.close();
    this.#ending.add(ending);
    void ending.finally(() => this.#ending.delete(ending));
  }
}

/** Of an assigner that is never asked: the group is never joined. */
function noProtocol(): { name: string; metadata: Buffer } {
  return { name: "none", metadata: Buffer.alloc(0) };
}

function storedRecord(message: FetchedMessage, offset: Offset): StoredRecord {
  const key = message.key?.toString() ?? "";
  const value = message.value?.toString() ?? null;
  const header = message.headers?.[stampHeader];
  const stamp = header === undefined ? undefined : parseStamp(String(header));
  return { offset, key, value, ...(stamp === undefined ? {} : { stamp }) };
}

/** Throws when the broker gave none. */
function offsetOf(text: string | undefined): Offset {
  const offset = Number(text ?? Number.NaN);
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new UnavailableError(`no offset: ${shown(text)}`);
  }
  return offset;
}

function invalid(topic: string, expected: string, found: string): ServiceError {
  const place = `kafka topic ${topic}`;
  return new ServiceError({ code: "config-invalid", place, expected, found });
}

function textOf(error: unknown): string {
  const root = rootOf(error);
  return shown(root instanceof Error ? root.message : String(root), 200);
}
