/**
 * @module What consumer groups read from, and how a bus reports trouble that no caller hears of.
 */

import type { Clock } from "../clock.ts";
import { ServiceError } from "../error.ts";
import { type BusRecord, type Offset, type OnTrouble, type Topic, topics } from "./bus.ts";

/** What a group reads from: the records of one bus. */
export interface RecordSource {
  partitions(topic: Topic): number;
  /** Offset of the oldest record kept. */
  first(topic: Topic, partition: number): Offset;
  /** Offset after the newest record that may be read. */
  end(topic: Topic, partition: number): Offset;
  /**
   * At least one record when `from` is before the end; none when retention has let that one go.
   * Rejects with `bus-corrupt` rather than skip one.
   */
  read(topic: Topic, partition: number, range: ReadRange): Promise<readonly BusRecord[]>;
  /** Resolves when every append accepted so far is readable or has failed. */
  settled(): Promise<void>;
}

export interface ReadRange {
  readonly from: Offset;
  readonly max: number;
}

/** The parts that every group and member of one bus shares. */
export interface GroupSettings {
  readonly source: RecordSource;
  readonly clock: Clock;
  readonly onTrouble: OnTrouble;
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
