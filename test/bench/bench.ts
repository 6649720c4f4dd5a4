// `npm run bench`: what the parts cost, in one run, so that ratios hold on a noisy machine. `--short` stays under 45 s;
// `--json` prints one {"metric","value","unit","against"} a line. Figures are for docs/benchmarks.md, never for tests.

import { benchBus } from "./bus.ts";
import { benchEngine } from "./engine.ts";
import { benchJoin } from "./join.ts";
import { type BenchLine, lineText, machineText } from "./line.ts";
import { benchPipeline } from "./pipeline.ts";

const short = process.argv.includes("--short");
const json = process.argv.includes("--json");
const only = process.argv[process.argv.indexOf("--only") + 1];

const benches: readonly (readonly [string, (short: boolean) => Promise<BenchLine[]>])[] = [
  ["engine", benchEngine],
  ["join", benchJoin],
  ["pipeline", benchPipeline],
  ["bus", benchBus],
];

if (!json) {
  console.log(machineText());
  console.log("The machine may be shared: compare ratios of one run, not figures of two.\n");
}
for (const [name, bench] of benches) {
  if (process.argv.includes("--only") && name !== only) continue;
  for (const line of await bench(short)) {
    if (json) console.log(JSON.stringify(line));
    else console.log(`${name.padEnd(8)} ${lineText(line, 44)}`);
  }
}
