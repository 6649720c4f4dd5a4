import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Notice } from "../../src/alert/alert.ts";
import { dayMs, hourMs, minuteMs, VirtualClock } from "../../src/clock.ts";
import type { PendingRow } from "../../src/sink/outbox.ts";
import {
  createDelivery,
  type Delivery,
  type DeliveryChain,
  type DeliverySettings,
  type DeliveryStatus,
} from "../../src/sink/sink.ts";
import type { State } from "../../src/state/state.ts";
import { silentTelemetry } from "../../src/telemetry.ts";
import { type FakeSink, fakeSink, memoryState, noticeOf, start } from "./fakes.ts";

const delivered: Delivery = { kind: "delivered", receipt: "ok" };
const later: Delivery = { kind: "retry", reason: "busy" };

function page(incident: string, n = 1): Notice {
  return noticeOf({ key: `${incident}/page/${n}`, kind: "page", incident });
}
function update(incident: string, n: number): Notice {
  return noticeOf({ key: `${incident}/update/${n}`, kind: "update", incident });
}

interface WatchedChain extends DeliveryChain {
  /** How far each notice of the incident has come as its state has it, oldest first. */
  deliveriesOf(incidentId: string): readonly DeliveryStatus[];
}

interface Bench {
  readonly clock: VirtualClock;
  readonly state: State;
  readonly delivery: WatchedChain;
  readonly metrics: () => Promise<string>;
  /** Promises and saves, as a stage does with its batch. */
  readonly promise: (...notices: Notice[]) => void;
  /** Moves time in steps small enough that no timer is met late, and lets everything settle. */
  readonly advance: (durationMs: number, stepMs?: number) => Promise<void>;
}

/** The rows of an incident, without what is kept only while they are owed. */
function deliveriesIn(state: State, incidentId: string): readonly DeliveryStatus[] {
  return ["settled", "pending"]
    .flatMap((name) => [...state.table<PendingRow>(name).entries()])
    .filter(([, row]) => row.incidentId === incidentId)
    .map(([, { notice: _notice, order: _order, ...status }]) => status)
    .sort((a, b) => a.promisedAt - b.promisedAt);
}

function bench(sinks: readonly FakeSink[], more: Partial<DeliverySettings> = {}): Bench {
  const clock = (more.clock as VirtualClock | undefined) ?? new VirtualClock(start);
  const state = more.state ?? memoryState();
  const telemetry = silentTelemetry();
  const commit = async (change: () => void) => {
    change();
    await state.commit();
  };
  const chain = createDelivery({ sinks, state, clock, telemetry, commit, ...more });
  const delivery = Object.assign(chain, {
    deliveriesOf: (incidentId: string) => deliveriesIn(state, incidentId),
  });
  return {
    clock,
    state,
    delivery,
    metrics: telemetry.metrics,
    promise(...notices) {
      for (const notice of notices) delivery.promise(notice);
      void state.commit();
    },
    async advance(durationMs, stepMs = durationMs) {
      for (let moved = 0; moved < durationMs; moved += stepMs) {
        clock.advance(Math.min(stepMs, durationMs - moved));
        await delivery.idle();
      }
    },
  };
}

