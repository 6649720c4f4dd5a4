/**
 * @module A consumer of the Kafka bus: a member of its group on the brokers, over any number of
 * lives of a kafkajs consumer.
 *
 * The saved position that the handler tells decides where reading begins. Offsets are committed
 * too, after the fact: so that lag can be watched, and others of the group can tell how far it is.
 */

import { type Clock, growingMs, realClock, secondMs } from "../clock.ts";
import { UnavailableError } from "../error.ts";
import type {
  Consumer,
  ConsumerHandler,
  ConsumerSettings,
  Offset,
  OnTrouble,
  Topic,
} from "./bus.ts";
import type { Cursor } from "./cursor.ts";
import {
  brokerCode,
  isRetriable,
  type KafkaConnection,
  realPause,
  unavailable,
} from "./kafka-client.ts";
import { KafkaCommits } from "./kafka-commits.ts";
import { KafkaLink, type Place } from "./kafka-link.ts";
import { KafkaStreams } from "./kafka-streams.ts";
import type { KafkaTopics } from "./kafka-topics.ts";
import { Member } from "./member.ts";
import { closedError } from "./source.ts";

export interface KafkaConsumerSettings {
  readonly connection: KafkaConnection;
  readonly topics: KafkaTopics;
  /** The group's name on the brokers. */
  readonly groupId: string;
  readonly consumer: ConsumerSettings;
  readonly handler: ConsumerHandler;
  readonly sessionMs: number;
  readonly clock: Clock;
  readonly onTrouble: OnTrouble;
  /** Resolves when every append accepted so far is on the brokers or has failed. */
  readonly settled: () => Promise<void>;
}

/** At most as long as partitions may stand still after the brokers are back. */
const restartMs = { min: secondMs, max: 4 * secondMs };
const drainedMs = 50;
const silentSessions = 3;

export class KafkaConsumer implements Consumer {
  readonly #settings: KafkaConsumerSettings;
  readonly #member: Member;
  readonly #streams: KafkaStreams;
  readonly #commits: KafkaCommits;
  #link: KafkaLink | undefined;
  /** Grows whenever what is assigned changes: work begun for an earlier round is dropped. */
  #round = 0;
  #failures = 0;
  #confirmedAt = 0;
  #heardAt = 0;
  #cancelWatch: (() => void) | undefined;
  #changed = Promise.withResolvers<void>();
  #stopping: Promise<void> | undefined;

