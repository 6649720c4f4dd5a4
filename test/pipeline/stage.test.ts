import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Bus, NewRecord, Topic } from "../../src/bus/bus.ts";
import { openMemoryBus } from "../../src/bus/memory.ts";
import { VirtualClock } from "../../src/clock.ts";
import { ServiceError, UnavailableError } from "../../src/error.ts";
import type { Stage, TaskParts } from "../../src/pipeline/stage.ts";
import { StageRunner } from "../../src/pipeline/stage-runner.ts";
import { openEmbeddedState } from "../../src/state/embedded.ts";
import { openMemoryState } from "../../src/state/memory.ts";
import type { State, StateOwner, StateStore } from "../../src/state/state.ts";
import { silentTelemetry } from "../../src/telemetry.ts";
import { text, turns } from "../contract/bus.ts";
import { replacing } from "../contract/replacing.ts";
import { commitsThrough } from "../state/kept.ts";
import { countingStage } from "./task-rig.ts";

const folder = mkdtempSync(join(tmpdir(), "pipewarden-stage-"));
let files = 0;

afterAll(() => rmSync(folder, { recursive: true }));

function newPath(): string {
  files += 1;
  return join(folder, `state-${files}.db`);
}

/** Where a fault may strike, in the order of a batch; `saved` is right after the commit. */
type Step = "apply" | "append" | "appended" | "commit" | "saved";

/** Throws what it is told to at the n-th time the steps come by. */
class Faults {
  readonly steps: Step[] = [];
  #at = new Map<number, Error>();
  #lasting: Error | undefined;

  /** Counted from 0 over all steps to come. */
  strike(at: number, error: Error, lasting: "once" | "lasting" = "once"): void {
    this.#at.set(this.steps.length + at, error);
    if (lasting === "lasting") this.#lasting = error;
  }

  pass(step: Step): void {
    const error = this.#at.get(this.steps.length);
    this.steps.push(step);
    if (error === undefined) return;
    // A process that died does not come back by itself.
    if (this.#lasting !== undefined) for (let n = 0; n < 1_000; n += 1) this.strike(n, error);
    throw error;
  }
}

function faultyBus(bus: Bus, faults: Faults): Bus {
  return replacing(bus, {
    append: async (records) => {
      faults.pass("append");
      await bus.append(records);
      faults.pass("appended");
    },
  });
}

/** A store whose commits may fail, and which shows the states that are open. */
class WatchedStates implements StateStore {
  readonly opened = new Map<number, State>();
  readonly #states: StateStore;

  constructor(states: StateStore, faults: Faults) {
    this.#states = commitsThrough(async (commit) => {
      faults.pass("commit");
      await commit();
      faults.pass("saved");
    }, states);
  }

  async open(owner: StateOwner): Promise<State> {
    const state = await this.#states.open(owner);
    this.opened.set(owner.partition, state);
    return state;
  }

  close(): Promise<void> {
    return this.#states.close();
  }

  /** One table over all partitions. */
  rows(name: string): Record<string, number> {
    const rows = [...this.opened.values()].flatMap((state) => [
      ...state.table<number>(name).entries(),
    ]);
    return Object.fromEntries(rows.sort());
  }
}

function eventOf(value: string): NewRecord {
  return { topic: "events", key: value, value: Buffer.from(value) };
}

interface Parts {
  readonly bus: Bus;
  readonly clock: VirtualClock;
  readonly states: StateStore;
  readonly make: (state: State, parts: TaskParts) => Stage;
}

function runnerOf({ bus, clock, states, make }: Parts): StageRunner {
  const telemetry = silentTelemetry();
  return new StageRunner({
    definition: {
      name: "detect",
      topic: "events",
      open: (parts) => ({ make: () => make(parts.state, parts) }),
    },
    ...{ bus, states, clock, telemetry },
  });
}

/** A change that tells the bus nothing. */
function put(change: () => unknown): readonly NewRecord[] {
  change();
  return [];
}

