/**
 * @module The one producer of a Kafka bus: idempotent, one send at a time, until the brokers have
 * acknowledged it.
 *
 * kafkajs takes back its sequence numbers when a send fails. The brokers then take whatever is sent
 * next under those numbers for a repetition, and acknowledge it without keeping it. Two rules keep
 * that from losing a record: a failed send is followed by the same send and nothing else, and a
 * producer whose send has been given up is never used again.
 */

import { type Message, Partitioners, type Producer } from "kafkajs";
import { secondMs } from "../clock.ts";
import {
  brokerCode,
  KafkaClient,
  type KafkaConnection,
  realPause,
  retrySettings,
  rootOf,
  unavailable,
} from "./kafka-client.ts";

export interface TopicMessages {
  readonly topic: string;
  /** With key and partition: kafkajs would choose again at each attempt. */
  readonly messages: Message[];
}

/** Trouble that passes, or that another attempt gets past. */
const passing: ReadonlySet<string> = new Set([
  "KafkaJSConnectionError",
  "KafkaJSConnectionClosedError",
  "KafkaJSRequestTimeoutError",
  "KafkaJSBrokerNotFound",
  "KafkaJSMetadataNotLoaded",
  "KafkaJSTopicMetadataNotLoaded",
  "KafkaJSNoBrokerAvailableError",
  "KafkaJSLockTimeout",
]);

/** The brokers no longer know the producer: another one may send the same. */
const forgotten: ReadonlySet<string> = new Set([
  "OUT_OF_ORDER_SEQUENCE_NUMBER",
  "UNKNOWN_PRODUCER_ID",
  "INVALID_PRODUCER_EPOCH",
  "INVALID_PRODUCER_ID_MAPPING",
]);

const pauseMsMin = 100;
const pauseMsMax = 2 * secondMs;

export class KafkaProducer {
  readonly #connection: KafkaConnection;
  readonly #place: string;
  #life: { readonly client: KafkaClient; readonly producer: Producer } | undefined;
  #closed = false;
  readonly #closing = Promise.withResolvers<void>();

  constructor(connection: KafkaConnection) {
    this.#connection = connection;
    this.#place = `kafka ${connection.brokers.join(",")}`;
  }

  /** Rejects with bus-unavailable. */
  async open(): Promise<void> {
    try {
      await this.#producer();
    } catch (error) {
      throw unavailable(this.#place, error);
    }
  }

  /**
   * Resolves when all of it is acknowledged by every in-sync replica, however long the brokers are
   * away. Rejects when they refuse it for good, or the producer is closed. Not to be called before
   * the last call has settled.
   */
  async send(topicMessages: readonly TopicMessages[]): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      if (this.#closed) throw unavailable(this.#place, new Error("the bus is closed"));
      try {
        const producer = await this.#producer();
        await producer.sendBatch({ topicMessages: [...topicMessages], acks: -1 });
        return;
      } catch (error) {
        const next = judged(error);
        if (next !== "again") await this.#drop();
        if (next === "refused") throw unavailable(this.#place, rootOf(error));
      }
      const pauseMs = Math.min(pauseMsMax, pauseMsMin * 2 ** Math.min(attempt, 10));
      await Promise.race([realPause(pauseMs), this.#closing.promise]);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#closing.resolve();
    await this.#drop();
  }

  async #producer(): Promise<Producer> {
    if (this.#life !== undefined) return this.#life.producer;
    const client = new KafkaClient(this.#connection);
    const producer = client.kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
      retry: { ...retrySettings },
    });
    producer.on("producer.network.request_timeout", () => client.dropSilent());
    try {
      await producer.connect();
    } catch (error) {
      await client.close(() => producer.disconnect());
      throw error;
    }
    this.#life = { client, producer };
    return producer;
  }

  async #drop(): Promise<void> {
    const life = this.#life;
    this.#life = undefined;
    await life?.client.close(() => life.producer.disconnect());
  }
}

function judged(error: unknown): "again" | "renew" | "refused" {
  const code = brokerCode(error);
  if (code !== undefined && forgotten.has(code)) return "renew";
  const root = rootOf(error);
  if (!(root instanceof Error)) return "refused";
  if (passing.has(root.name)) return "again";
  return "retriable" in root && root.retriable === true ? "again" : "refused";
}
