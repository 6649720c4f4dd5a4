/** @module One task: when its state is taken from it, what time it is for it, and how it ends. */

import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../src/clock.ts";
import { ServiceError, UnavailableError } from "../../src/error.ts";
import { noticeRecord } from "../../src/pipeline/records.ts";
import type { OpenStage, Stage, TaskParts } from "../../src/pipeline/stage.ts";
import { createDeliverStage, deliveryRecords } from "../../src/pipeline/stages.ts";
import { createDelivery } from "../../src/sink/sink.ts";
import { openMemoryState } from "../../src/state/memory.ts";
import type { StateStore } from "../../src/state/state.ts";
import { silentTelemetry } from "../../src/telemetry.ts";
import { text, turns } from "../contract/bus.ts";
import { fakeSink, noticeOf } from "../sink/fakes.ts";
import { commitsThrough } from "../state/kept.ts";
import { countingStage, owner, recordOf, rigOf } from "./task-rig.ts";

/** What was last saved; whoever had the state has it no more. */
async function saved(states: StateStore): Promise<Record<string, number>> {
  return Object.fromEntries((await states.open(owner)).table<number>("counts").entries());
}

function taken(): ServiceError {
  return new ServiceError({ code: "state-taken", place: "x", expected: "ours", found: "theirs" });
}