/** Moves the clock on while the work waits for it. */
async function drained(runner: StageRunner, clock: VirtualClock): Promise<void> {
  let done = false;
  const ended = runner.drained().finally(() => {
    done = true;
  });
  for (let step = 0; step < 500 && !done; step += 1) {
    await turns(3);
    clock.advance(1_000);
  }
  if (!done) throw new Error("not drained");
  await ended;
}

/** Every value of a topic, in the order of partitions and offsets. */
async function valuesOf(bus: Bus, topic: Topic): Promise<string[]> {
  const values: string[] = [];
  const reader = await bus.consume(
    { group: `reader of ${topic} ${Math.random()}`, topics: [topic] },
    {
      assigned: async () => 0,
      revoked: async () => undefined,
      batch: async (_topic, _partition, records) => {
        values.push(...records.map(({ value }) => text(value)));
      },
    },
  );
  await reader.drained();
  await reader.stop();
  return values;
}

function countsOf(states: WatchedStates): Record<string, number> {
  return states.rows("counts");
}

/** One partition, so one task: what a test counts is what that one did. */
function openParts(make?: Parts["make"], faults = new Faults()) {
  const clock = new VirtualClock();
  const plainBus = openMemoryBus({ clock, partitions: 1 });
  const bus = faultyBus(plainBus, faults);
  const states = new WatchedStates(openMemoryState(), faults);
  let opened: TaskParts | undefined;
  const runner = runnerOf({
    ...{ bus, clock, states },
    make: (own, parts) => {
      opened = parts;
      return make === undefined ? countingStage(own) : make(own, parts);
    },
  });
  const task = (): TaskParts => {
    if (opened === undefined) throw new Error("no task is open");
    return opened;
  };
  return { clock, bus, plainBus, states, runner, faults, task };
}

describe("a batch", () => {
  it("has its decision saved with its position, and on the bus after that", async () => {
    const { runner, plainBus, faults, states, clock } = openParts();
    await plainBus.append([eventOf("a")]);
    await runner.start();
    await drained(runner, clock);
    expect(faults.steps).toEqual(["commit", "saved", "append", "appended"]);
    expect(await valuesOf(plainBus, "matches")).toEqual(["id of a"]);
    expect(countsOf(states)).toEqual({ a: 1 });
    expect(runner.backlog()).toBe(0);
    await runner.stop();
  });

  it("is not applied again after its position was saved, by whoever comes next", async () => {
    const { runner, plainBus, states, clock } = openParts();
    await plainBus.append(["a", "b", "c"].map(eventOf));
    await runner.start();
    await drained(runner, clock);
    await runner.stop();
    const again = runnerOf({ bus: plainBus, clock, states, make: (own) => countingStage(own) });
    await plainBus.append([eventOf("d")]);
    await again.start();
    await drained(again, clock);
    expect(countsOf(states)).toEqual({ a: 1, b: 1, c: 1, d: 1 });
    expect((await valuesOf(plainBus, "matches")).sort()).toHaveLength(4);
    await again.stop();
  });

  it("without outputs appends nothing, and still saves its position", async () => {
    const { runner, plainBus, faults, clock } = openParts(() => ({
      apply: () => [],
    }));
    await plainBus.append([eventOf("a")]);
    await runner.start();
    await drained(runner, clock);
    expect(faults.steps).toEqual(["commit", "saved"]);
    expect(runner.backlog()).toBe(0);
    await runner.stop();
  });
});

