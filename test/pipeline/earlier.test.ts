import { describe, expect, it } from "vitest";
import type { BusRecord, Topic } from "../../src/bus/bus.ts";
import { openMemoryBus } from "../../src/bus/memory.ts";
import { secondMs, VirtualClock } from "../../src/clock.ts";
import type { StageDefinition } from "../../src/pipeline/stage.ts";
import { StageRunner } from "../../src/pipeline/stage-runner.ts";
import { openMemoryState } from "../../src/state/memory.ts";
import { silentTelemetry } from "../../src/telemetry.ts";

const keys = ({ key }: BusRecord) => key;

/** Appends each record a second after the one before, or with it, then lets a stage read them. */
async function read(
  records: readonly (readonly [Topic, string])[],
  stepMs: number,
): Promise<{ readonly applied: readonly string[]; readonly batches: number }> {
  const clock = new VirtualClock(1_000_000);
  const bus = openMemoryBus({ clock, partitions: 1 });
  const states = openMemoryState();
  for (const [topic, key] of records) {
    clock.advance(stepMs);
    await bus.append([{ topic, key, value: Buffer.from("{}") }]);
  }
  const applied: string[] = [];
  let batches = 0;
  const definition: StageDefinition = {
    name: "notify",
    topics: ["lineage", "alerts"],
    open: () => ({
      make: () => ({
        apply: (given) => {
          batches += 1;
          applied.push(...given.map(keys));
          return [];
        },
      }),
    }),
  };
  const runner = new StageRunner({ definition, bus, states, clock, telemetry: silentTelemetry() });
  await runner.start();
  await runner.drained();
  await runner.stop();
  const state = await states.open({ stage: "notify", partition: 0 });
  expect(state.position("lineage", 0)).toBe(await bus.end("lineage", 0));
  expect(state.position("alerts", 0)).toBe(await bus.end("alerts", 0));
  await bus.close();
  return { applied, batches };
}

describe("a stage with two topics that catches up", () => {
  it("applies the records of both in the order in which they arrived, each once", async () => {
    const records = Array.from({ length: 1_400 }, (_, index) => {
      const topic: Topic = index % 7 < 3 ? "alerts" : "lineage";
      return [topic, `${index}`] as const;
    });
    const { applied } = await read(records, secondMs);
    expect(applied).toEqual(records.map(([, key]) => key));
  });

  it("takes the topic that is named first before the other, when all arrived at once", async () => {
    const records = [
      ["alerts", "a"],
      ["lineage", "l1"],
      ["alerts", "b"],
      ["lineage", "l2"],
    ] as const;
    expect((await read(records, 0)).applied).toEqual(["l1", "l2", "a", "b"]);
  });

  it("has one topic's records at once where the other has none", async () => {
    const records = [
      ["alerts", "a"],
      ["alerts", "b"],
      ["alerts", "c"],
    ] as const;
    expect(await read(records, 0)).toEqual({ applied: ["a", "b", "c"], batches: 1 });
  });
});