  constructor(settings: KafkaConsumerSettings) {
    this.#settings = settings;
    const { consumer, handler, topics, onTrouble } = settings;
    const link = () => this.#link;
    this.#commits = new KafkaCommits(link);
    this.#streams = new KafkaStreams({
      group: consumer.group,
      topics,
      onTrouble,
      link,
      wake: () => this.#member.wake(),
      // Of one that reads for itself alone nobody asks; and without positions the brokers forget
      // its group soon after it is gone.
      moved: (place, offset) => {
        if (consumer.whole !== true) this.#commits.add(place, offset);
      },
    });
    const group = {
      name: consumer.group,
      settings: { source: this.#streams, clock: settings.clock, onTrouble },
      leave: () => this.#leave(),
      drained: () => this.drained(),
      progressed: () => {
        this.#streams.progressed();
        this.#notify();
      },
    };
    this.#member = new Member(group, consumer, this.#guarded(handler));
  }

  /** Rejects when the brokers cannot be reached; from then on it reconnects by itself. */
  async start(): Promise<void> {
    const link = this.#newLink();
    try {
      await link.open();
    } catch (error) {
      await this.stop();
      throw unavailable(this.#place, error);
    }
    this.#watch();
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#cancelWatch?.();
    await this.#member.stop();
    await this.#commits.settled();
    await this.#link?.close();
    this.#notify();
  }

  async drained(): Promise<void> {
    const { settled, topics, consumer, groupId } = this.#settings;
    await settled();
    const targets = new Map<string, Offset>();
    for (const topic of consumer.topics) {
      for (const [partition, { first, end }] of await topics.reach(topic)) {
        if (end > first) targets.set(`${topic}/${partition}`, end);
      }
    }
    for (;;) {
      if (this.#stopping !== undefined) throw closedError(`consumer of ${consumer.group}`);
      for (const [key, target] of targets) {
        const stream = this.#streams.get(key);
        if (stream?.cursor.phase === "faulted") throw stream.cursor.fault;
        if ((stream?.handledTo ?? -1) >= target) targets.delete(key);
      }
      if (targets.size === 0) return;
      const changed = this.#changed.promise;
      const elsewhere = [...targets.keys()].filter((key) => this.#streams.get(key) === undefined);
      if (elsewhere.length > 0 && consumer.whole !== true) {
        const committed = await topics.committed(groupId, consumer.topics);
        for (const key of elsewhere) {
          if ((committed.get(key) ?? -1) >= (targets.get(key) ?? 0)) targets.delete(key);
        }
        if (targets.size === 0) return;
      }
      await Promise.race([changed, realPause(drainedMs)]);
    }
  }

  /**
   * As far as the brokers have told: at least 1 while they are silent, so that nobody takes a cut
   * line or a paused process for having caught up.
   */
  behind(topic: Topic, partition: number): number {
    return this.#streams.get(`${topic}/${partition}`)?.behind ?? 0;
  }

  get #place(): string {
    return `kafka group ${this.#settings.groupId}`;
  }

  #newLink(): KafkaLink {
    const { connection, groupId, consumer, topics, sessionMs } = this.#settings;
    const link: KafkaLink = new KafkaLink({
      connection,
      groupId,
      topics: consumer.topics.map((topic) => topics.nameOf(topic)),
      sessionMs,
      held: this.#link?.held,
      events: {
        rejoining: () => this.#rejoin(),
        joined: (places) => void this.#take(link, places),
        fetched: (batch) => this.#streams.fetched(batch),
        ended: (place, end) => this.#streams.ended(place, end),
        confirmed: () => {
          this.#confirmedAt = realClock.now();
          this.#heardAt = this.#confirmedAt;
          this.#notify();
        },
        crashed: (error) => void this.#restart(error),
      },
    });
    this.#link = link;
    this.#heardAt = realClock.now();
    return link;
  }

  /** A consumer that says nothing is begun anew, whatever kafkajs is waiting for. */
  #watch(): void {
    if (this.#stopping !== undefined) return;
    const { sessionMs } = this.#settings;
    this.#cancelWatch = realClock.after(sessionMs, () => {
      const silentMs = realClock.now() - this.#heardAt;
      if (this.#link?.letting === false && silentMs > silentSessions * sessionMs) {
        this.#heardAt = realClock.now();
        this.#link.fail(new UnavailableError(`no heartbeat for ${silentMs} ms`));
      }
      this.#watch();
    });
  }

  /** Gives every partition up: resolves when no handler call is running and none will start. */
  async #leave(): Promise<void> {
    this.#round++;
    const released = this.#streams.all.map(({ cursor }) => this.#member.release(cursor));
    this.#notify();
    await Promise.all(released);
    this.#streams.clear();
  }

  /** Before another join: who has a partition next commits its own position. */
  async #rejoin(): Promise<void> {
    await this.#leave();
    this.#commits.forget();
  }

  async #take(link: KafkaLink, places: readonly Place[]): Promise<void> {
    const round = this.#round;
    const current = () => this.#round === round && this.#stopping === undefined;
    const reaches = await this.#streams.reaches(places, current);
    if (reaches === undefined || !current() || link !== this.#link) return;
    this.#failures = 0;
    for (const place of places) {
      const topic = this.#settings.topics.topicOf(place.topic);
      const reach = topic && reaches.get(topic)?.get(place.partition);
      if (topic === undefined || reach === undefined) continue;
      this.#member.take(this.#streams.add(place, topic, reach).cursor);
    }
  }

  /** The handler, called only while the brokers have lately confirmed what is ours. */
  #guarded(handler: ConsumerHandler): ConsumerHandler {
    return {
      assigned: (topic, partition) => handler.assigned(topic, partition),
      revoked: (topic, partition) => handler.revoked(topic, partition),
      batch: async (topic, partition, records) => {
        await this.#confirmed(this.#streams.of(topic, partition).cursor);
        await handler.batch(topic, partition, records);
      },
    };
  }

  async #confirmed(cursor: Cursor): Promise<void> {
    const { epoch } = cursor;
    while (realClock.now() - this.#confirmedAt > this.#settings.sessionMs) {
      await this.#changed.promise;
      if (cursor.epoch !== epoch) throw new UnavailableError("the partition moved meanwhile");
    }
  }

  async #restart(error: Error): Promise<void> {
    if (this.#stopping !== undefined) return;
    const delayMs = growingMs(this.#failures, restartMs);
    this.#failures++;
    const told = isNobodysFault(error) ? unavailable(this.#place, error) : error;
    this.#streams.report(told, delayMs, this.#settings.consumer.topics);
    await this.#rejoin();
    await realPause(delayMs);
    if (this.#stopping !== undefined) return;
    const link = this.#newLink();
    try {
      await link.open();
    } catch (failure) {
      link.fail(failure instanceof Error ? failure : new Error(String(failure)));
    }
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** What brokers say of a group whose members change; kafkajs does not count it as passing. */
const ofGroups: ReadonlySet<string> = new Set([
  "ILLEGAL_GENERATION",
  "UNKNOWN_MEMBER_ID",
  "REBALANCE_IN_PROGRESS",
]);

/** A broker that is away or comes up, or a group that changes. */
function isNobodysFault(error: Error): boolean {
  return isRetriable(error) || ofGroups.has(brokerCode(error) ?? "");
}
