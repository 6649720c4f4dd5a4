/**
 * @module One life of a kafkajs consumer: from its connection until it is closed or crashes.
 *
 * No code of a handler runs inside kafkajs: an error of a handler would stop its consumer for good,
 * and a slow one would keep it from its heartbeats. What it fetches is handed on at once.
 */

import type { Consumer, EachBatchPayload } from "kafkajs";
import { realClock, secondMs } from "../clock.ts";
import type { Offset } from "./bus.ts";
import { type Held, partitionAssigner } from "./kafka-assigner.ts";
import { KafkaClient, type KafkaConnection, realPause } from "./kafka-client.ts";

export interface LinkSettings {
  readonly connection: KafkaConnection;
  readonly groupId: string;
  /** Names on the brokers. */
  readonly topics: readonly string[];
  readonly sessionMs: number;
  /** What an earlier life had last. */
  readonly held: Held | undefined;
  readonly events: LinkEvents;
}

/** A partition by the name of its topic on the brokers. */
export interface Place {
  readonly topic: string;
  readonly partition: number;
}

export interface FetchedRecord {
  readonly offset: Offset;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp: string;
}

export interface Fetched extends Place {
  /** The offset that was asked for. */
  readonly from: Offset;
  /** The offset that is asked for next, if the batch is taken. */
  readonly next: Offset;
  readonly records: readonly FetchedRecord[];
}

/** None of these may throw. */
export interface LinkEvents {
  /** The group is joined once this resolves; nothing that was assigned may be handled after it. */
  rejoining(): Promise<void>;
  /** Nothing is fetched until `begin`. */
  joined(places: readonly Place[]): void;
  /** True takes the batch; false leaves the place where it is. */
  fetched(batch: Fetched): boolean;
  /** The broker has just told where a partition ends, whether it sent records of it or not. */
  ended(place: Place, end: Offset): void;
  /** The broker has just confirmed that this member holds its partitions. */
  confirmed(): void;
  /** The end of this life. */
  crashed(error: Error): void;
}

const heartbeatMs = secondMs;
/** How long the others of a group wait for a handler that is busy when partitions move. */
const rebalanceMsMax = 60 * secondMs;
/** A place that was stopped is fetched again after at most this; idle consumers ask this often. */
const fetchWaitMs = 100;
const partitionBytesMax = 512 * 1024;
const fetchBytesMax = 8 * 1024 * 1024;

export class KafkaLink {
  readonly #settings: LinkSettings;
  readonly #client: KafkaClient;
  readonly #consumer: Consumer;
  /** kafkajs gives its heartbeat to handlers of batches only; it serves the whole life. */
  #heartbeat: (() => Promise<void>) | undefined;
  #held: Held | undefined;
  #ended = false;
  #letting = false;

