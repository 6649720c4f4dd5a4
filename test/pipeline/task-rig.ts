/** @module What the tests of one task share: the task over a memory bus, and records to give it. */

import type { BusRecord } from "../../src/bus/bus.ts";
import { openMemoryBus } from "../../src/bus/memory.ts";
import { VirtualClock } from "../../src/clock.ts";
import type { OpenStage, Stage, TaskParts } from "../../src/pipeline/stage.ts";
import { Task } from "../../src/pipeline/task.ts";
import { openMemoryState } from "../../src/state/memory.ts";
import type { State, StateOwner, StateStore } from "../../src/state/state.ts";
import { silentTelemetry } from "../../src/telemetry.ts";
import { text } from "../contract/bus.ts";
import { replacing } from "../contract/replacing.ts";

/** The task of the rig, as its state store knows it. */
export const owner: StateOwner = { stage: "detect", partition: 0 };

/** The `offset`-th record of the task's partition, its key and its text both `value`. */
export function recordOf(value: string, offset: number, appendedAt = 0): BusRecord {
  const place = { topic: "events", partition: 0, offset, appendedAt } as const;
  return { ...place, key: value, value: Buffer.from(value) };
}

/** Counts each value in its state and says so on `matches`, under an id made of the value alone. */
export function countingStage(state: State, act: (value: string) => void = () => undefined): Stage {
  const counts = state.table<number>("counts");
  return {
    apply: (records) =>
      records.map(({ value }) => {
        counts.put(text(value), (counts.get(text(value)) ?? 0) + 1);
        act(text(value));
        return { topic: "matches", key: text(value), value: Buffer.from(`id of ${text(value)}`) };
      }),
  };
}

export interface RigParts {
  /** A stage that counts, unless given. */
  readonly open?: (parts: TaskParts) => OpenStage;
  readonly states?: StateStore;
  readonly clock?: VirtualClock;
  /** Before the bus takes anything; may throw. */
  readonly onAppend?: () => void;
  /** Nothing waits, unless given. */
  readonly behind?: () => number | undefined;
}

export interface Rig {
  readonly clock: VirtualClock;
  readonly states: StateStore;
  /** What the bus took, in order, as `topic: value`. */
  readonly appended: string[];
  open(): Promise<Task>;
  /** How many dead letters there are. */
  letters(): Promise<number>;
}

export function rigOf(parts: RigParts = {}): Rig {
  const { clock = new VirtualClock(), states = openMemoryState() } = parts;
  const { open = ({ state }) => ({ make: () => countingStage(state) }) } = parts;
  const { onAppend = () => undefined, behind = () => 0 } = parts;
  const appended: string[] = [];
  const taking = openMemoryBus({ clock });
  const bus = replacing(taking, {
    append: async (records) => {
      onAppend();
      await taking.append(records);
      appended.push(...records.map(({ topic, value }) => `${topic}: ${text(value)}`));
    },
  });
  const definition = { name: owner.stage, topic: "events", open } as const;
  const settings = { definition, partition: owner.partition, bus, states, clock, behind };
  return {
    ...{ clock, states, appended },
    open: () => Task.open({ ...settings, telemetry: silentTelemetry() }),
    letters: async () => bus.end("dead-letters", 0),
  };
}
