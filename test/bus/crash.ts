/** @module Kills a process that appends, over and over, and looks at what the file then holds. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import type { BusRecord, NewRecord } from "../../src/bus/bus.ts";
import { openEmbeddedBus } from "../../src/bus/embedded.ts";
import { VirtualClock } from "../../src/clock.ts";
import { Watcher } from "../contract/bus.ts";

const child = fileURLToPath(new URL("./crash-child.ts", import.meta.url));

/**
 * The records of call n: 1 to 9 of them, of several keys and sizes, each saying where it belongs.
 */
export function callRecords(call: number): NewRecord[] {
  return Array.from({ length: sizeOf(call) }, (_, index) => ({
    topic: "events",
    key: `runner-${(call + index) % 11}`,
    value: Buffer.from(`${call}/${index}`.padEnd(20 + ((call * 97) % 3_000), ".")),
  }));
}

function sizeOf(call: number): number {
  return 1 + (call % 9);
}

/** Kills the child once it has acknowledged `acksMax` calls; gives what it acknowledged. */
async function acknowledgedUntilKilled(path: string, from: number, acksMax: number) {
  const started = spawn(process.execPath, [child, path, String(from)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(started, "exit");
  let complaints = "";
  started.stderr.on("data", (data) => {
    complaints += data;
  });
  const acknowledged: number[] = [];
  for await (const line of createInterface({ input: started.stdout })) {
    acknowledged.push(Number(line));
    if (acknowledged.length === acksMax) started.kill("SIGKILL");
  }
  const [, signal] = await exited;
  expect(signal, complaints).toBe("SIGKILL");
  return acknowledged;
}

async function everything(path: string): Promise<BusRecord[]> {
  const bus = await openEmbeddedBus({ path, clock: new VirtualClock() });
  const seen = new Watcher();
  const consumer = await bus.consume({ group: "check", topics: ["events"] }, seen);
  await consumer.drained();
  await bus.close();
  return seen.records;
}

/** `kills` rounds on one file; the points are drawn from `seed`. */
export async function killAndCheck(path: string, kills: number, seed: number): Promise<void> {
  let state = seed;
  const random = (max: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return 1 + (state % max);
  };
  const acknowledged = new Set<number>();
  let from = 0;
  for (let kill = 0; kill < kills; kill++) {
    const acks = await acknowledgedUntilKilled(path, from, random(300));
    for (const call of acks) acknowledged.add(call);
    const records = await everything(path);
    const found = new Map<number, number[]>();
    const lastCall = new Map<number, [number, number]>();
    for (const { partition, value, key } of records) {
      const said = Buffer.from(value).toString();
      const [call = -1, index = -1] = said.slice(0, said.indexOf(".")).split("/").map(Number);
      const whole = callRecords(call)[index];
      // One expect per record would take longer than the kills.
      if (key !== whole?.key || said !== Buffer.from(whole.value).toString()) {
        expect([key, said]).toEqual([whole?.key, whole?.value.toString()]);
      }
      const [callBefore, indexBefore] = lastCall.get(partition) ?? [-1, -1];
      if (call < callBefore || (call === callBefore && index <= indexBefore)) {
        expect.fail(`${call}/${index} after ${callBefore}/${indexBefore}`);
      }
      lastCall.set(partition, [call, index]);
      const indexes = found.get(call) ?? [];
      indexes.push(index);
      found.set(call, indexes);
    }
    // All or nothing: a call is there with each record once, or not at all.
    for (const [call, indexes] of found) {
      const sorted = indexes.sort((a, b) => a - b).join();
      if (sorted !== [...Array(sizeOf(call)).keys()].join()) expect.fail(`${call}: ${sorted}`);
    }
    const lost = [...acknowledged].filter((call) => !found.has(call));
    expect(lost).toEqual([]);
    from = Math.max(...found.keys()) + 1;
  }
}
