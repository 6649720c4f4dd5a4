/**
 * @module What consumer groups read from, and how a bus reports trouble that no caller hears of.
 */

import type { Clock } from "../clock.ts";
import { ServiceError } from "../error.ts";
import {
  type BusRecord,
  type BusTrouble,
  type NewRecord,
  type Offset,
  type OnTrouble,
  type Topic,
  topics,
} from "./bus.ts";

/** What a member reads from: the records of its partitions. */
export interface PartitionSource {
  /** Offset of the oldest record kept. */
  first(topic: Topic, partition: number): Offset;
  /** Offset after the newest record that may be read. */
  end(topic: Topic, partition: number): Offset;
  /**
   * At least one record when `from` is before the end; none when retention has let that one go.
   * Rejects with `bus-corrupt` rather than skip one.
   */
  read(topic: Topic, partition: number, range: ReadRange): Promise<readonly BusRecord[]>;
}

/** What a group reads from: the records of one bus. */
export interface RecordSource extends PartitionSource {
  partitions(topic: Topic): number;
  /** Resolves when every append accepted so far is readable or has failed. */
  settled(): Promise<void>;
}

export interface ReadRange {
  readonly from: Offset;
  readonly max: number;
}

/** The parts that the members of one bus share. */
export interface MemberSettings {
  readonly source: PartitionSource;
  readonly clock: Clock;
  readonly onTrouble: OnTrouble;
}

/** The parts that the groups of one bus share. */
export interface GroupSettings extends MemberSettings {
  readonly source: RecordSource;
}

/** Records that retention let go before the group had handled them: it goes on at `first`. */
export function lostTrouble(
  { group, topic, partition }: Pick<BusTrouble, "group" | "topic" | "partition">,
  wanted: Offset,
  first: Offset,
): BusTrouble {
  const error = new ServiceError({
    code: "bus-records-lost",
    place: `${topic}/${partition}, group ${group}`,
    expected: `the record of offset ${wanted}`,
    found: `${first} as the oldest one kept`,
  });
  return { group, topic, partition, error, retryAfterMs: 0, lost: first - wanted };
}

/** What a record costs beside key and value, roughly. */
const recordBytes = 200;

/** What a record takes in memory, roughly. */
export function bytesOf({ key, value }: Pick<NewRecord, "key" | "value">): number {
  return recordBytes + key.length * 2 + value.byteLength;
}

/** What a closed bus or a stopped consumer answers. */
export function closedError(place: string): ServiceError {
  return new ServiceError({
    code: "bus-unavailable",
    place,
    expected: "an open bus",
    found: "a closed one",
  });
}

/** Throws RangeError when the bus has no such partition: a programming error of the caller. */
export function checkPartition(topic: Topic, partition: number, partitions: number): void {
  if (topics.includes(topic) && Number.isInteger(partition)) {
    if (partition >= 0 && partition < partitions) return;
  }
  throw new RangeError(`the bus has no partition ${topic}/${partition}`);
}