describe("a crash", () => {
  const values = ["a", "b", "c", "d", "e", "f", "g", "h"];

  /** Opens the states again as a new process would: what was not committed is gone. */
  const kinds: readonly (readonly [string, () => { open(): StateStore; close(): void }])[] = [
    [
      "memory",
      () => {
        const store = openMemoryState();
        return { open: () => store, close: () => store.close() };
      },
    ],
    [
      "embedded",
      () => {
        const path = newPath();
        let store: StateStore | undefined;
        return {
          open: () => {
            store?.close();
            store = openEmbeddedState({ path });
            return store;
          },
          close: () => store?.close(),
        };
      },
    ],
  ];

  async function crashAt(at: number, states: { open(): StateStore }): Promise<string[]> {
    const clock = new VirtualClock();
    const bus = openMemoryBus({ clock });
    await bus.append(values.map(eventOf));
    const faults = new Faults();
    const make = (own: State) =>
      countingStage(own, (value) => (value === "never" ? undefined : faults.pass("apply")));
    faults.strike(at, new UnavailableError("the process is gone"), "lasting");
    const dying = runnerOf({
      bus: faultyBus(bus, faults),
      clock,
      states: new WatchedStates(states.open(), faults),
      make,
    });
    await dying.start();
    await turns(40);
    await dying.stop();
    const saved = new WatchedStates(states.open(), new Faults());
    const next = runnerOf({ bus, clock, states: saved, make: (own) => countingStage(own) });
    await next.start();
    await drained(next, clock);
    await next.stop();
    expect(countsOf(saved)).toEqual(Object.fromEntries(values.map((value) => [value, 1])));
    const out = await valuesOf(bus, "matches");
    expect(await valuesOf(bus, "dead-letters")).toEqual([]);
    return out;
  }

  it.each(kinds)("at any step loses nothing and counts nothing twice (%s)", async (_name, open) => {
    const ids = values.map((value) => `id of ${value}`);
    const repeated: number[] = [];
    // 8 records over 4 partitions: at most 8 applies and 4 times the four other steps.
    for (let at = 0; at < 24; at += 1) {
      const states = open();
      const out = await crashAt(at, states);
      expect([...new Set(out)].sort()).toEqual(ids);
      if (out.length > ids.length) repeated.push(at);
      states.close();
    }
    // Between the append and the next save an output repeats, as it was decided.
    expect(repeated.length).toBeGreaterThan(0);
  });
});

describe("a fault that passes", () => {
  it.each([
    ["the stage's own", 0, new UnavailableError("the store is locked"), {}],
    ["a state that cannot be written", 1, unavailable("state-unavailable"), {}],
    ["a bus that is full", 3, unavailable("intake-full"), { a: 1 }],
    ["a bus that failed after the append", 4, new Error("no answer"), { a: 1 }],
  ])("%s: what is not done comes again, and nothing is set aside", async (...fault) => {
    const [, at, error, saved] = fault;
    const faults = new Faults();
    const make = (own: State) => countingStage(own, () => faults.pass("apply"));
    const { runner, plainBus, states, clock } = openParts(make, faults);
    await plainBus.append([eventOf("a")]);
    faults.strike(at, error);
    await runner.start();
    await turns(40);
    // What was decided before the bus refused is saved, and not decided again.
    expect(countsOf(states)).toEqual(saved);
    // The record, as its batch is not over, and what was decided.
    expect(runner.backlog()).toBe(1 + Object.keys(saved).length);
    await drained(runner, clock);
    expect(countsOf(states)).toEqual({ a: 1 });
    expect(new Set(await valuesOf(plainBus, "matches"))).toEqual(new Set(["id of a"]));
    expect(await valuesOf(plainBus, "dead-letters")).toEqual([]);
    await runner.stop();
  });

  it("leaves the stage's own memory as the state has it: it is made again", async () => {
    const made: number[] = [];
    const faults = new Faults();
    const make = (own: State) => {
      const counts = own.table<number>("counts");
      made.push(counts.size);
      return countingStage(own, (value) => {
        if (value === "b") faults.pass("apply");
      });
    };
    const { runner, plainBus, states, clock } = openParts(make, faults);
    await plainBus.append([eventOf("a")]);
    await runner.start();
    await drained(runner, clock);
    faults.strike(0, new UnavailableError("not now"));
    await plainBus.append([eventOf("b")]);
    await turns(40);
    expect(made).toEqual([0, 1]);
    expect(countsOf(states)).toEqual({ a: 1 });
    await drained(runner, clock);
    expect(countsOf(states)).toEqual({ a: 1, b: 1 });
    await runner.stop();
  });
});

