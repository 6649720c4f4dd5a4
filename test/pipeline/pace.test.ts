import { describe, expect, it } from "vitest";
import { minuteMs, secondMs, VirtualClock } from "../../src/clock.ts";
import { Pace } from "../../src/pipeline/pace.ts";

describe("the pace of several tasks", () => {
  it("is that of the slowest, and no limit without one; one that leaves counts a little longer", () => {
    const clock = new VirtualClock(0);
    const pace = new Pace(clock);
    expect(pace.reached()).toBe(Number.POSITIVE_INFINITY);
    pace.follow(() => 700);
    const leave = pace.follow(() => 300);
    expect(pace.reached()).toBe(300);
    leave();
    clock.advance(10 * secondMs - 1);
    expect(pace.reached()).toBe(300);
    clock.advance(1);
    expect(pace.reached()).toBe(700);
  });

  it("waits for one that does not know the time yet", () => {
    const pace = new Pace(new VirtualClock(0));
    pace.follow(() => 700);
    pace.follow(() => undefined);
    expect(pace.reached()).toBe(Number.NEGATIVE_INFINITY);
  });

  it("goes on without one that stood still for five minutes of questions, until it moves", () => {
    const clock = new VirtualClock(0);
    const pace = new Pace(clock);
    let at = 300;
    pace.follow(() => at);
    pace.follow(() => clock.now() + 1_000);
    pace.reached();
    for (let passed = 0; passed < 5 * minuteMs - secondMs; passed += secondMs) {
      clock.advance(secondMs);
      expect(pace.reached()).toBe(300);
    }
    clock.advance(secondMs);
    expect(pace.reached()).toBe(clock.now() + 1_000);
    at = 400;
    expect(pace.reached()).toBe(400);
  });

  it("goes on without one that has been behind for ten minutes, though it moves", () => {
    const clock = new VirtualClock(0);
    const pace = new Pace(clock);
    let lag = 40 * secondMs;
    pace.follow(() => clock.now() - lag);
    pace.follow(() => clock.now());
    pace.reached();
    for (let passed = 0; passed < 10 * minuteMs - secondMs; passed += secondMs) {
      clock.advance(secondMs);
      expect(pace.reached()).toBe(clock.now() - lag);
    }
    clock.advance(secondMs);
    expect(pace.reached()).toBe(clock.now());
    // As good as beside the other: it is waited for again.
    lag = 30 * secondMs;
    expect(pace.reached()).toBe(clock.now() - lag);
  });

  it("does not count the time in which nobody asked: the process stood still, not the task", () => {
    const clock = new VirtualClock(0);
    const pace = new Pace(clock);
    pace.follow(() => 300);
    pace.reached();
    clock.advance(30 * minuteMs);
    expect(pace.reached()).toBe(300);
  });
});
