/** @module One task: what is no record's fault, and a timer that fails or has nothing to do. */

import { describe, expect, it } from "vitest";
import type { BusRecord, NewRecord } from "../../src/bus/bus.ts";
import { VirtualClock } from "../../src/clock.ts";
import { type ProblemCode, ServiceError, UnavailableError } from "../../src/error.ts";
import type { OpenStage, Stage } from "../../src/pipeline/stage.ts";
import type { StateStore } from "../../src/state/state.ts";
import { turns } from "../contract/bus.ts";
import { commitsThrough } from "../state/kept.ts";
import { recordOf, rigOf } from "./task-rig.ts";

function coded(code: ProblemCode): ServiceError {
  return new ServiceError({ code, place: "x", expected: "this", found: "that" });
}

/** Whose commits fail with `error` while it gives one. */
function failingCommits(error: () => Error | undefined): StateStore {
  return commitsThrough(async (commit) => {
    const failure = error();
    if (failure !== undefined) throw failure;
    await commit();
  });
}

const only = (stage: Stage) => (): OpenStage => ({ make: () => stage });

describe("a record", () => {
  it.each(["bus-unavailable", "state-unavailable", "intake-full"] as const)(
    "comes again after %s, and is not set aside",
    async (code) => {
      let failing = true;
      const apply = () => {
        if (failing) throw coded(code);
        return [];
      };
      const { open, letters } = rigOf({ open: only({ apply }) });
      const task = await open();
      const records = [recordOf("a", 0), recordOf("b", 1)];
      await expect(task.batch(records)).rejects.toThrow(code);
      expect([task.position, await letters()]).toEqual([0, 0]);
      failing = false;
      await task.batch(records);
      expect([task.position, await letters()]).toEqual([2, 0]);
      await task.stop();
    },
  );

  it("comes again while what is owed is too large to save, and is not set aside", async () => {
    let failing = true;
    const states = failingCommits(() => (failing ? coded("state-too-large") : undefined));
    const { open, letters } = rigOf({ states, open: only({ apply: () => [] }) });
    const task = await open();
    const records = [recordOf("a", 0), recordOf("b", 1)];
    const refused = task.batch(records);
    await expect(refused).rejects.toThrow(UnavailableError);
    await expect(refused).rejects.toThrow("state-too-large");
    expect([task.position, await letters()]).toEqual([0, 0]);
    failing = false;
    await task.batch(records);
    expect([task.position, await letters()]).toEqual([2, 0]);
    await task.stop();
  });

  it.each([
    ["is set aside alone when what it leads to is", 13, 1],
    ["comes again when that is no more than fits", 11, 0],
  ])("%s too large to save", async (_name, mebibytes, letters) => {
    let last = 0;
    const states = failingCommits(() => {
      const failure = last > 0 ? coded("state-too-large") : undefined;
      last = 0;
      return failure;
    });
    const big = Buffer.alloc(mebibytes * 1024 * 1024, "x");
    const apply = (records: readonly BusRecord[]): readonly NewRecord[] => {
      if (!records.some(({ key }) => key === "big")) return [];
      last = big.length;
      return [{ topic: "matches", key: "big", value: big }];
    };
    const rig = rigOf({ states, open: only({ apply }) });
    const task = await rig.open();
    const batch = task.batch([recordOf("a", 0), recordOf("big", 1), recordOf("b", 2)]);
    const outcome = await batch.then(
      () => "done",
      (error: unknown) => error instanceof UnavailableError,
    );
    expect(outcome).toBe(letters === 1 ? "done" : true);
    expect(task.position).toBe(letters === 1 ? 3 : 1);
    expect(await rig.letters()).toBe(letters);
    await task.stop();
  });
});

describe("a timer", () => {
  it("goes on though its stage could not be made again, and nothing is applied by the old one", async () => {
    let [unmakeable, ticks, made] = [false, 0, 0];
    const appliedBy: number[] = [];
    const stage = (): OpenStage => ({
      make: () => {
        if (unmakeable) throw new TypeError("the builds are not loaded yet");
        const number = ++made;
        return {
          apply: () => {
            appliedBy.push(number);
            return [];
          },
          tick: () => {
            ticks += 1;
            if (ticks !== 1) return [];
            unmakeable = true;
            throw new TypeError("half-way");
          },
          nextTick: () => (ticks < 2 ? 0 : undefined),
        };
      },
    });
    const { clock, open, letters } = rigOf({ open: stage });
    const task = await open();
    for (let second = 0; second < 3; second += 1) {
      clock.advance(1_000);
      await turns();
    }
    expect(ticks).toBe(1);
    await expect(task.batch([recordOf("a", 0)])).rejects.toThrow("not loaded");
    unmakeable = false;
    clock.advance(1_000);
    await turns();
    expect(ticks).toBe(2);
    await task.batch([recordOf("a", 0)]);
    expect([appliedBy, await letters()]).toEqual([[2], 0]);
    await task.stop();
  });

  it("looks once a second while what is due waits for records, and at once after the next", async () => {
    const clock = new VirtualClock(100_000);
    const ticks: number[] = [];
    let due = 60_000;
    const stage: Stage = {
      apply: () => [],
      tick: (now) => {
        ticks.push(now);
        if (now >= due) due = Number.POSITIVE_INFINITY;
        return [];
      },
      nextTick: () => due,
    };
    let behind = 2;
    const { open } = rigOf({ clock, behind: () => behind, open: only(stage) });
    const task = await open();
    await task.batch([recordOf("a", 0, 50_000)]);
    for (let step = 0; step < 500; step += 1) {
      clock.advance(20);
      await turns(2);
    }
    // Ten seconds.
    expect(ticks.length).toBeGreaterThan(5);
    expect(ticks.length).toBeLessThan(13);
    await task.batch([recordOf("b", 1, 51_000)]);
    behind = 0;
    clock.advance(20);
    await turns();
    expect(ticks.at(-1)).toBe(clock.now());
    await task.stop();
  });
});
