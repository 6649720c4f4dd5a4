/** @module Appends numbered calls to a bus and prints the number of each that was acknowledged. */

import { writeSync } from "node:fs";
import type { NewRecord } from "../../src/bus/bus.ts";
import { openEmbeddedBus } from "../../src/bus/embedded.ts";
import { realClock } from "../../src/clock.ts";
import { callRecords } from "./crash.ts";

const [path = "", from = "0"] = process.argv.slice(2);
const bus = await openEmbeddedBus({ path, clock: realClock, partitions: 3 });
let next = Number(from);

/** Several lanes, so that groups of calls are under way whenever the kill comes. */
async function lane(): Promise<void> {
  for (;;) {
    const call = next++;
    await bus.append(callRecords(call) satisfies NewRecord[]);
    writeSync(1, `${call}\n`);
  }
}

await Promise.all(Array.from({ length: 20 }, lane));
