/**
 * @module The partitions that a Kafka consumer holds, and what it has fetched of each: what its
 * member reads from.
 */

import { secondMs } from "../clock.ts";
import { ServiceError } from "../error.ts";
import type { BusRecord, Offset, OnTrouble, Topic } from "./bus.ts";
import { realPause } from "./kafka-client.ts";
import type { Fetched, KafkaLink, Place } from "./kafka-link.ts";
import { KafkaStream } from "./kafka-stream.ts";
import type { KafkaTopics, Reach } from "./kafka-topics.ts";
import { lostTrouble, type PartitionSource, type ReadRange } from "./source.ts";

export interface KafkaStreamsSettings {
  readonly group: string;
  readonly topics: Pick<KafkaTopics, "topicOf" | "reach">;
  readonly onTrouble: OnTrouble;
  /** What fetches now. */
  readonly link: () => Pick<KafkaLink, "begin" | "pause" | "resume"> | undefined;
  /** There is more to read. */
  readonly wake: () => void;
  /** Everything before the offset has been handled. */
  readonly moved: (place: Place, offset: Offset) => void;
}

/** Between two questions that brokers do not answer. */
const askMs = secondMs;

export class KafkaStreams implements PartitionSource {
  readonly #settings: KafkaStreamsSettings;
  readonly #streams = new Map<string, KafkaStream>();

  constructor(settings: KafkaStreamsSettings) {
    this.#settings = settings;
  }