function unavailable(code: "intake-full" | "state-unavailable" | "body-too-large"): ServiceError {
  return new ServiceError({ code, place: "x", expected: "room", found: "none" });
}

describe("a batch that was saved in part", () => {
  it("comes again whole, and only the rest of it is applied", async () => {
    const faults = new Faults();
    let tries = 0;
    const make = (own: State) =>
      countingStage(own, (value) => {
        if (value === "poison") throw new TypeError("x of undefined");
        tries += value === "c" ? 1 : 0;
        if (value === "c" && tries === 1) throw new UnavailableError("locked");
      });
    const { runner, plainBus, states, clock } = openParts(make, faults);
    await plainBus.append(
      ["a", "poison", "b", "c"].map((value) => ({ ...eventOf(value), key: "one" })),
    );
    await runner.start();
    await turns(40);
    expect(countsOf(states)).toEqual({ a: 1, b: 1 });
    expect(runner.backlog()).toBe(4);
    await drained(runner, clock);
    expect(countsOf(states)).toEqual({ a: 1, b: 1, c: 1 });
    expect(await valuesOf(plainBus, "dead-letters")).toHaveLength(1);
    await runner.stop();
  });
});

describe("a record that cannot be applied", () => {
  it("alone goes to the dead letters, with its reason and its bytes", async () => {
    // One key, so one partition and one batch.
    const of = (value: string): NewRecord => ({ ...eventOf(value), key: "one" });
    const { runner, plainBus, states, clock } = openParts((own) =>
      countingStage(own, (value) => {
        if (value.startsWith("poison")) throw new TypeError(`x of undefined\u001b[31m in ${value}`);
      }),
    );
    await plainBus.append(["a", "poison ü", "b", "poison 2", "c"].map(of));
    await runner.start();
    await drained(runner, clock);
    expect(countsOf(states)).toEqual({ a: 1, b: 1, c: 1 });
    expect(await valuesOf(plainBus, "matches")).toEqual(["id of a", "id of b", "id of c"]);
    const letters = (await valuesOf(plainBus, "dead-letters")).map((letter) => JSON.parse(letter));
    expect(letters).toHaveLength(2);
    const { problem, raw } = letters.find(({ value }) => value.raw === "poison ü").value;
    expect(raw).toBe("poison ü");
    expect(problem).toMatchObject({ code: "stored-record-invalid", place: expect.any(String) });
    expect(problem.place).toMatch(/^events\/\d+\/1$/);
    expect(problem.expected).toBe("a record that stage detect can apply");
    expect(problem.found).toContain("TypeError: x of undefined\\u001b[31m in poison");
    expect(runner.backlog()).toBe(0);
    await runner.stop();
  });

  it("is set aside too when what it leads to is too large for the bus", async () => {
    const { runner, plainBus, states, clock, faults } = openParts();
    await plainBus.append([eventOf("huge")]);
    // The first try and the one alone.
    faults.strike(0, unavailable("body-too-large"));
    faults.strike(1, unavailable("body-too-large"));
    await runner.start();
    await drained(runner, clock);
    expect(countsOf(states)).toEqual({});
    expect(await valuesOf(plainBus, "dead-letters")).toHaveLength(1);
    expect(runner.backlog()).toBe(0);
    await runner.stop();
  });

  it("becomes a dead letter that is cut where the bus would not take it whole", async () => {
    const { runner, plainBus, clock } = openParts(() => ({
      apply: () => {
        throw new Error("too much for me");
      },
    }));
    const value = Buffer.alloc(9 * 1024 * 1024, "x");
    await plainBus.append([{ topic: "events", key: "a", value }]);
    await runner.start();
    await drained(runner, clock);
    const [letter = ""] = await valuesOf(plainBus, "dead-letters");
    expect(JSON.parse(letter).value.raw).toBe("x".repeat(8 * 1024 * 1024));
    await runner.stop();
  });

  it("stays on the bus while its dead letter cannot be written", async () => {
    const faults = new Faults();
    const make = () => ({
      apply: () => {
        throw new Error("poison");
      },
    });
    const { runner, plainBus, clock } = openParts(make, faults);
    await plainBus.append([eventOf("a")]);
    faults.strike(0, unavailable("intake-full"));
    await runner.start();
    await turns(40);
    expect(await valuesOf(plainBus, "dead-letters")).toEqual([]);
    expect(runner.backlog()).toBe(2);
    await drained(runner, clock);
    expect(await valuesOf(plainBus, "dead-letters")).toHaveLength(1);
    await runner.stop();
  });
});