describe("a state that is taken", () => {
  it("stops the work until it is opened anew, a second later, where the other one has come to", async () => {
    const { clock, states, appended, open } = rigOf();
    const [a, b, c] = ["a", "b", "c"].map((value, offset) => recordOf(value, offset));
    if (a === undefined || b === undefined || c === undefined) throw new Error("no records");
    const task = await open();
    await task.batch([a]);
    const other = await states.open(owner);
    other.table<number>("counts").put("b", 1);
    other.advance("events", 0, 2);
    await other.commit();
    await expect(task.batch([b, c])).rejects.toThrow(UnavailableError);
    clock.advance(999);
    await turns();
    await expect(task.batch([b, c])).rejects.toThrow("opened elsewhere");
    await expect(task.change(() => [])).rejects.toThrow("opened elsewhere");
    clock.advance(1);
    await turns();
    expect(task.position).toBe(2);
    await task.batch([b, c]);
    await task.stop();
    expect(await saved(states)).toEqual({ a: 1, b: 1, c: 1 });
    // Nobody had saved that the first was on the bus: it may be there twice, under the same id.
    expect([...new Set(appended)]).toEqual(["matches: id of a", "matches: id of c"]);
  });

  it("loses and repeats nothing when the commit that failed was saved all the same", async () => {
    let failing = false;
    const states = commitsThrough(async (commit) => {
      await commit();
      if (failing) throw taken();
    });
    const { clock, appended, open } = rigOf({ states });
    const task = await open();
    failing = true;
    await expect(task.batch([recordOf("a", 0)])).rejects.toThrow(UnavailableError);
    expect(appended).toEqual([]);
    failing = false;
    clock.advance(1_000);
    await turns();
    // What it had decided goes out by itself, and the records that come again are known.
    clock.advance(100);
    await turns();
    expect(appended).toEqual(["matches: id of a"]);
    await task.batch([recordOf("a", 0), recordOf("b", 1)]);
    await task.stop();
    expect(await saved(states)).toEqual({ a: 1, b: 1 });
    expect(appended).toEqual(["matches: id of a", "matches: id of b"]);
  });

  it("is tried again for as long as it cannot be opened", async () => {
    const states = openMemoryState();
    let [opens, refused] = [0, false];
    const refusing: StateStore = {
      close: () => states.close(),
      open: async (whose) => {
        opens += 1;
        if (refused) throw taken();
        return states.open(whose);
      },
    };
    const { clock, open } = rigOf({ states: refusing });
    const task = await open();
    await states.open(owner);
    refused = true;
    await expect(task.batch([recordOf("a", 0)])).rejects.toThrow(UnavailableError);
    for (let second = 0; second < 3; second += 1) {
      clock.advance(1_000);
      await turns();
    }
    expect(opens).toBe(4);
    refused = false;
    clock.advance(1_000);
    await turns();
    await task.batch([recordOf("a", 0)]);
    await task.stop();
    expect(await saved(states)).toEqual({ a: 1 });
  });

  it("is opened anew although the stage saves as it stops, in a turn of its own", async () => {
    const stopped: string[] = [];
    const { clock, states, open } = rigOf({
      open: ({ state, change }) => ({
        make: () => countingStage(state),
        stop: () =>
          change(() => []).then(
            () => void stopped.push("saved"),
            () => void stopped.push("refused"),
          ),
      }),
    });
    const task = await open();
    await states.open(owner);
    const refusals = [task.batch([recordOf("a", 0)]), task.batch([recordOf("a", 0)])];
    expect((await Promise.allSettled(refusals)).map(({ status }) => status)).toEqual([
      "rejected",
      "rejected",
    ]);
    clock.advance(1_000);
    await turns();
    expect(stopped).toEqual(["refused"]);
    await task.batch([recordOf("a", 0)]);
    await task.stop();
    expect(stopped).toEqual(["refused", "saved"]);
    expect(await saved(states)).toEqual({ a: 1 });
  });

  it("is left alone by a task that is stopped while it opens it", async () => {
    const states = openMemoryState();
    const gate = Promise.withResolvers<void>();
    let [gated, started] = [false, 0];
    const slow: StateStore = {
      close: () => states.close(),
      open: async (whose) => {
        if (gated) await gate.promise;
        return states.open(whose);
      },
    };
    const { clock, open } = rigOf({
      states: slow,
      open: ({ state }) => ({ make: () => countingStage(state), start: () => void started++ }),
    });
    const task = await open();
    await states.open(owner);
    await expect(task.batch([recordOf("a", 0)])).rejects.toThrow(UnavailableError);
    gated = true;
    clock.advance(1_000);
    await turns();
    const stopping = task.stop();
    gate.resolve();
    await stopping;
    clock.advance(10_000);
    await turns();
    expect(started).toBe(1);
    await expect(task.batch([recordOf("a", 0)])).rejects.toThrow("opened elsewhere");
  });

  it("holds up no delivery: what a sink had answered is sent again under its key", async () => {
    const clock = new VirtualClock();
    const telemetry = silentTelemetry();
    let [isTaken, notices] = [false, 0];
    const states = commitsThrough(async (commit) => {
      if (isTaken) throw taken();
      await commit();
    });
    const sink = fakeSink("soc", () => {
      // Its outcome can no longer be saved.
      isTaken = notices++ === 0;
      return { kind: "delivered" };
    });
    const { open } = rigOf({
      ...{ clock, states },
      open: ({ state, change }) => {
        const chain = createDelivery({
          ...{ sinks: [sink], state, clock, telemetry },
          commit: (moved) => change(() => deliveryRecords(moved())),
        });
        return {
          make: () => createDeliverStage(chain),
          start: () => chain.start(),
          stop: () => chain.stop(),
        };
      },
    });
    const task = await open();
    const page = noticeRecord(noticeOf({ key: "inc_1/page/1" }));
    await task.batch([{ ...recordOf("", 0), ...page, partition: 0 }]);
    await turns();
    expect(sink.sent).toEqual(["inc_1/page/1"]);
    isTaken = false;
    // No other page comes.
    for (let second = 0; second < 10; second += 1) {
      clock.advance(1_000);
      await turns();
    }
    expect(sink.sent).toEqual(["inc_1/page/1", "inc_1/page/1"]);
    await task.stop();
    const rows = (await states.open(owner)).table("pending");
    expect(rows.size).toBe(0);
  });
});

/** Each value is `name` or `name+ms`: due so long after its arrival. Logs in the order of events. */
function waitingStage(log: string[], onApply: () => void = () => undefined): Stage {
  const waiting = new Map<string, number>();
  return {
    apply: (records) => {
      for (const { value, appendedAt } of records) {
        const [name = "", delay] = text(value).split("+");
        log.push(`${name} came`);
        if (delay !== undefined) waiting.set(name, appendedAt + Number(delay));
      }
      onApply();
      return [];
    },
    tick: (now) => {
      const due = [...waiting].filter(([, at]) => at <= now).sort(([, a], [, b]) => a - b);
      for (const [name] of due) waiting.delete(name);
      log.push(`at ${now}: ${due.map(([name]) => name).join(" ")}`);
      return [];
    },
    nextTick: () => (waiting.size === 0 ? undefined : Math.min(...waiting.values())),
  };
}

