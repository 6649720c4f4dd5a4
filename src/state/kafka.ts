/**
 * @module States on Kafka: the rows of each stage in a compacted topic, `pipewarden.state.detect`,
 * partition p of it for partition p of the stage.
 *
 * A commit is one batch of records at one partition, acknowledged by every in-sync replica: the log
 * holds it whole or not at all. `kafka-changelog.ts` says what stands in the log, `kafka-owner.ts`
 * how a process knows that it is still the one that writes there. Opening reads the partition from
 * its first record on; compaction keeps that to about as many records as there are rows, and those
 * of the last minutes.
 */

import { type KafkaConnection, realPause } from "../bus/kafka-client.ts";
import { type Clock, type EpochMs, minuteMs, realClock } from "../clock.ts";
import { type OwnerSettings, unanswered } from "./kafka-answer.ts";
import { KafkaLogs, type TopicPartition } from "./kafka-log.ts";
import type { LogOwner } from "./kafka-owner.ts";
import { openOwnedState } from "./kafka-taking.ts";
import { closedState, type State, type StateOwner, type StateStore } from "./state.ts";

/** How much was read to open a State. */
export interface KafkaStateOpened extends StateOwner {
  /** Records in the log; more than rows, by what compaction has not yet taken out. */
  readonly records: number;
  readonly tookMs: number;
}

export interface KafkaStateSettings extends KafkaConnection {
  /** Before the names of topics on the brokers; `pipewarden.` when absent. */
  readonly topicPrefix?: string;
  /**
   * How long a commit or an opening waits for the brokers, over all attempts; 2 min when absent.
   */
  readonly answerMsMax?: number;
  /** Heard of after each opening. */
  readonly onOpened?: (opened: KafkaStateOpened) => void;
  /** How long a State may be idle before it looks whether it was taken; a minute when absent. */
  readonly idleMsMax?: number;
}

const topicPrefixDefault = "pipewarden.";
const answerMsMaxDefault = 2 * minuteMs;
/** Well below the topics' `min.compaction.lag.ms` of ten minutes: see `kafka-owner.ts`. */
const idleMsMaxDefault = minuteMs;
const closeMsMax = 2_000;
/** What brokers need does not follow a virtual clock. */
const clock: Clock = realClock;

/** Connects; rejects with state-unavailable when no broker answers. The topics are made before. */
export async function openKafkaState(settings: KafkaStateSettings): Promise<StateStore> {
  const prefix = settings.topicPrefix ?? topicPrefixDefault;
  const logs = new KafkaLogs(settings, `${prefix}state`);
  try {
    await logs.open();
  } catch (error) {
    throw unanswered(logs.place, error);
  }
  return new KafkaState(settings, logs);
}

class KafkaState implements StateStore {
  readonly #settings: KafkaStateSettings;
  readonly #logs: KafkaLogs;
  readonly #closing = new AbortController();
  /** The newest of each partition. */
  readonly #owners = new Map<string, LogOwner>();
  #cancelCheck: () => void;
  #closed: Promise<void> | undefined;

  constructor(settings: KafkaStateSettings, logs: KafkaLogs) {
    this.#settings = settings;
    this.#logs = logs;
    this.#cancelCheck = clock.after(this.#checkMs, () => this.#check());
  }

  async open(owner: StateOwner): Promise<State> {
    const { topic, partition } = this.#placeOf(owner);
    const name = `${topic}/${partition}`;
    const place = `${this.#logs.place} ${name}`;
    if (this.#closed !== undefined) throw closedState(place);
    this.#owners.get(name)?.end();
    this.#owners.delete(name);
    const startedAt: EpochMs = clock.now();
    try {
      await this.#logs.check({ topic, partition });
    } catch (error) {
      throw unanswered(place, error);
    }
    const settings: OwnerSettings = {
      log: this.#logs.log({ topic, partition }),
      place,
      owner: this.#settings.clientId,
      clock,
      answerMsMax: this.#settings.answerMsMax ?? answerMsMaxDefault,
      closing: this.#closing.signal,
    };
    const { state, owner: opened, records } = await openOwnedState(settings);
    const other = this.#owners.get(name);
    // Two openings at once: the log has decided.
    if (other !== undefined && other.epoch > opened.epoch) opened.end();
    else this.#owners.set(name, opened);
    if (other !== undefined && other.epoch < opened.epoch) other.end();
    const tookMs = clock.now() - startedAt;
    this.#settings.onOpened?.({ ...owner, records, tookMs });
    return state;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#cancelCheck();
    this.#closing.abort();
    const settled = Promise.all([...this.#owners.values()].map((owner) => owner.settled()));
    await Promise.race([settled, realPause(closeMsMax)]);
    await this.#logs.close();
  }

  #placeOf({ stage, partition }: StateOwner): TopicPartition {
    return {
      topic: `${this.#settings.topicPrefix ?? topicPrefixDefault}state.${stage}`,
      partition,
    };
  }

  get #checkMs(): number {
    return this.#settings.idleMsMax ?? idleMsMaxDefault;
  }

  #check(): void {
    const before = clock.now() - this.#checkMs;
    const idle = [...this.#owners.values()].filter(({ heardAt }) => heardAt <= before);
    void Promise.all(idle.map((owner) => owner.check())).then(() => {
      if (this.#closed !== undefined) return;
      this.#cancelCheck = clock.after(this.#checkMs, () => this.#check());
    });
  }
}