/** Lets everything that needs no timer happen. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe("delivery", () => {
  it("sends each notice to each sink that wants it, once, with its receipt", async () => {
    const soc = fakeSink("soc", () => delivered);
    const pager = fakeSink("pager", undefined, ({ kind }) => kind === "page");
    const { delivery, promise } = bench([soc, pager]);
    delivery.start();
    promise(page("inc_1"), update("inc_2", 1));
    await delivery.idle();
    expect(soc.sent.sort()).toEqual(["inc_1/page/1", "inc_2/update/1"]);
    expect(pager.sent).toEqual(["inc_1/page/1"]);
    expect(delivery.deliveriesOf("inc_1")).toEqual([
      expect.objectContaining({
        sink: "soc",
        status: "delivered",
        receipt: "ok",
        settledAt: start,
      }),
      expect.objectContaining({ sink: "pager", status: "delivered" }),
    ]);
    expect(delivery.deliveriesOf("inc_3")).toEqual([]);
  });

  it("keeps the notice only while it is owed", async () => {
    const { delivery, promise, state } = bench([fakeSink("soc", () => delivered)]);
    promise(page("inc_1"));
    expect(state.table("pending").size).toBe(1);
    delivery.start();
    await delivery.idle();
    expect(state.table("pending").size).toBe(0);
    const rows = [...state.table("settled").entries()];
    expect(rows).toHaveLength(1);
    expect(JSON.stringify(rows)).not.toContain("acme/api");
  });

  it("sends nothing before start, and nothing that was promised again", async () => {
    const soc = fakeSink("soc");
    const { delivery, promise, advance } = bench([soc]);
    promise(page("inc_1"));
    await settle();
    expect(soc.sent).toEqual([]);
    delivery.start();
    await delivery.idle();
    promise(page("inc_1"));
    await advance(minuteMs);
    promise(page("inc_1"));
    await delivery.idle();
    expect(soc.sent).toEqual(["inc_1/page/1"]);
  });

  it("does not send again what was rejected, and keeps the reason", async () => {
    const soc = fakeSink("soc", () => ({ kind: "rejected", reason: "http 400" }));
    const { delivery, promise, advance } = bench([soc]);
    delivery.start();
    promise(page("inc_1"));
    await delivery.idle();
    promise(page("inc_1"));
    await advance(dayMs, hourMs);
    expect(soc.sent).toHaveLength(1);
    expect(delivery.deliveriesOf("inc_1")).toEqual([
      expect.objectContaining({ status: "rejected", reason: "http 400" }),
    ]);
  });

  it("tries again on the schedule, spread by at most a fifth", async () => {
    const times: number[] = [];
    const clock = new VirtualClock(start);
    const soc = fakeSink("soc", (_key, attempt) => {
      times.push(clock.now() - start);
      return attempt <= 7 ? later : delivered;
    });
    const { delivery, promise, advance } = bench([soc], { clock });
    delivery.start();
    promise(page("inc_1"));
    await delivery.idle();
    await advance(3 * hourMs, 250);
    const waits = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    const schedule = [1, 5, 30, 120, 600, 1_800, 3_600].map((seconds) => seconds * 1_000);
    expect(waits).toHaveLength(schedule.length);
    for (const [index, wait] of waits.entries()) {
      const planned = schedule[index] ?? 0;
      expect(wait).toBeGreaterThanOrEqual(planned * 0.8);
      expect(wait).toBeLessThanOrEqual(Math.min(hourMs, planned * 1.2) + 250);
    }
    expect(delivery.deliveriesOf("inc_1")[0]).toMatchObject({ status: "delivered", retries: 7 });
  });

  it.each([
    ["longer than the schedule", 90_000, 90_000],
    ["beyond an hour", 10 * dayMs, hourMs],
    ["not a number", Number.NaN, hourMs],
  ])("waits as the service asked: %s", async (_name, afterMs, wait) => {
    const soc = fakeSink("soc", (_key, n) => (n === 1 ? { ...later, afterMs } : delivered));
    const { delivery, promise, advance } = bench([soc]);
    delivery.start();
    promise(page("inc_1"));
    await delivery.idle();
    await advance(wait - 1, 1_000);
    expect(soc.sent).toHaveLength(1);
    await advance(1);
    expect(soc.sent).toHaveLength(2);
  });

  it("gives a page up only after a day, and says so", async () => {
    const soc = fakeSink("soc", () => later);
    const { delivery, promise, advance, metrics } = bench([soc]);
    delivery.start();
    promise(page("inc_1"));
    await delivery.idle();
    await advance(dayMs - 1, 5 * minuteMs);
    expect(delivery.deliveriesOf("inc_1")[0]?.status).toBe("pending");
    await advance(2 * hourMs, 5 * minuteMs);
    expect(delivery.deliveriesOf("inc_1")[0]).toMatchObject({
      status: "rejected",
      reason: "gave up: busy",
    });
    const tries = soc.sent.length;
    await advance(dayMs, hourMs);
    expect(soc.sent).toHaveLength(tries);
    expect(await metrics()).toContain(
      'pipewarden_deliveries_total{sink="soc",outcome="gave-up"} 1',
    );
  });

  it("never lets an update overtake its page, and other incidents do not wait", async () => {
    const soc = fakeSink("soc", (key, n) => (key === "inc_1/page/1" && n < 3 ? later : delivered));
    const { delivery, promise, advance } = bench([soc]);
    delivery.start();
    promise(page("inc_1"), update("inc_1", 1), page("inc_2"), update("inc_2", 1));
    await delivery.idle();
    expect(soc.sent).toEqual(["inc_1/page/1", "inc_2/page/1", "inc_2/update/1"]);
    await advance(minuteMs, 100);
    expect(soc.sent.slice(3)).toEqual(["inc_1/page/1", "inc_1/page/1", "inc_1/update/1"]);
  });

  it("sends of several waiting updates only the newest", async () => {
    const soc = fakeSink("soc", (key, n) =>
      key === "inc_1/page/1" && n === 1 ? later : delivered,
    );
    const { delivery, promise, advance } = bench([soc]);
    delivery.start();
    promise(page("inc_1"), update("inc_1", 1), update("inc_1", 2), update("inc_2", 1));
    promise(update("inc_1", 3));
    await delivery.idle();
    await advance(minuteMs, 100);
    expect(soc.sent).toEqual(["inc_1/page/1", "inc_2/update/1", "inc_1/page/1", "inc_1/update/3"]);
    const statuses = delivery.deliveriesOf("inc_1").map((row) => [row.noticeKey, row.status]);
    expect(new Map(statuses as [string, string][])).toEqual(
      new Map([
        ["inc_1/page/1", "delivered"],
        ["inc_1/update/1", "superseded"],
        ["inc_1/update/2", "superseded"],
        ["inc_1/update/3", "delivered"],
      ]),
    );
  });

  it("makes a newer update wait as long as the one it replaces had to", async () => {
    const soc = fakeSink("soc", (_key, n) => (n === 1 ? { ...later, afterMs: 60_000 } : delivered));
    const { delivery, promise, advance } = bench([soc]);
    delivery.start();
    promise(update("inc_1", 1));
    await delivery.idle();
    promise(update("inc_1", 2));
    await advance(59_999);
    expect(soc.sent).toEqual(["inc_1/update/1"]);
    await advance(1);
    expect(soc.sent).toEqual(["inc_1/update/1", "inc_1/update/2"]);
  });

  it("never collapses pages", async () => {
    const soc = fakeSink("soc", () => delivered);
    const { delivery, promise } = bench([soc]);
    promise(page("inc_1", 1), page("inc_1", 2));
    delivery.start();
    await delivery.idle();
    expect(soc.sent).toEqual(["inc_1/page/1", "inc_1/page/2"]);
  });

  it("tries at most four at a time per sink, and a stuck sink holds up no other", async () => {
    const stuck = fakeSink("stuck", () => new Promise(() => undefined));
    const soc = fakeSink("soc", () => delivered);
    const state = memoryState();
    const { delivery, promise, clock } = bench([stuck, soc], { state });
    delivery.start();
    const incidents = Array.from({ length: 10 }, (_, n) => `inc_${n}`);
    promise(...incidents.map((incident) => page(incident)));
    await settle();
    expect(stuck.sent).toHaveLength(4);
    expect(soc.sent).toHaveLength(10);
    // While all places are taken nothing is looked for in vain.
    const commits = state.commits();
    for (let n = 0; n < 100; n++) {
      clock.advance(100);
      await settle();
    }
    expect(state.commits() - commits).toBeLessThan(3);
    clock.advance(5_000);
    await settle();
    expect(new Set(stuck.sent).size).toBe(8);
    expect(delivery.deliveriesOf("inc_0")).toContainEqual(
      expect.objectContaining({ sink: "stuck", reason: "no answer within 15000 ms", retries: 1 }),
    );
  });

  it("tells the sink when its time is over", async () => {
    let signal: AbortSignal | undefined;
    const soc = fakeSink("soc");
    const listening = {
      ...soc,
      send: (_notice: Notice, given: AbortSignal) => {
        signal = given;
        return new Promise<Delivery>(() => undefined);
      },
    };
    const { delivery, promise, clock } = bench([listening], { attemptTimeoutMs: 1_000 });
    delivery.start();
    promise(page("inc_1"));
    await settle();
    clock.advance(999);
    expect(signal?.aborted).toBe(false);
    clock.advance(1);
    expect(signal?.aborted).toBe(true);
  });

  it("takes a sink that throws for one that is out of order", async () => {
    const soc = fakeSink("soc", (_key, attempt) => {
      if (attempt === 1) throw new Error("bug\u0007");
      return delivered;
    });
    const { delivery, promise, advance } = bench([soc]);
    delivery.start();
    promise(page("inc_1"));
    await delivery.idle();
    expect(delivery.deliveriesOf("inc_1")[0]).toMatchObject({
      status: "pending",
      reason: "the sink failed: Error: bug\\u0007",
    });
    await advance(2_000);
    expect(delivery.deliveriesOf("inc_1")[0]?.status).toBe("delivered");
  });

  it("full, refuses updates and lets a page take an update's place", async () => {
    const soc = fakeSink("soc", () => later);
    const { delivery, promise, state } = bench([soc], { queueMax: 3 });
    promise(
      update("inc_1", 1),
      update("inc_2", 1),
      page("inc_3"),
      update("inc_4", 1),
      page("inc_5"),
    );
    promise(page("inc_6"), page("inc_7"));
    const status = (incident: string) => delivery.deliveriesOf(incident)[0];
    expect(state.table("pending").size).toBe(3);
    for (const incident of ["inc_3", "inc_5", "inc_6"]) {
      expect(status(incident)?.status).toBe("pending");
    }
    for (const incident of ["inc_1", "inc_2", "inc_4", "inc_7"]) {
      expect(status(incident)).toMatchObject({ status: "rejected", reason: "outbox full" });
    }
  });

  it("knows a delivered notice for as long as it is told, then forgets it", async () => {
    const soc = fakeSink("soc", () => delivered);
    const { delivery, promise, advance, state } = bench([soc], { keepDeliveredMs: 3 * hourMs });
    delivery.start();
    promise(page("inc_1"));
    await delivery.idle();
    await advance(3 * hourMs);
    promise(page("inc_1"), page("inc_2"));
    await delivery.idle();
    expect(soc.sent).toEqual(["inc_1/page/1", "inc_2/page/1"]);
    await advance(2 * hourMs);
    promise(page("inc_3"));
    await delivery.idle();
    expect(state.table("settled").get("inc_1/page/1\u0000soc")).toBeUndefined();
    expect(state.table("settled").get("inc_2/page/1\u0000soc")).toBeDefined();
  });

  it("keeps what a removed sink is owed for a day, in case it comes back", async () => {
    const state = memoryState();
    bench([fakeSink("old")], { state }).promise(page("inc_1"));
    const soc = fakeSink("soc");
    const { delivery, promise, advance } = bench([soc], { state });
    delivery.start();
    promise(page("inc_2"));
    await advance(22 * hourMs, hourMs);
    expect(delivery.deliveriesOf("inc_1")[0]?.status).toBe("pending");
    await advance(4 * hourMs, hourMs);
    promise(page("inc_3"));
    await delivery.idle();
    expect(delivery.deliveriesOf("inc_1")[0]).toMatchObject({
      status: "rejected",
      reason: "gave up: no such sink is configured",
    });
  });

  it("forgets a promise whose batch was rolled back, and takes it when it is made again", async () => {
    const soc = fakeSink("soc", () => delivered);
    const { delivery, promise, state } = bench([soc]);
    delivery.promise(page("inc_1"));
    state.rollback();
    delivery.start();
    await delivery.idle();
    expect(soc.sent).toEqual([]);
    promise(page("inc_1"));
    await delivery.idle();
    expect(soc.sent).toEqual(["inc_1/page/1"]);
  });

  it("does not send twice when the mark could not be saved, and saves it later", async () => {
    const state = memoryState();
    let broken = false;
    const commit = async (change: () => void) => {
      change();
      if (broken) {
        state.rollback();
        throw new Error("disk full");
      }
      await state.commit();
    };
    const soc = fakeSink("soc", () => {
      broken = true;
      return delivered;
    });
    const { delivery, promise, clock } = bench([soc], { state, commit });
    delivery.start();
    promise(page("inc_1"));
    await settle();
    for (let n = 0; n < 20; n++) {
      clock.advance(1_000);
      await settle();
    }
    expect(delivery.deliveriesOf("inc_1")[0]?.status).toBe("pending");
    broken = false;
    clock.advance(1_000);
    await delivery.idle();
    expect(delivery.deliveriesOf("inc_1")[0]?.status).toBe("delivered");
    expect(soc.sent).toHaveLength(1);
  });

  it("sends nothing of an incident while one of its notices is on its way", async () => {
    const answer = Promise.withResolvers<Delivery>();
    const soc = fakeSink("soc", (key) => (key === "inc_1/page/1" ? answer.promise : delivered));
    const { delivery, promise } = bench([soc]);
    delivery.start();
    promise(page("inc_1"));
    await settle();
    promise(page("inc_2"), update("inc_1", 1));
    await settle();
    expect(soc.sent).toEqual(["inc_1/page/1", "inc_2/page/1"]);
    answer.resolve(delivered);
    await delivery.idle();
    expect(soc.sent).toEqual(["inc_1/page/1", "inc_2/page/1", "inc_1/update/1"]);
  });

  it.each([
    ["rolled back", true],
    ["left in memory", false],
  ])(
    "after a commit that failed and was %s, counts each try and each update once",
    async (_n, undo) => {
      const state = memoryState();
      let broken = false;
      const commit = async (change: () => void) => {
        change();
        if (!broken) return state.commit();
        if (undo) state.rollback();
        throw new Error("disk full");
      };
      const soc = fakeSink("soc", () => {
        broken = true;
        return { ...later, afterMs: 60_000 };
      });
      const { delivery, promise, clock } = bench([soc], { state, commit });
      delivery.start();
      promise(page("inc_1"), update("inc_1", 1));
      await settle();
      expect(soc.sent).toEqual(["inc_1/page/1"]);
      delivery.promise(update("inc_1", 2));
      void state.commit();
      for (let n = 0; n < 3; n++) {
        clock.advance(1_000);
        await settle();
      }
      broken = false;
      clock.advance(1_000);
      await delivery.idle();
      const rows = delivery.deliveriesOf("inc_1").map(({ noticeKey, status, retries }) => {
        return [noticeKey, status, retries] as const;
      });
      expect(rows.toSorted()).toEqual([
        ["inc_1/page/1", "pending", 1],
        ["inc_1/update/1", "superseded", 0],
        ["inc_1/update/2", "pending", 0],
      ]);
    },
  );

  it("tells the age of what it owes, also while nothing happens", async () => {
    const soc = fakeSink("soc", (_key, n) => (n === 1 ? { ...later, afterMs: hourMs } : delivered));
    const { delivery, promise, advance, metrics } = bench([soc]);
    const age = async () => /outbox_oldest_seconds\{sink="soc"\} (\S+)/.exec(await metrics())?.[1];
    delivery.start();
    promise(page("inc_1"));
    await delivery.idle();
    await advance(10 * minuteMs);
    expect(Number(await age())).toBe(600);
    await advance(50 * minuteMs);
    expect(Number(await age())).toBe(0);
  });
});

describe("stopping", () => {
  it("lets an attempt finish, saves it, leaves the sinks open, and starts nothing new", async () => {
    const answer = Promise.withResolvers<Delivery>();
    const soc = fakeSink("soc", () => answer.promise);
    const { delivery, promise } = bench([soc]);
    delivery.start();
    promise(page("inc_1"));
    await settle();
    const stopped = delivery.stop();
    promise(page("inc_2"));
    await settle();
    answer.resolve(delivered);
    await stopped;
    expect(soc.closed).toBe(false);
    expect(soc.sent).toEqual(["inc_1/page/1"]);
    expect(delivery.deliveriesOf("inc_1")[0]?.status).toBe("delivered");
    expect(delivery.deliveriesOf("inc_2")[0]?.status).toBe("pending");
    await delivery.stop();
  });

  it("cuts a hanging attempt after the grace; it stays owed as it was and is sent by the next", async () => {
    const state = memoryState();
    const stuck = fakeSink("soc", () => new Promise(() => undefined));
    const first = bench([stuck], { state, stopGraceMs: 5_000 });
    first.delivery.start();
    first.promise(page("inc_1"));
    await settle();
    const stopped = first.delivery.stop();
    first.clock.advance(5_000);
    await stopped;
    expect(first.delivery.deliveriesOf("inc_1")[0]).toMatchObject({
      status: "pending",
      retries: 0,
    });
    const soc = fakeSink("soc", () => delivered);
    const second = bench([soc], { state, clock: first.clock });
    second.delivery.start();
    await second.delivery.idle();
    expect(soc.sent).toEqual(["inc_1/page/1"]);
  });

  it("ends at once when it never started, and sends nothing", async () => {
    const soc = fakeSink("soc");
    const { delivery, promise } = bench([soc]);
    promise(page("inc_1"));
    await delivery.stop();
    delivery.start();
    await settle();
    expect(soc.sent).toEqual([]);
    expect(delivery.deliveriesOf("inc_1")[0]?.status).toBe("pending");
  });
});

describe("crashes", () => {
  /**
   * Thrown where the process dies. What it had not committed is gone; the service it sent to
   * remembers.
   */
  const crash = new Error("crash");

  /**
   * One life after another over the same state: each dies at its step (promise, commits, sends and
   * marks are counted in order), the last one lives. The bus gives the batch again for as long as
   * its commit did not happen.
   */
  async function lives(
    crashSteps: readonly number[],
  ): Promise<{ sent: string[]; rows: unknown[] }> {
    const state = memoryState();
    const clock = new VirtualClock(start);
    const sent: string[] = [];
    let applied = false;
    for (const crashStep of [...crashSteps, Number.POSITIVE_INFINITY]) {
      let step = 0;
      let dead = false;
      const pass = () => {
        if (dead || step++ === crashStep) {
          dead = true;
          throw crash;
        }
      };
      const sink = fakeSink("soc", (key) => {
        pass();
        sent.push(key);
        pass();
        return delivered;
      });
      const commit = async (change: () => void) => {
        pass();
        change();
        pass();
        await state.commit();
        pass();
      };
      const { delivery } = bench([sink], { state, clock, commit });
      try {
        delivery.start();
        if (!applied) {
          pass();
          delivery.promise(page("inc_1"));
          pass();
          void state.commit();
          applied = true;
          pass();
        }
      } catch (error) {
        if (error !== crash) throw error;
      }
      await settle();
      if (dead) state.rollback();
      else await delivery.idle();
      if (!dead && crashStep === Number.POSITIVE_INFINITY) {
        return { sent, rows: [...delivery.deliveriesOf("inc_1")] };
      }
      clock.advance(1_000);
    }
    throw new Error("the last life does not crash");
  }

  const steps = Array.from({ length: 16 }, (_, step) => step);

  it("counts enough steps to reach every point", async () => {
    // A crash at a step nobody reaches is a life without a crash: the walk below would prove
    // nothing there.
    const whole = await lives([]);
    expect(whole.sent).toEqual(["inc_1/page/1"]);
    const twice = await Promise.all(steps.map(async (step) => (await lives([step])).sent.length));
    expect(twice).toContain(2);
  });

  it.each(steps)(
    "at step %i: sent at least once, always under one key, and marked",
    async (step) => {
      const { sent, rows } = await lives([step]);
      expect(sent.length).toBeGreaterThanOrEqual(1);
      expect(sent.length).toBeLessThanOrEqual(2);
      expect(new Set(sent).size).toBe(1);
      expect(rows).toEqual([expect.objectContaining({ status: "delivered" })]);
    },
  );

  it("again and again, at any steps", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(15), { maxLength: 6 }), async (crashSteps) => {
        const { sent, rows } = await lives(crashSteps);
        expect(new Set(sent).size).toBe(1);
        expect(sent.length).toBeLessThanOrEqual(crashSteps.length + 1);
        expect(rows).toEqual([expect.objectContaining({ status: "delivered" })]);
      }),
      { seed: 20_261_123, numRuns: 200 },
    );
  });
});

