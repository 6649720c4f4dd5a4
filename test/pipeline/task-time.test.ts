import { describe, expect, it } from "vitest";
import type { BusRecord } from "../../src/bus/bus.ts";
import { hourMs, minuteMs, VirtualClock } from "../../src/clock.ts";
import { TaskTime } from "../../src/pipeline/task-time.ts";

const now = Date.UTC(2026, 10, 24, 2);

function recordAt(appendedAt: number): BusRecord {
  const place = { topic: "events", partition: 0, offset: 0, key: "k" } as const;
  return { ...place, value: new Uint8Array(), appendedAt };
}

describe("the arrival of records", () => {
  function stampsOf(time: TaskTime, ...stamps: readonly number[]): readonly number[] {
    return time.stamped(stamps.map(recordAt)).map(({ appendedAt }) => appendedAt - now);
  }

  it.each([
    ["in order", [-3, -2, 0], [-3, -2, 0]],
    ["ahead of our clock, by a year", [-3, 365 * 24 * hourMs, -2], [-3, 0, 0]],
    ["ahead of our clock, by a millisecond", [1], [0]],
    ["of a clock that is behind another", [-2, -10 * minuteMs, -1], [-2, -2, -1]],
  ])("%s", (_name, given, stamps) => {
    const time = new TaskTime({ clock: new VirtualClock(now), behind: () => 0 });
    expect(stampsOf(time, ...given.map((at) => now + at))).toEqual(stamps);
  });

  it("is never before what was handled, nor what the wall clock has shown", () => {
    const time = new TaskTime({ clock: new VirtualClock(now), behind: () => 1 });
    time.arrived([recordAt(now - 5)]);
    expect(stampsOf(time, now - 9, now - 4)).toEqual([-5, -4]);
    const caughtUp = new TaskTime({ clock: new VirtualClock(now), behind: () => 0 });
    expect(caughtUp.wall()).toBe(now);
    expect(stampsOf(caughtUp, now - 9)).toEqual([0]);
  });

  it("does not go back with a clock that is set back", () => {
    const clock = new VirtualClock(now - minuteMs);
    const time = new TaskTime({ clock, behind: () => 1 });
    time.arrived([recordAt(now)]);
    expect(stampsOf(time, now + 1)).toEqual([0]);
  });
});
