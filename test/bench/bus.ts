/** @module Measures the embedded bus: acknowledged appends, their latency, and reading back. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import type { Bus, ConsumerHandler, NewRecord, Topic } from "../../src/bus/bus.ts";
import { openEmbeddedBus } from "../../src/bus/embedded.ts";
import { realClock } from "../../src/clock.ts";
import type { BenchLine } from "./line.ts";

const valueBytes = 1024;

interface Load {
  readonly name: string;
  /** Callers that append one call after the other. */
  readonly callers: number;
  readonly recordsPerCall: number;
}

const loads: readonly Load[] = [
  { name: "64 callers of 20 records", callers: 64, recordsPerCall: 20 },
  { name: "256 callers of 1 record", callers: 256, recordsPerCall: 1 },
  { name: "1 caller of 1 record", callers: 1, recordsPerCall: 1 },
];

/** 1 KB records on the disk of the temporary folder; about 5 s when short, 40 s when not. */
export async function benchBus(short: boolean): Promise<BenchLine[]> {
  const folder = await mkdtemp(join(tmpdir(), "bench-bus-"));
  const bus = await openEmbeddedBus({ path: join(folder, "bus.db"), clock: realClock });
  try {
    const durationMs = short ? 1_000 : 10_000;
    const lines: BenchLine[] = [];
    for (const load of loads) lines.push(...(await benchAppends(bus, load, durationMs)));
    lines.push(await benchReads(bus));
    lines.push(...(await benchBoth(bus, durationMs)));
    return lines;
  } finally {
    await bus.close();
    await rm(folder, { recursive: true });
  }
}

function callOf(caller: number, size: number, topic: Topic): NewRecord[] {
  const value = new Uint8Array(valueBytes).map((_, index) => (index * 7 + caller) % 251);
  return Array.from({ length: size }, (_, index) => {
    return { topic, key: `runner-${caller}-${index}`, value };
  });
}

/** Runs the callers for a while; gives the records acknowledged and each call's latency. */
async function append(bus: Bus, load: Load, run: { durationMs: number; topic: Topic }) {
  const latenciesMs: number[] = [];
  let acknowledged = 0;
  const start = performance.now();
  async function caller(number: number): Promise<void> {
    const call = callOf(number, load.recordsPerCall, run.topic);
    while (performance.now() - start < run.durationMs) {
      const before = performance.now();
      await bus.append(call);
      latenciesMs.push(performance.now() - before);
      acknowledged += call.length;
    }
  }
  await Promise.all(Array.from({ length: load.callers }, (_, number) => caller(number)));
  const seconds = (performance.now() - start) / 1_000;
  latenciesMs.sort((a, b) => a - b);
  return { acknowledged, seconds, latenciesMs };
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

async function benchAppends(bus: Bus, load: Load, durationMs: number): Promise<BenchLine[]> {
  const run = { durationMs, topic: "events" as const };
  const { acknowledged, seconds, latenciesMs } = await append(bus, load, run);
  const metric = `bus append, ${load.name}`;
  return [
    { metric, value: acknowledged / seconds, unit: "events/s" },
    { metric: `${metric}, p50`, value: percentile(latenciesMs, 0.5), unit: "ms" },
    { metric: `${metric}, p99`, value: percentile(latenciesMs, 0.99), unit: "ms" },
  ];
}

function counter(): ConsumerHandler & { count: number } {
  return {
    count: 0,
    assigned: async () => 0,
    revoked: async () => undefined,
    async batch(_topic, _partition, records) {
      this.count += records.length;
    },
  };
}

async function benchReads(bus: Bus): Promise<BenchLine> {
  const handler = counter();
  const start = performance.now();
  const consumer = await bus.consume({ group: "bench", topics: ["events"] }, handler);
  await consumer.drained();
  const seconds = (performance.now() - start) / 1_000;
  await consumer.stop();
  return { metric: "bus read from the start", value: handler.count / seconds, unit: "events/s" };
}

/** Appends with a consumer at work: what the bus gives a pipeline. */
async function benchBoth(bus: Bus, durationMs: number): Promise<BenchLine[]> {
  const handler = counter();
  const consumer = await bus.consume({ group: "bench", topics: ["alerts"] }, handler);
  const load = { name: "both", callers: 64, recordsPerCall: 20 };
  const start = performance.now();
  const { latenciesMs } = await append(bus, load, { durationMs, topic: "alerts" });
  await consumer.drained();
  const seconds = (performance.now() - start) / 1_000;
  await consumer.stop();
  const metric = "bus append and consume at once";
  return [
    { metric, value: handler.count / seconds, unit: "events/s" },
    { metric: `${metric}, append p99`, value: percentile(latenciesMs, 0.99), unit: "ms" },
  ];
}