describe("ticks", () => {
  /** Says what is due each time it is, until it has said everything. */
  function dueStage(due: number[], onTick: (now: number) => void = () => undefined): Stage {
    return {
      apply: (records) => {
        due.push(...records.map(({ value }) => Number(text(value))));
        return [];
      },
      tick: (now) => {
        onTick(now);
        const ready = due.filter((at) => at <= now);
        for (const at of ready) due.splice(due.indexOf(at), 1);
        return ready.map((at) => ({
          topic: "matches",
          key: "x",
          value: Buffer.from(`${at}@${now}`),
        }));
      },
      nextTick: () => (due.length === 0 ? undefined : Math.min(...due)),
    };
  }

  it("come when they are due, also for what a batch made due, and not without need", async () => {
    const ticks: number[] = [];
    const stage = dueStage([5_000], (now) => ticks.push(now));
    const { runner, plainBus, clock } = openParts(() => stage);
    await runner.start();
    await turns(40);
    clock.advanceTo(4_999);
    await turns(40);
    expect(ticks).toEqual([]);
    clock.advanceTo(5_000);
    await turns(40);
    expect(ticks).toEqual([5_000]);
    clock.advanceTo(6_000);
    await plainBus.append([eventOf("7000"), eventOf("6500")]);
    await turns(40);
    clock.advanceTo(6_500);
    await turns(40);
    clock.advanceTo(100_000);
    await turns(40);
    // One timer at a time: the second was set after the first had run.
    expect(ticks).toEqual([5_000, 6_500, 100_000]);
    expect(await valuesOf(plainBus, "matches")).toEqual(["5000@5000", "6500@6500", "7000@100000"]);
    await runner.stop();
    clock.advanceTo(200_000);
    await turns(40);
    expect(ticks).toHaveLength(3);
  });

  it("of a stage that is always due leave time for others", async () => {
    let ticks = 0;
    const stage: Stage = {
      apply: () => [],
      tick: () => {
        ticks += 1;
        return [];
      },
      nextTick: () => 0,
    };
    const { runner, clock } = openParts(() => stage);
    await runner.start();
    await turns(40);
    for (let step = 0; step < 100; step += 1) {
      clock.advance(1);
      await turns(2);
    }
    expect(ticks).toBe(5);
    await runner.stop();
  });

  it("that fail change nothing, are tried again, and not at once", async () => {
    const tried: number[] = [];
    const faults = new Faults();
    const make = (own: State) => {
      const table = own.table<number>("ticks");
      return {
        ...dueStage([1_000]),
        tick: (now: number) => {
          tried.push(now);
          table.put("ticked", now);
          faults.pass("apply");
          return [{ topic: "matches" as const, key: "x", value: Buffer.from("due") }];
        },
        nextTick: () => (table.get("ticked") === undefined ? 1_000 : undefined),
      };
    };
    const { runner, plainBus, clock, states } = openParts(make, faults);
    // The tick itself fails, then the bus, then the state.
    faults.strike(0, new TypeError("x of undefined"));
    faults.strike(2, unavailable("intake-full"));
    faults.strike(6, unavailable("state-unavailable"));
    await runner.start();
    await turns(40);
    clock.advanceTo(1_000);
    await turns(40);
    expect(states.rows("ticks")).toEqual({});
    clock.advanceTo(1_999);
    await turns(40);
    expect(tried).toEqual([1_000]);
    for (const at of [2_000, 3_000, 4_000, 5_000, 9_000]) {
      clock.advanceTo(at);
      await turns(40);
    }
    expect(tried).toEqual([1_000, 2_000, 3_000, 4_000]);
    expect(states.rows("ticks")).toEqual({ ticked: 4_000 });
    expect(new Set(await valuesOf(plainBus, "matches"))).toEqual(new Set(["due"]));
    await runner.stop();
  });
});

