import { describe, expect, it } from "vitest";
import type { BusTrouble } from "../../src/bus/bus.ts";
import { openMemoryBus } from "../../src/bus/memory.ts";
import { secondMs, VirtualClock } from "../../src/clock.ts";
import { busContract, codeOf, record, turn, until, Watcher } from "../contract/bus.ts";

busContract("memory", {
  place: async () => ({
    open: async ({ clock, partitions, backlogMax }) => {
      const bound = backlogMax === undefined ? {} : { bytesMax: backlogMax };
      return openMemoryBus({ clock, partitions, ...bound });
    },
    remove: async () => undefined,
  }),
  skip: [{ reason: "it forgets", tests: ["holds records over close and open"] }],
});

describe("memory bus", () => {
  it("doubles the wait before a redelivery from 1 s to 30 s", async () => {
    const clock = new VirtualClock();
    const troubles: BusTrouble[] = [];
    const onTrouble = (trouble: BusTrouble) => void troubles.push(trouble);
    const bus = openMemoryBus({ clock, partitions: 1, onTrouble });
    const seen = new Watcher();
    seen.onBatch = async () => {
      if (troubles.length < 7) throw new Error("not now");
    };
    await bus.append([record("k", "v")]);
    const consumer = await bus.consume({ group: "g", topics: ["events"] }, seen);
    for (const [index, waitMs] of [1, 2, 4, 8, 16, 30, 30].map((s) => s * secondMs).entries()) {
      await until(() => troubles.length === index + 1);
      expect(troubles[index]!.retryAfterMs).toBe(waitMs);
      clock.advance(waitMs - 1);
      for (let count = 0; count < 10; count++) await turn();
      expect(troubles.length).toBe(index + 1);
      clock.advance(1);
    }
    await consumer.drained();
    expect(seen.texts).toEqual(["k=v"]);
    expect(String(troubles[0]!.error)).toBe("Error: not now");
  });

  it("lets go of what every group has handled when it is full, and of nothing else", async () => {
    const bus = openMemoryBus({ clock: new VirtualClock(), partitions: 1, bytesMax: 40_000 });
    const [fast, slow] = [new Watcher(), new Watcher()];
    slow.onBatch = async () => {
      throw new Error("never");
    };
    const one = await bus.consume({ group: "fast", topics: ["events"] }, fast);
    const two = await bus.consume({ group: "slow", topics: ["events"] }, slow);
    const value = "v".repeat(10_000);
    for (let count = 0; count < 3; count++) await bus.append([record("k", value)]);
    await one.drained();
    expect(await codeOf(bus.append([record("k", value)]))).toBe("intake-full");
    await two.stop();
    for (let count = 0; count < 20; count++) {
      await bus.append([record("k", value)]);
      await one.drained();
    }
    expect(fast.records.map(({ offset }) => offset)).toEqual([...Array(23).keys()]);
    expect(await bus.end("events", 0)).toBe(23);
    await bus.close();
  });

  it("stands still at a position beyond its records", async () => {
    const troubles: BusTrouble[] = [];
    const onTrouble = (trouble: BusTrouble) => void troubles.push(trouble);
    const bus = openMemoryBus({ clock: new VirtualClock(), partitions: 1, onTrouble });
    await bus.append([record("k", "v")]);
    const seen = new Watcher(new Map([["events/0", 2]]));
    const consumer = await bus.consume({ group: "g", topics: ["events"] }, seen);
    expect(await codeOf(consumer.drained())).toBe("bus-corrupt");
    expect(troubles.length).toBe(1);
    expect(troubles[0]!.retryAfterMs).toBeUndefined();
    await bus.append([record("k", "v"), record("k", "v")]);
    for (let count = 0; count < 10; count++) await turn();
    expect(seen.records).toEqual([]);
    await bus.close();
  });
});