  constructor(settings: LinkSettings) {
    this.#settings = settings;
    this.#held = settings.held;
    this.#client = new KafkaClient(settings.connection);
    this.#consumer = this.#client.consumer({
      groupId: settings.groupId,
      sessionTimeout: settings.sessionMs,
      rebalanceTimeout: rebalanceMsMax,
      heartbeatInterval: Math.min(heartbeatMs, settings.sessionMs / 3),
      maxWaitTimeInMs: fetchWaitMs,
      maxBytesPerPartition: partitionBytesMax,
      maxBytes: fetchBytesMax,
      allowAutoTopicCreation: false,
      partitionAssigners: [
        partitionAssigner({
          beforeJoin: () => this.#beforeJoin(),
          held: () => this.#held,
          ended: (topic, partition, end) => {
            if (!this.#ended) settings.events.ended({ topic, partition }, end);
          },
        }),
      ],
      // Its own restarts leave out the errors it finds fatal; ours leave out none.
      retry: { restartOnFailure: async () => false },
    });
    this.#listen();
  }

  /** Rejects when the brokers cannot be reached; a failure to join is a crash. */
  async open(): Promise<void> {
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topics: [...this.#settings.topics], fromBeginning: true });
    if (this.#ended) throw new Error("closed while it connected");
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: 1,
      eachBatch: async (payload) => this.#batch(payload),
    });
    // Closed while it joined: kafkajs would stay in the group.
    if (this.#ended) await this.#client.close();
  }

  /** Fetches from `offset` on. */
  begin({ topic, partition }: Place, offset: Offset): void {
    this.#safely(() => {
      this.#consumer.seek({ topic, partition, offset: String(offset) });
      this.#consumer.resume([{ topic, partitions: [partition] }]);
    });
  }

  pause({ topic, partition }: Place): void {
    this.#safely(() => this.#consumer.pause([{ topic, partitions: [partition] }]));
  }

  resume({ topic, partition }: Place): void {
    this.#safely(() => this.#consumer.resume([{ topic, partitions: [partition] }]));
  }

  async commit(positions: readonly (Place & { readonly offset: Offset })[]): Promise<void> {
    await this.#consumer.commitOffsets(
      positions.map(({ topic, partition, offset }) => {
        return { topic, partition, offset: String(offset) };
      }),
    );
  }

  /** The partition numbers of the last join. */
  get held(): Held | undefined {
    return this.#held;
  }

  /** A join waits until the handler has let go: no heartbeat is confirmed then. */
  get letting(): boolean {
    return this.#letting;
  }

  /** Ends this life as a crash does, unless it has ended. */
  fail(error: Error): void {
    this.#crash(error);
  }

  /** Leaves the group. No event follows. */
  async close(): Promise<void> {
    this.#ended = true;
    await this.#client.close();
  }

  /** kafkajs throws when it is not running: then a crash or a close is under way. */
  #safely(act: () => void): void {
    if (this.#ended) return;
    try {
      act();
    } catch (error) {
      this.#crash(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #listen(): void {
    const { events } = this.#settings;
    this.#consumer.on("consumer.heartbeat", () => events.confirmed());
    this.#consumer.on("consumer.crash", ({ payload }) => this.#crash(payload.error));
    this.#consumer.on("consumer.group_join", ({ payload }) => {
      if (this.#ended) return;
      const places = Object.entries(payload.memberAssignment).flatMap(([topic, partitions]) => {
        return partitions.map((partition) => ({ topic, partition }));
      });
      const partitions = [...new Set(places.map(({ partition }) => partition))];
      this.#held = { at: realClock.now(), partitions };
      for (const place of places) this.pause(place);
      events.confirmed();
      events.joined(places);
    });
    this.#consumer.on("consumer.start_batch_process", ({ payload }) => {
      // kafkajs passes over what holds no record (compaction, control records) without a batch.
      if (payload.batchSize > 0 || this.#ended) return;
      const { topic, partition, firstOffset, lastOffset } = payload;
      const from = Number(firstOffset ?? lastOffset);
      events.fetched({ topic, partition, from, next: Number(lastOffset) + 1, records: [] });
    });
  }

  #batch({ batch, resolveOffset, heartbeat }: EachBatchPayload): void {
    this.#heartbeat = heartbeat;
    const last = batch.messages.at(-1);
    if (this.#ended || last === undefined) return;
    const { topic, partition } = batch;
    const taken = this.#settings.events.fetched({
      topic,
      partition,
      from: fetchedFrom(batch),
      next: Number(batch.lastOffset()) + 1,
      records: batch.messages.map(({ offset, key, value, timestamp }) => {
        return { offset: Number(offset), key, value, timestamp };
      }),
    });
    if (taken) resolveOffset(last.offset);
  }

  async #beforeJoin(): Promise<void> {
    if (this.#ended) return;
    this.#letting = true;
    // A handler may be busy for longer than the session; while we wait, nobody else sends these.
    const beat = async () => {
      while (this.#letting && !this.#ended) {
        await realPause(heartbeatMs / 2);
        if (this.#letting) await this.#heartbeat?.().catch(() => undefined);
      }
    };
    void beat();
    await this.#settings.events.rejoining();
    this.#letting = false;
  }

  #crash(error: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    void this.#client.close();
    this.#settings.events.crashed(error);
  }
}

/** kafkajs keeps it on each batch and leaves it out of its types. */
function fetchedFrom(batch: object): Offset {
  if (!("fetchedOffset" in batch)) return Number.NaN;
  return Number(batch.fetchedOffset);
}