describe("one thing at a time", () => {
  function gatedStage(happened: string[]): { stage: Stage; open: () => void } {
    const gate = Promise.withResolvers<void>();
    return {
      open: gate.resolve,
      stage: {
        apply: async (records) => {
          happened.push(`begin ${records.length}`);
          await gate.promise;
          happened.push("end");
          return [];
        },
        tick: () => {
          happened.push("tick");
          return [];
        },
      },
    };
  }

  it("keeps changes and ticks out of a batch that waits", async () => {
    const happened: string[] = [];
    const { stage, open } = gatedStage(happened);
    const { runner, plainBus, clock, task } = openParts(() => stage);
    await plainBus.append([eventOf("a")]);
    await runner.start();
    await turns(40);
    const waiting = [
      task().change(() => put(() => happened.push("change 1"))),
      runner.tick(),
      task().change(() => put(() => happened.push("change 2"))),
    ];
    await turns(40);
    expect(happened).toEqual(["begin 1"]);
    open();
    await Promise.all(waiting);
    expect(happened).toEqual(["begin 1", "end", "change 1", "tick", "change 2"]);
    await drained(runner, clock);
    await runner.stop();
  });

  it("stops only when the batch is done, and begins nothing after that", async () => {
    const happened: string[] = [];
    const { stage, open } = gatedStage(happened);
    const { runner, plainBus, states } = openParts(() => stage);
    await plainBus.append([eventOf("a")]);
    await runner.start();
    await turns(40);
    let stopped = false;
    const stopping = runner.stop().then(() => {
      stopped = true;
    });
    await turns(40);
    expect(stopped).toBe(false);
    open();
    await stopping;
    expect(happened).toEqual(["begin 1", "end"]);
    expect(states.opened.get(0)?.position("events", 0)).toBe(1);
    await plainBus.append([eventOf("b")]);
    await turns(40);
    expect(happened).toHaveLength(2);
  });

  it("sets no timer for what the last batch before the stop made due", async () => {
    const happened: string[] = [];
    const { stage, open } = gatedStage(happened);
    const due = { ...stage, nextTick: () => (happened.includes("end") ? 5_000 : undefined) };
    const { runner, plainBus, clock } = openParts(() => due);
    await plainBus.append([eventOf("a")]);
    await runner.start();
    await turns(40);
    const stopping = runner.stop();
    open();
    await stopping;
    clock.advanceTo(60_000);
    await turns(40);
    expect(happened).toEqual(["begin 1", "end"]);
  });

  it("saves a change, and takes it back when it cannot be saved", async () => {
    const { runner, states, faults, plainBus, clock, task } = openParts();
    await runner.start();
    await turns(40);
    const table = task().state.table<number>("counts");
    await task().change(() => put(() => table.put("x", 1)));
    faults.strike(0, unavailable("state-unavailable"));
    await expect(task().change(() => put(() => table.put("x", 2)))).rejects.toThrow(
      "could not be saved",
    );
    expect(table.get("x")).toBe(1);
    const broken = () => {
      table.put("x", 3);
      throw new RangeError("half-way");
    };
    await expect(task().change(broken)).rejects.toThrow("half-way");
    expect(table.get("x")).toBe(1);
    // What it tells the bus is saved with it.
    await task().change(() => [{ topic: "documents", key: "k", value: Buffer.from("told") }]);
    expect(await valuesOf(plainBus, "documents")).toEqual(["told"]);
    // And the next batch goes on as if nothing had been.
    await plainBus.append([eventOf("a")]);
    await drained(runner, clock);
    expect(countsOf(states)).toEqual({ a: 1, x: 1 });
    await runner.stop();
  });
});