interface Arrival {
  readonly at: number;
  readonly value: string;
}

/** Reads each record when it comes. */
async function awake(arrivals: readonly Arrival[], end: number): Promise<string[]> {
  const log: string[] = [];
  const { clock, open } = rigOf({ open: () => ({ make: () => waitingStage(log) }) });
  const task = await open();
  for (let now = 0; now <= end; now += 100) {
    clock.advanceTo(now);
    await turns(2);
    for (const [offset, { at, value }] of arrivals.entries()) {
      if (at === now) await task.batch([recordOf(value, offset, at)]);
    }
  }
  await task.stop();
  return log;
}

/** Reads all of them at the end, in batches of `size`. */
async function late(arrivals: readonly Arrival[], end: number, size = 500): Promise<string[]> {
  const log: string[] = [];
  const clock = new VirtualClock(end);
  let behind = arrivals.length;
  const parts = { clock, behind: () => behind };
  const { open } = rigOf({ ...parts, open: () => ({ make: () => waitingStage(log) }) });
  const task = await open();
  const records = arrivals.map(({ at, value }, offset) => recordOf(value, offset, at));
  while (behind > 0) {
    // Meanwhile timers go off.
    await task.tick();
    await task.batch(records.slice(-behind).slice(0, size));
    behind = Math.max(0, behind - size);
  }
  clock.advance(100);
  await turns();
  await task.stop();
  return log;
}

const told = (log: readonly string[]): string[] =>
  log.map((line) => line.replace(/^at \d+: /, "due: ")).filter((line) => line !== "due: ");

describe("the time of a task", () => {
  it("is no time at all before the first arrival while records wait", async () => {
    const ticks: number[] = [];
    const clock = new VirtualClock(50_000);
    let behind: number | undefined;
    let wake: (() => void) | undefined;
    const { open } = rigOf({
      ...{ clock, behind: () => behind },
      open: (parts) => {
        wake = parts.wake;
        return {
          make: () => ({
            apply: () => [],
            tick: (now) => {
              ticks.push(now);
              return [];
            },
            nextTick: () => (ticks.at(-1) ?? 0) + 10_000,
          }),
        };
      },
    });
    const task = await open();
    for (const known of [undefined, 3]) {
      behind = known;
      wake?.();
      await task.tick();
      clock.advance(1_000);
      await turns();
    }
    expect(ticks).toEqual([]);
    await task.batch([recordOf("a", 0, 20_000)]);
    expect(ticks).toEqual([20_000]);
    // Records wait still, so time stands where the last one came.
    behind = 2;
    await task.tick();
    clock.advance(1_000);
    await turns();
    expect(new Set(ticks)).toEqual(new Set([20_000]));
    await task.batch([recordOf("b", 1, 25_000), recordOf("c", 2, 41_000)]);
    behind = 0;
    clock.advance(1_000);
    await turns();
    expect(ticks.filter((at) => at > 20_000)).toEqual([41_000, 54_000]);
    await task.stop();
  });

  it("that reads late is that of one which was awake, where what is due falls on arrivals", async () => {
    const arrivals: Arrival[] = [
      { at: 1_000, value: "a+2000" },
      { at: 3_000, value: "b+1000" },
      { at: 4_000, value: "c+20000" },
      { at: 4_000, value: "d" },
      { at: 24_000, value: "e" },
    ];
    const expected = ["a came", "at 3000: a", "b came", "at 4000: b", "c came", "d came"];
    expected.push("at 24000: c", "e came");
    expect(await awake(arrivals, 25_000)).toEqual(expected);
    for (const size of [1, 2, 500]) {
      const log = await late(arrivals, 25_000, size);
      expect(log.filter((line) => !/^at \d+: $/.test(line))).toEqual(expected);
    }
  });

  it("lets nothing that is due pass a record that came before", async () => {
    const arrivals: Arrival[] = [
      { at: 1_000, value: "a+1700" },
      { at: 1_200, value: "b+3000" },
      // In one second, and the first is due between.
      { at: 2_500, value: "x" },
      { at: 2_900, value: "c" },
      { at: 4_100, value: "d+5900" },
      { at: 4_300, value: "e+95000" },
      { at: 60_000, value: "f" },
      // Due by the wall clock alone.
    ];
    const expected = ["a came", "b came", "x came", "due: a", "c came"];
    expected.push("d came", "due: b", "e came", "due: d", "f came", "due: e");
    expect(told(await awake(arrivals, 100_000))).toEqual(expected);
    for (const size of [1, 2, 3, 500]) {
      expect(told(await late(arrivals, 100_000, size))).toEqual(expected);
    }
  });

  it("goes back with a batch that failed, for when it comes again", async () => {
    let failing = true;
    const log: string[] = [];
    const open = ({ state }: TaskParts): OpenStage => ({
      make: () =>
        waitingStage(log, () => {
          state.table("counts").put("tried", 1);
          if (failing && log.includes("c came")) throw new UnavailableError("not now");
        }),
    });
    const rig = rigOf({ open, behind: () => 3, clock: new VirtualClock(20_000) });
    const task = await rig.open();
    const arrivals = ["a+5000", "b", "c"].map((value, index) => {
      return recordOf(value, index, 1_000 + index * 4_500);
    });
    await expect(task.batch(arrivals)).rejects.toThrow("not now");
    const first = log.splice(0);
    failing = false;
    await task.batch(arrivals);
    expect(log).toEqual(first);
    expect(log).toEqual(["a came", "b came", "at 10000: a", "c came"]);
    await task.stop();
  });
});

