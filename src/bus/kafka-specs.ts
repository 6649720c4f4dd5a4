/** @module What the topics on Kafka must be like: those of the journey, and those of states. */

import { dayMs, hourMs, minuteMs } from "../clock.ts";
import { partitionsOf, type Topic, topics } from "./bus.ts";
import type { Retention } from "./retention.ts";

/** The largest record, and with it the largest batch of records that is sent. */
export const recordBytesMax: number = 16 * 1024 * 1024;
/** The largest batch of changes that a state saves at once, and what it costs beside its texts. */
export const stateBatchBytesMax: number = 32 * 1024 * 1024;
/** What a broker must take: a record of the largest size, its key, its frame and the batch's. */
const batchBytesNeeded = recordBytesMax + 1024 * 1024;

export interface TopicConfig {
  readonly name: string;
  readonly value: string;
  /** What else it may be. */
  readonly or?: readonly string[];
  /** A number that may be larger. */
  readonly least?: true;
  /** Otherwise records are lost, refused or forgotten: no service starts on such a topic. */
  readonly needed?: true;
}

export interface TopicSpec {
  /** On the brokers. */
  readonly name: string;
  readonly partitions: number;
  /** Where a key's partition follows from their number: more of them split what a key has. */
  readonly divided: boolean;
  /** How many copies; absent where the brokers may have what they like. */
  readonly replicas?: number;
  /** `min.insync.replicas` is not among them: it follows from the copies there are. */
  readonly configs: readonly TopicConfig[];
}

export interface TopicSpecSettings {
  readonly topicPrefix: string;
  /** Of each divided topic. */
  readonly partitions: number;
  readonly replicationFactor?: number;
  /** By age: Kafka does not ask what has been handled. */
  readonly retention?: Retention;
}

/**
 * Stages whose state goes with a partition, and whether they have one for each or one in all: the
 * partitions of the topic that holds its changes. What a process keeps whole (builds, store, dead
 * letters) it keeps in its own files.
 */
const stages = [
  { stage: "detect", divided: true },
  { stage: "correlate", divided: true },
  { stage: "notify", divided: false },
  { stage: "deliver", divided: false },
] as const;

/** Every topic of an installation, in the order of the journey. */
export function topicSpecs(settings: TopicSpecSettings): readonly TopicSpec[] {
  const { topicPrefix, partitions, replicationFactor, retention } = settings;
  const copies = replicationFactor === undefined ? {} : { replicas: replicationFactor };
  const ofJourney = topics.map((topic): TopicSpec => {
    const count = partitionsOf(topic, partitions);
    // One that is undivided has one partition however many the others have.
    const divided = partitionsOf(topic, 2) > 1;
    const configs = journeyConfigs(topic, retention?.get(topic)?.maxAgeMs ?? forEver);
    return { name: `${topicPrefix}${topic}`, partitions: count, divided, ...copies, configs };
  });
  const ofStates = stages.map(({ stage, divided }): TopicSpec => {
    const name = `${topicPrefix}state.${stage}`;
    return {
      name,
      partitions: divided ? partitions : 1,
      divided,
      ...copies,
      configs: stateConfigs,
    };
  });
  return [...ofJourney, ...ofStates];
}

/** What brokers call it as `retention.ms`. */
const forEver = -1;

/** What brokers refuse by default: a stamp that is an hour ahead. Ours may be; see below. */
const anyTime = "9223372036854775807";

/** The client reads plain records and gzip; on other codecs its consumers would fail for ever. */
const compression: TopicConfig = {
  ...{ name: "compression.type", value: "producer", or: ["gzip", "uncompressed"] },
  needed: true,
};

/** Facts of one key are equal, so of many tellings the last is enough. All else has no newest. */
const compacted: ReadonlySet<Topic> = new Set(["builds"]);

function journeyConfigs(topic: Topic, retentionMs: number): readonly TopicConfig[] {
  const policy = compacted.has(topic) ? "compact,delete" : "delete";
  return [
    { name: "cleanup.policy", value: policy, needed: true },
    compression,
    { name: "retention.ms", value: String(retentionMs) },
    { name: "max.message.bytes", value: String(batchBytesNeeded), least: true, needed: true },
    // appendedAt is our clock's; one that runs ahead must not stop the intake.
    { name: "message.timestamp.type", value: "CreateTime" },
    { name: "message.timestamp.after.max.ms", value: anyTime },
    // Records go by whole segments: without this those of a quiet topic stay a week longer.
    { name: "segment.ms", value: String(segmentMs(retentionMs)) },
  ];
}

function segmentMs(retentionMs: number): number {
  if (retentionMs < 0) return 7 * dayMs;
  return Math.min(dayMs, Math.max(hourMs, Math.round(retentionMs / 8)));
}

/**
 * A restore reads what compaction has left: segments that are closed soon, and cleaned once a tenth
 * of them is outdated, keep that near the size of the live state.
 */
const stateConfigs: readonly TopicConfig[] = [
  { name: "cleanup.policy", value: "compact", needed: true },
  compression,
  { name: "max.message.bytes", value: String(stateBatchBytesMax), least: true, needed: true },
  // So that the lag below follows the brokers' clock, not ours.
  { name: "message.timestamp.type", value: "LogAppendTime" },
  // Who has just begun to read a state must not lose what it is about to read.
  { name: "min.compaction.lag.ms", value: String(10 * minuteMs) },
  { name: "min.cleanable.dirty.ratio", value: "0.1" },
  { name: "segment.ms", value: String(10 * minuteMs) },
  { name: "segment.bytes", value: String(2 * stateBatchBytesMax) },
  // How long the removal of a key is told, for those who are reading.
  { name: "delete.retention.ms", value: String(10 * minuteMs) },
];