describe("any order of promises, refusals and restarts", () => {
  it("delivers every page exactly once per receiver and keeps each incident's order", async () => {
    const act = fc.oneof(
      fc.record({ page: fc.nat(3) }),
      fc.record({ update: fc.nat(3) }),
      fc.record({ wait: fc.constantFrom(0, 1_000, 40_000) }),
      fc.constant("restart" as const),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 30 }), fc.infiniteStream(fc.nat(3)), run),
      { seed: 20_261_124, numRuns: 100 },
    );
  });

  type Act = "restart" | { page?: number; update?: number; wait?: number };

  async function run(acts: readonly Act[], luck: Iterator<number>): Promise<void> {
    const state = memoryState();
    const clock = new VirtualClock(start);
    const taken: string[] = [];
    const make = () => {
      const sink = fakeSink("soc", (key) => {
        if (luck.next().value === 0) return later;
        taken.push(key);
        return delivered;
      });
      const made = bench([sink], { state, clock });
      made.delivery.start();
      return made;
    };
    let current = make();
    const promised: string[] = [];
    for (const [index, one] of acts.entries()) {
      if (one === "restart") {
        await current.delivery.stop();
        current = make();
      } else if (one.wait !== undefined) {
        await current.advance(one.wait, 1_000);
      } else {
        const kind = one.page === undefined ? "update" : "page";
        const incident = `inc_${one.page ?? one.update}`;
        const notice = noticeOf({ key: `${incident}/${kind}/${index}`, kind, incident });
        promised.push(notice.key);
        current.promise(notice);
        await current.delivery.idle();
      }
    }
    await current.advance(2 * dayMs, 10 * minuteMs);
    expect(new Set(taken).size).toBe(taken.length);
    const pages = promised.filter((key) => key.includes("/page/"));
    expect(taken.filter((key) => key.includes("/page/")).sort()).toEqual(pages.sort());
    for (const incident of ["inc_0", "inc_1", "inc_2", "inc_3"]) {
      const order = taken
        .filter((key) => key.startsWith(incident))
        .map((key) => Number(key.split("/")[2]));
      expect(order).toEqual(order.toSorted((a, b) => a - b));
      const last = promised.filter((key) => key.startsWith(incident)).at(-1);
      if (last !== undefined) expect(taken).toContain(last);
    }
  }
});
