import { describe, expect, it } from "vitest";
import { growingMs, VirtualClock } from "../src/clock.ts";

describe("VirtualClock", () => {
  it("runs the timers due on the way in order of their time, each at its time", () => {
    const clock = new VirtualClock(1_000);
    const ran: [string, number][] = [];
    clock.after(300, () => ran.push(["late", clock.now()]));
    clock.after(100, () => ran.push(["early", clock.now()]));
    clock.after(100, () => ran.push(["as early, promised later", clock.now()]));
    clock.after(301, () => ran.push(["not due", clock.now()]));
    clock.advance(300);
    expect(ran).toEqual([
      ["early", 1_100],
      ["as early, promised later", 1_100],
      ["late", 1_300],
    ]);
    expect(clock.now()).toBe(1_300);
  });

  it("runs a timer that another sets within the same move, in its place", () => {
    const clock = new VirtualClock();
    const ran: [string, number][] = [];
    clock.after(10, () => {
      ran.push(["first", clock.now()]);
      clock.after(5, () => ran.push(["of the first", clock.now()]));
      clock.after(0, () => ran.push(["at once", clock.now()]));
    });
    clock.after(12, () => ran.push(["second", clock.now()]));
    clock.after(90, () => clock.after(20, () => ran.push(["beyond the move", clock.now()])));
    clock.advance(100);
    expect(ran).toEqual([
      ["first", 10],
      ["at once", 10],
      ["second", 12],
      ["of the first", 15],
    ]);
    clock.advance(10);
    expect(ran.at(-1)).toEqual(["beyond the move", 110]);
  });

  it("moves on from within a timer without going back afterwards", () => {
    const clock = new VirtualClock();
    const ran: string[] = [];
    clock.after(10, () => {
      clock.advanceTo(500);
      ran.push(`outer ${clock.now()}`);
    });
    clock.after(20, () => ran.push(`inner ${clock.now()}`));
    clock.advanceTo(100);
    expect(ran).toEqual(["inner 20", "outer 500"]);
    expect(clock.now()).toBe(500);
  });

  it("never goes back, and takes a delay below zero as now", () => {
    const clock = new VirtualClock(50);
    clock.advanceTo(10);
    expect(clock.now()).toBe(50);
    let at = -1;
    clock.after(-100, () => {
      at = clock.now();
    });
    clock.advance(0);
    expect(at).toBe(50);
  });

  it("forgets a timer that was taken back, also by another timer of the same move", () => {
    const clock = new VirtualClock();
    const ran: string[] = [];
    const cancelOwn = clock.after(5, () => ran.push("taken back before"));
    cancelOwn();
    const cancelOther = clock.after(20, () => ran.push("taken back on the way"));
    clock.after(10, () => cancelOther());
    const cancelAfter = clock.after(15, () => ran.push("ran"));
    clock.advance(100);
    cancelAfter();
    expect(ran).toEqual(["ran"]);
  });
});

describe("growingMs", () => {
  it.each([
    [0, 100],
    [1, 200],
    [4, 1_600],
    [5, 2_000],
    [10_000, 2_000],
  ])("says for attempt %d: %d ms", (attempt, ms) => {
    expect(growingMs(attempt, { min: 100, max: 2_000 })).toBe(ms);
  });

  it("grows no more after the tenth attempt", () => {
    const bounds = { min: 1, max: Number.POSITIVE_INFINITY };
    expect([9, 10, 11].map((attempt) => growingMs(attempt, bounds))).toEqual([512, 1024, 1024]);
  });
});
