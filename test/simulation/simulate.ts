/**
 * @module `npm run simulate -- SEED [SEED…] [--without append,crash] [--only crash] [--to SEED]
 * [--aim "append pages"]`: repeats runs of the simulator exactly, and tells what went wrong.
 */

import { parseArgs } from "node:util";
import { checkSeed, report } from "./check.ts";
import { type FaultClass, faultClasses } from "./faults.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    without: { type: "string", default: "" },
    only: { type: "string" },
    to: { type: "string" },
    aim: { type: "string" },
    all: { type: "boolean", default: false },
  },
});

function classes(text: string): FaultClass[] {
  const names = text.split(",").filter((name) => name !== "");
  return names.map((name) => {
    const known = faultClasses.find((one) => one === name);
    if (known === undefined) throw new RangeError(`no fault class ${name}: ${faultClasses}`);
    return known;
  });
}

const only = values.only === undefined ? undefined : classes(values.only);
const without =
  only === undefined
    ? classes(values.without)
    : faultClasses.filter((name) => !only.includes(name));
const [first = 1, ...more] = positionals.map(Number);
const last = values.to === undefined ? first : Number(values.to);
const seeds = [...Array.from({ length: last - first + 1 }, (_, index) => first + index), ...more];
let failed = 0;
for (const seed of seeds) {
  const verdict = await checkSeed(seed, { without, aim: values.aim });
  if (verdict.failures.length > 0) failed += 1;
  const shown = values.all || seeds.length === 1 || verdict.failures.length > 0;
  if (shown) process.stdout.write(`${report(verdict)}\n\n`);
}
process.stdout.write(`${seeds.length} seeds, ${failed} failed\n`);
process.exitCode = failed > 0 ? 1 : 0;
