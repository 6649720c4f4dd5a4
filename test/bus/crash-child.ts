/** @module Appends numbered calls to a bus and prints the number of each that was acknowledged. */

import { writeSync } from "node:fs";
import type { NewRecord } from "../../src/bus/bus.ts";
import { openEmbeddedBus } from "../../src/bus/embedded.ts";
import { realClock } from "../../src/clock.ts";
import { callRecords } from "./crash.ts";

const [path = "", from = "0"] = process.argv.slice(2);
const bus = await openEmbeddedBus({ path, clock: realClock, partitions: 3 });
let next = Number(from);

/**
 * Hands the number to the pipe before it goes on, so that no acknowledged call is kept back when
 * the kill comes. A full pipe refuses: the reader is slow, and is waited for.
 */
async function tell(call: number): Promise<void> {
  for (;;) {
    try {
      writeSync(1, `${call}\n`);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

/** Several lanes, so that groups of calls are under way whenever the kill comes. */
async function lane(): Promise<void> {
  for (;;) {
    const call = next++;
    await bus.append(callRecords(call) satisfies NewRecord[]);
    await tell(call);
  }
}

await Promise.all(Array.from({ length: 20 }, lane));