  get all(): readonly KafkaStream[] {
    return [...this.#streams.values()];
  }

  /** By `topic/partition`. */
  get(key: string): KafkaStream | undefined {
    return this.#streams.get(key);
  }

  /** Throws RangeError for a partition that is not held. */
  of(topic: Topic, partition: number): KafkaStream {
    const stream = this.#streams.get(`${topic}/${partition}`);
    if (stream === undefined) throw new RangeError(`no partition ${topic}/${partition} is ours`);
    return stream;
  }

  add(place: Place, topic: Topic, reach: Reach): KafkaStream {
    const stream = new KafkaStream(place, topic, reach);
    this.#streams.set(`${topic}/${place.partition}`, stream);
    return stream;
  }

  clear(): void {
    this.#streams.clear();
  }

  first(topic: Topic, partition: number): Offset {
    return this.of(topic, partition).reach.first;
  }

  end(topic: Topic, partition: number): Offset {
    return this.of(topic, partition).end;
  }

  async read(topic: Topic, partition: number, range: ReadRange): Promise<readonly BusRecord[]> {
    return this.of(topic, partition).read(range.from, range.max);
  }

  /** Tells the trouble of each partition held, or of the first of `topics` when none is. */
  report(error: unknown, retryAfterMs: number, topics: readonly Topic[] = []): void {
    const { group, onTrouble } = this.#settings;
    const held = this.all.map(({ cursor }) => cursor);
    for (const { topic, partition } of held) {
      onTrouble({ group, topic, partition, error, retryAfterMs });
    }
    const [topic] = topics;
    if (held.length > 0 || topic === undefined) return;
    onTrouble({ group, topic, partition: 0, error, retryAfterMs });
  }

  /** How far the topics reach, asked until it is told or no longer matters. */
  async reaches(
    places: readonly Place[],
    current: () => boolean,
  ): Promise<ReadonlyMap<Topic, ReadonlyMap<number, Reach>> | undefined> {
    const { topics } = this.#settings;
    const names = new Set(places.map(({ topic }) => topic));
    while (current()) {
      try {
        const reaches = new Map<Topic, ReadonlyMap<number, Reach>>();
        for (const name of names) {
          const topic = topics.topicOf(name);
          if (topic !== undefined) reaches.set(topic, await topics.reach(topic));
        }
        return reaches;
      } catch (error) {
        this.report(error, askMs);
        await realPause(askMs);
      }
    }
    return undefined;
  }

  /** A cursor has moved or broken. */
  progressed(): void {
    for (const stream of this.#streams.values()) {
      const { cursor, place } = stream;
      if (cursor.next === undefined || cursor.phase === "faulted") continue;
      if (stream.fetchFrom === undefined) {
        stream.fetchFrom = cursor.next;
        stream.paused = false;
        this.#settings.link()?.begin(place, cursor.next);
        this.#moved(stream, cursor.next);
        continue;
      }
      stream.trim(cursor.next);
      if (stream.paused && stream.roomy && !stream.finding) {
        stream.paused = false;
        this.#settings.link()?.resume(place);
      }
      this.#moved(stream, cursor.next);
    }
  }

  /** What the brokers say of where a partition ends. */
  ended({ topic: name, partition }: Place, end: Offset): void {
    const topic = this.#settings.topics.topicOf(name);
    if (topic !== undefined) this.#streams.get(`${topic}/${partition}`)?.heard(end);
  }

  /** True when the batch follows on what was fetched before. */
  fetched({ topic: name, partition, from, next, records }: Fetched): boolean {
    const topic = this.#settings.topics.topicOf(name);
    const stream = topic && this.#streams.get(`${topic}/${partition}`);
    if (topic === undefined || stream?.fetchFrom === undefined) return false;
    if (stream.finding) return false;
    if (from !== stream.fetchFrom) {
      // Control records alone may begin after what was asked for.
      if (records.length > 0 || from < stream.fetchFrom) {
        void this.#findAgain(stream);
        return false;
      }
    }
    stream.add(records.map((record) => busRecord(topic, partition, record)));
    stream.fetchFrom = next;
    if (stream.full) {
      stream.paused = true;
      this.#settings.link()?.pause(stream.place);
    }
    this.#settings.wake();
    return true;
  }

  /**
   * kafkajs has read from another place than we asked for: it does so without a word when the
   * offset is gone from the log.
   */
  async #findAgain(stream: KafkaStream): Promise<void> {
    const { cursor, place } = stream;
    const { epoch, topic, partition } = cursor;
    stream.finding = true; // stays, if it cannot be found
    this.#settings.link()?.pause(place);
    const current = () => cursor.epoch === epoch;
    const reaches = await this.reaches([place], current);
    const reach = reaches?.get(topic)?.get(partition);
    if (reach === undefined || !current() || stream.fetchFrom === undefined) return;
    if (stream.fetchFrom > reach.end) {
      stream.fault = this.#lost(stream, `records up to ${stream.fetchFrom}`, `end ${reach.end}`);
      this.#settings.wake();
      return;
    }
    if (stream.fetchFrom < reach.first) {
      // Retention has taken records before they were fetched: said, and passed over.
      const { group, onTrouble } = this.#settings;
      onTrouble(lostTrouble({ group, topic, partition }, stream.fetchFrom, reach.first));
      stream.fetchFrom = reach.first;
    }
    stream.finding = false;
    stream.paused = false;
    this.#settings.link()?.begin(place, stream.fetchFrom);
  }

  #lost({ cursor }: KafkaStream, expected: string, found: string): ServiceError {
    const place = `${cursor.topic}/${cursor.partition}, group ${this.#settings.group}`;
    return new ServiceError({ code: "bus-corrupt", place, expected, found });
  }

  #moved(stream: KafkaStream, offset: Offset): void {
    if (stream.committed === offset) return;
    stream.committed = offset;
    this.#settings.moved(stream.place, offset);
  }
}

/** A record as kafkajs has fetched it. */
export function busRecord(
  topic: Topic,
  partition: number,
  { offset, key, value, timestamp }: Fetched["records"][number],
): BusRecord {
  return {
    topic,
    partition,
    offset,
    key: key === null ? "" : key.toString("utf8"),
    value:
      value === null
        ? new Uint8Array()
        : new Uint8Array(value.buffer, value.byteOffset, value.byteLength),
    appendedAt: Number(timestamp),
  };
}