describe("a clean stop", () => {
  it("leaves nothing owed: whoever is next appends nothing again", async () => {
    const rig = rigOf();
    const task = await rig.open();
    await task.batch([recordOf("a", 0)]);
    await task.stop();
    expect((await rig.states.open(owner)).table("outgoing").size).toBe(0);
    const next = await rig.open();
    expect(next.owed).toBe(0);
    await next.batch([recordOf("a", 0), recordOf("b", 1)]);
    await next.stop();
    expect(rig.appended).toEqual(["matches: id of a", "matches: id of b"]);
  });

  it.each([
    ["takes to the bus what that had refused before", false, ["matches: id of a"]],
    ["that cannot reach the bus leaves it to the next", true, []],
  ])("%s", async (_name, isFullAtTheStop, appendedByTheStop) => {
    let full = true;
    const onAppend = () => {
      if (full) throw new UnavailableError("full");
    };
    const rig = rigOf({ onAppend });
    const task = await rig.open();
    await expect(task.batch([recordOf("a", 0)])).rejects.toThrow(UnavailableError);
    expect(task.owed).toBe(1);
    full = isFullAtTheStop;
    await task.stop();
    expect(rig.appended).toEqual(appendedByTheStop);
    full = false;
    const next = await rig.open();
    await next.stop();
    expect(rig.appended).toEqual(["matches: id of a"]);
    expect(await saved(rig.states)).toEqual({ a: 1 });
  });

  it("saves what the stage still changes, after the batch under way", async () => {
    const gate = Promise.withResolvers<void>();
    const happened: string[] = [];
    const rig = rigOf({
      open: ({ state, change }) => ({
        make: () => ({
          apply: async () => {
            await gate.promise;
            happened.push("batch");
            return [];
          },
        }),
        stop: () =>
          change(() => {
            happened.push("last change");
            state.table<number>("counts").put("stopped", 1);
            return [];
          }),
      }),
    });
    const task = await rig.open();
    const batch = task.batch([recordOf("a", 0)]);
    const stopping = task.stop();
    await turns();
    expect(happened).toEqual([]);
    gate.resolve();
    await Promise.all([batch, stopping]);
    expect(happened).toEqual(["batch", "last change"]);
    expect(await saved(rig.states)).toEqual({ stopped: 1 });
  });
});
