/**
 * @module The one producer of a Kafka bus: idempotent, one send at a time, until the brokers have
 * acknowledged it.
 *
 * kafkajs takes back its sequence numbers when a send fails. The brokers then take whatever is sent
 * next under those numbers for a repetition, and acknowledge it without keeping it. Two rules keep
 * that from losing a record: a failed send is followed by what failed of it and nothing else, and a
 * producer whose send has been given up is never used again. Both need to know what became of each
 * request, so every attempt is ours and kafkajs makes none.
 */

import { type Message, Partitioners, type Producer, type ProducerBatch } from "kafkajs";
import { growingMs, minuteMs, secondMs } from "../clock.ts";
import { UnavailableError } from "../error.ts";
import {
  brokerCode,
  inTime,
  isRetriable,
  KafkaClient,
  type KafkaConnection,
  placeOf,
  realPause,
  rootOf,
  unavailable,
} from "./kafka-client.ts";
import { type SendWatch, watchSend } from "./kafka-mends.ts";

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

const pauseMs = { min: 100, max: 2 * secondMs };
const openAttemptsMax = 4;
/** A send that takes so long is made again by another producer; each request has less. */
const sendMsMax = minuteMs;

export class KafkaProducer {
  readonly #connection: KafkaConnection;
  readonly #place: string;
  #life: { readonly client: KafkaClient; readonly producer: Producer } | undefined;
  #closed = false;
  readonly #closing = Promise.withResolvers<void>();

  constructor(connection: KafkaConnection) {
    this.#connection = connection;
    this.#place = placeOf(connection);
  }

  /** Rejects with bus-unavailable. */
  async open(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#producer();
        return;
      } catch (error) {
        if (attempt === openAttemptsMax || judged(error) !== "again") {
          throw unavailable(this.#place, error);
        }
        await realPause(growingMs(attempt, pauseMs));
      }
    }
  }

  /**
   * Resolves when all of it is acknowledged by every in-sync replica, however long the brokers are
   * away. Rejects when they refuse it for good, or the producer is closed. Not to be called before
   * the last call has settled.
   */
  async send(topicMessages: readonly TopicMessages[]): Promise<void> {
    let remaining = topicMessages;
    for (let attempt = 0; ; attempt++) {
      if (this.#closed) throw unavailable(this.#place, new Error("the bus is closed"));
      const watch: SendWatch = { acknowledged: new Set(), requests: [] };
      try {
        const producer = await this.#producer();
        await inTime(
          watchSend(watch, () => producer.sendBatch(batchOf(remaining))),
          sendMsMax,
        );
        remaining = without(remaining, watch.acknowledged);
        if (remaining.length === 0) return;
      } catch (error) {
        remaining = without(remaining, watch.acknowledged);
        const next = judged(error);
        if (next !== "again") await this.#drop();
        if (next === "refused") throw unavailable(this.#place, rootOf(error));
      }
      await Promise.race([realPause(growingMs(attempt, pauseMs)), this.#closing.promise]);
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
    const producer = client.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
      // One attempt: kafkajs refuses a 0 here, and no attempt has a number below this.
      retry: { retries: Number.NaN },
    });
    try {
      await producer.connect();
    } catch (error) {
      await client.close();
      throw error;
    }
    this.#life = { client, producer };
    return producer;
  }

  async #drop(): Promise<void> {
    const life = this.#life;
    this.#life = undefined;
    await life?.client.close();
  }
}

function batchOf(topicMessages: readonly TopicMessages[]): ProducerBatch {
  return { topicMessages: [...topicMessages], acks: -1 };
}

/** What has not been acknowledged; the records of a partition are one batch on the brokers. */
function without(
  topicMessages: readonly TopicMessages[],
  acknowledged: ReadonlySet<string>,
): readonly TopicMessages[] {
  return topicMessages
    .map(({ topic, messages }) => {
      const left = messages.filter(({ partition }) => !acknowledged.has(`${topic}/${partition}`));
      return { topic, messages: left };
    })
    .filter(({ messages }) => messages.length > 0);
}

function judged(error: unknown): "again" | "renew" | "refused" {
  const code = brokerCode(error);
  if (code !== undefined && forgotten.has(code)) return "renew";
  const root = rootOf(error);
  if (!(root instanceof Error)) return "refused";
  if (root instanceof UnavailableError) return "renew";
  if (passing.has(root.name)) return "again";
  return isRetriable(error) ? "again" : "refused";
}
