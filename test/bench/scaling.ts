// `npm run bench:scaling`: the same events on one real Kafka broker, with 1, 2 and 4 detect workers,
// each a process of its own. Ends with 1 when their results differ, a worker's share is more than a
// tenth from equal, or an event costs 15 % more CPU with 4 workers than with 1. `--short` is a first
// look; `--rounds 3` repeats all of it; `--json` prints one {"metric","value","unit","against"} a
// line.

import { parseArgs } from "node:util";
import { startKafka } from "../services/kafka.ts";
import { type BenchLine, lineText, loadText, machineText } from "./line.ts";
import { takeIn } from "./scaling-load.ts";
import { detectWith, type ScalingRun } from "./scaling-run.ts";

const { values: options } = parseArgs({
  options: {
    short: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    seconds: { type: "string" },
    copies: { type: "string" },
    rounds: { type: "string" },
  },
});

const workerCounts = [1, 2, 4];
const seconds = Number(options.seconds ?? (options.short ? 1 : 2));
const copies = Number(options.copies ?? (options.short ? 2 : 4));
const rounds = Number(options.rounds ?? (options.short ? 1 : 2));
const shareMost = 0.1;
const costMost = 1.15;

function say(line: BenchLine): void {
  console.log(options.json ? JSON.stringify(line) : lineText(line, 52));
}

/** How far the worker with the most unequal share is from equal, as a part of equal. */
function unequal({ applied }: ScalingRun): number {
  const equal = applied.reduce((sum, events) => sum + events, 0) / applied.length;
  return Math.max(...applied.map((events) => Math.abs(events - equal) / equal));
}

function perMillion({ applied, cpuSeconds }: ScalingRun): number {
  return (cpuSeconds * 1e6) / applied.reduce((sum, events) => sum + events, 0);
}

function linesOf(run: ScalingRun): BenchLine[] {
  const name = `${run.workers} ${run.workers === 1 ? "worker" : "workers"}`;
  const events = run.applied.reduce((sum, each) => sum + each, 0);
  const lines: [string, number, string, string?][] = [
    ["events applied", events, "events", run.applied.join(" + ")],
    ["farthest share from equal", 100 * unequal(run), "%", "a goal of 10"],
    ["CPU", perMillion(run), "CPU-s per million events"],
    ["events", events / run.cpuSeconds, "events/CPU-s"],
    ["until all were applied", run.seconds, "s"],
    ["a worker with nothing to do", run.idleCpu, "cores"],
    ["largest memory of a worker", Math.max(...run.memory) / 1e6, "MB"],
    ["broker", (run.brokerCpuSeconds * 1e6) / events, "CPU-s per million events"],
    ...Object.entries(run.diskBytes)
      .filter(([, bytes]) => bytes > 0)
      .map(([topic, bytes]): [string, number, string] => {
        return [`${topic} on the disk`, bytes / run.loaded, "bytes an event"];
      }),
    ["alerts", run.results.alerts, "alerts", `results ${run.results.digest}`],
    ["matches for correlations", run.results.matches, "matches"],
  ];
  return lines.map(([metric, value, unit, against]) => ({
    ...{ metric: `${name}: ${metric}`, value, unit },
    ...(against === undefined ? {} : { against }),
  }));
}

/** The cheapest round: what else the machine did only ever adds. */
function least(runs: readonly ScalingRun[], workers: number): number {
  return Math.min(...runs.filter((run) => run.workers === workers).map(perMillion));
}

function verdict(runs: readonly ScalingRun[]): readonly string[] {
  const wrong: string[] = [];
  if (new Set(runs.map(({ results }) => JSON.stringify(results))).size > 1) {
    wrong.push("the results differ");
  }
  if (runs.some(({ results: { alerts, matches } }) => alerts === 0 || matches === 0)) {
    wrong.push("there was nothing to find");
  }
  if (runs.some((run) => unequal(run) > shareMost)) wrong.push("a share is not nearly equal");
  if (least(runs, 4) / least(runs, 1) >= costMost) wrong.push("4 workers cost too much more");
  return wrong;
}

async function main(): Promise<void> {
  if (!options.json) {
    console.log(`${machineText()}\n${loadText()}\n`);
  }
  const kafka = await startKafka();
  const { brokers } = kafka;
  const runs: ScalingRun[] = [];
  try {
    const load = await takeIn(brokers, seconds);
    const { events, cpuSeconds } = load.collect;
    say({ metric: "collect: events", value: events / cpuSeconds, unit: "events/CPU-s" });
    say({ metric: "an event on the bus", value: load.bytesPerEvent, unit: "bytes" });
    for (let round = 0; round < rounds; round += 1) {
      for (const workers of workerCounts) {
        const topicPrefix = `scaling.${round}.${workers}.`;
        const run = await detectWith({ kafka, topicPrefix, workers, load, copies });
        runs.push(run);
        if (!options.json) console.log();
        for (const line of linesOf(run)) say(line);
      }
    }
  } finally {
    await kafka.stop();
  }
  if (!options.json) console.log();
  for (const workers of workerCounts.slice(1)) {
    const value = 100 * (least(runs, workers) / least(runs, 1) - 1);
    say({
      ...{ metric: `an event costs more with ${workers} workers than with 1`, value, unit: "%" },
      against: "a goal of 15 with 4; the cheapest round of each",
    });
  }
  const wrong = verdict(runs);
  for (const line of wrong) console.error(line);
  if (wrong.length > 0) process.exitCode = 1;
}

await main();
