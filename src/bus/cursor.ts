/** @module How far a consumer group is in one partition, and which of its members reads on. */

import type { Offset, Topic } from "./bus.ts";

/** A member of the group, as a cursor knows it. */
export interface CursorOwner {
  /** There may be something to do. */
  wake(): void;
  /** Gives the cursor up; resolves when no handler call for it is running and none will start. */
  release(cursor: Cursor): Promise<void>;
}

/** How far a group is in one partition, and who reads on. */
export interface Cursor {
  readonly topic: Topic;
  readonly partition: number;
  owner: CursorOwner | undefined;
  /** Grows with every change of owner: what was read for an earlier owner is not handed over. */
  epoch: number;
  /** new: the owner has not been asked where to begin. faulted: cannot be read; see trouble. */
  phase: "unowned" | "new" | "ready" | "waiting" | "faulted";
  /** The owner has answered `assigned`, so it is owed `revoked`. */
  begun: boolean;
  /** Offset of the next record to handle; undefined until the first `assigned`. */
  next: Offset | undefined;
  failures: number;
  fault: unknown;
  cancelRetry: (() => void) | undefined;
}

export function newCursor(topic: Topic, partition: number): Cursor {
  return {
    topic,
    partition,
    owner: undefined,
    epoch: 0,
    phase: "unowned",
    begun: false,
    next: undefined,
    failures: 0,
    fault: undefined,
    cancelRetry: undefined,
  };
}
