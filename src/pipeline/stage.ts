/** @module Stage: one step of the journey, and how it is made for each partition it reads. */

import type { BusRecord, NewRecord, Topic } from "../bus/bus.ts";
import type { EpochMs } from "../clock.ts";
import type { State } from "../state/state.ts";

/**
 * One step of the journey for one partition. It keeps what it remembers in its State alone (and in
 * indexes it can rebuild from it), and gives the same records the same ids each time, so applying a
 * batch again after a crash changes nothing downstream. Its time is `appendedAt` of the records: so
 * one that was paused and catches up decides as if it had never stood still.
 */
export interface Stage {
  apply(records: readonly BusRecord[]): readonly NewRecord[] | Promise<readonly NewRecord[]>;
  /** What time alone brings about; also called when `TaskParts.wake` was. */
  tick?(now: EpochMs): readonly NewRecord[];
  /**
   * When `tick` next has something to do; undefined for nothing. What a record makes due within a
   * second may come after the other records of that second.
   */
  nextTick?(): EpochMs | undefined;
}

/** What the task of one partition gives its stage. */
export interface TaskParts {
  readonly partition: number;
  readonly state: State;
  /**
   * Runs `change` between two batches, and saves what it put in the state with what it answers, for
   * the bus; when that fails, none of it stays.
   */
  change(change: () => readonly NewRecord[]): Promise<void>;
  /**
   * What time it is for this task: the arrival of what it reads, the wall clock once it has caught
   * up. Undefined while neither is known.
   */
  time(): EpochMs | undefined;
  /** Has `tick` called soon, between two batches, though no time has passed. */
  wake(): void;
}

/** A stage whose state is loaded. */
export interface OpenStage {
  /** Makes the stage from its State: at start, and again after a batch failed half-way. */
  make(): Stage;
  /** Begins what goes on beside the batches. */
  start?(): void;
  /** Ends it; what it changes until then is saved. */
  stop?(): Promise<void>;
}

export interface StageDefinition {
  /** Also the name of its consumer group and of its states. */
  readonly name: string;
  /** Each of its partitions comes to a task. */
  readonly topic: Topic;
  /** True when every process has all partitions of its own, and keeps their state to itself. */
  readonly whole?: boolean;
  /**
   * True when what a failed batch changed stays: nothing is rolled back, and the stage is made
   * once.
   */
  readonly keepsFailed?: boolean;
  /** A partition is ours from now on. */
  open(parts: TaskParts): OpenStage;
}
