/**
 * @module The Bus contract: what is ordered, what is durable, what may repeat.
 *
 * Ordered: records of one partition are read in the order of their offsets; appends of one call
 * keep their order within a partition. Durable: `append` resolves only after the records would
 * survive a crash of the machine. At least once: a consumer that stops before it saved its position
 * gets records again, so it must know the positions it has seen.
 */

import type { EpochMs } from "../clock.ts";

/** The topics of the journey, in its order. */
export const topics = [
  "events", // what the collectors took in, keyed by runner, run or repository
  "builds", // facts about runs, keyed by run
  "matches", // matches a correlation waits for, keyed by (correlation, group key)
  "alerts", // matches that want attention, and before them what ties their runs together
  "pages", // notices promised to sinks, keyed by incident
  "documents", // what people will search, on its way to the store
  "dead-letters", // what could not be read, with reason and original bytes
] as const;
export type Topic = (typeof topics)[number];

/**
 * Topics that are about the company as a whole and have one partition: whoever reads it sees all of
 * it, in order. Their records are few: facts about runs, and what rules have let through.
 */
const undivided: ReadonlySet<Topic> = new Set(["builds", "alerts", "pages", "dead-letters"]);

/** How many partitions a topic has on a bus whose divided topics have `partitions`. */
export function partitionsOf(topic: Topic, partitions: number): number {
  return undivided.has(topic) ? 1 : partitions;
}

/** The place of a record in its partition: 0, 1, 2, … */
export type Offset = number;

export interface NewRecord {
  readonly topic: Topic;
  /** Records with the same key land in the same partition. */
  readonly key: string;
  readonly value: Uint8Array;
  /** Goes to this partition, whatever its key. */
  readonly partition?: number;
}

export interface BusRecord {
  readonly topic: Topic;
  readonly partition: number;
  readonly offset: Offset;
  readonly key: string;
  readonly value: Uint8Array;
  /** When the bus took it in. */
  readonly appendedAt: EpochMs;
}

/**
 * What the bus calls while it consumes. One call at a time per consumer; the next waits for the
 * promise.
 */
export interface ConsumerHandler {
  /** A partition is ours from now on: where to begin (the offset of the next record to read). */
  assigned(topic: Topic, partition: number): Promise<Offset>;
  /** A partition is no longer ours; nothing of it may be saved after this resolves. */
  revoked(topic: Topic, partition: number): Promise<void>;
  /** Records of one partition in order. A rejected promise delivers the same records again. */
  batch(topic: Topic, partition: number, records: readonly BusRecord[]): Promise<void>;
}

export interface ConsumerSettings {
  /** Consumers of one group share the partitions; each group sees every record. */
  readonly group: string;
  /**
   * True for a consumer that shares with nobody: it gets every partition, whoever else of its group
   * does too. For tables that each process holds whole.
   */
  readonly whole?: boolean;
  readonly topics: readonly Topic[];
  /** The most records handed over at once. */
  readonly batchMax?: number;
}

export interface Consumer {
  /** Resolves when no handler call is running and none will start. */
  stop(): Promise<void>;
  /**
   * Resolves once every record appended before this call has been handled. For replay and tests.
   */
  drained(): Promise<void>;
  /**
   * Records of a partition that are known to be on the bus and that the handler has not finished
   * with; 0 when it has caught up, as far as is known, and for a partition that is not ours. At
   * least 1 when the bus has not told for long: one that is cut off has not caught up.
   */
  behind(topic: Topic, partition: number): number;
}

/** Something went wrong while consuming, of which no caller can be told by a rejection. */
export interface BusTrouble {
  readonly group: string;
  readonly topic: Topic;
  readonly partition: number;
  readonly error: unknown;
  /**
   * When the same records are tried again; undefined when the partition stands still until the bus
   * is reopened.
   */
  readonly retryAfterMs: number | undefined;
  /** Records that retention let go before the group had handled them; it went on after them. */
  readonly lost?: number;
}

/** Hears of trouble. Must not throw. */
export type OnTrouble = (trouble: BusTrouble) => void;

export interface Bus {
  /** All or nothing per call. Rejects with `intake-full` when the bus cannot take more. */
  append(records: readonly NewRecord[]): Promise<void>;
  consume(settings: ConsumerSettings, handler: ConsumerHandler): Promise<Consumer>;
  partitions(topic: Topic): number;
  /** Offset of the oldest record kept; the offset of the next one when none is. */
  first(topic: Topic, partition: number): Promise<Offset>;
  /** Offset of the next record of a partition. */
  end(topic: Topic, partition: number): Promise<Offset>;
  /** One record by its place; undefined when there is none, or none any more. */
  find(topic: Topic, partition: number, offset: Offset): Promise<BusRecord | undefined>;
  /** Finishes pending appends, stops consumers, closes. Safe to call twice. */
  close(): Promise<void>;
}
