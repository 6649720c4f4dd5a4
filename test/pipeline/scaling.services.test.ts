// As many detect workers as one likes: what they find is the same, and they share it evenly.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { takeIn } from "../bench/scaling-load.ts";
import { detectWith, type ScalingRun } from "../bench/scaling-run.ts";
import { type KafkaService, startKafka } from "../services/kafka.ts";

const workerCounts = [1, 2, 4];
const seconds = 0.5;
const unequalMost = 0.1;

let kafka: KafkaService;
const runs: ScalingRun[] = [];

beforeAll(async () => {
  kafka = await startKafka();
  const load = await takeIn(kafka.brokers, seconds);
  for (const workers of workerCounts) {
    const topicPrefix = `scaling.${workers}.`;
    runs.push(await detectWith({ kafka, topicPrefix, workers, load, copies: 1 }));
  }
}, 600_000);

afterAll(async () => {
  await kafka?.stop();
});

describe("1, 2 and 4 detect workers over the same events", () => {
  it("find the same matches, and blame the same jobs", () => {
    const [first, ...others] = runs.map(({ results }) => results);
    expect(first?.alerts).toBeGreaterThan(0);
    expect(first?.matches).toBeGreaterThan(0);
    expect(others).toEqual([first, first]);
  });

  it("apply each event once between them", () => {
    const sums = runs.map(({ applied }) => applied.reduce((sum, count) => sum + count, 0));
    expect(new Set(sums).size).toBe(1);
    expect(runs.map(({ applied }) => applied.length)).toEqual(workerCounts);
  });

  it.each(workerCounts)("share the events within a tenth of equal: %i", (workers) => {
    const applied = runs.find((run) => run.workers === workers)?.applied ?? [];
    const equal = applied.reduce((sum, count) => sum + count, 0) / workers;
    expect(equal).toBeGreaterThan(0);
    for (const count of applied) expect(Math.abs(count - equal) / equal).toBeLessThan(unequalMost);
  });
});
