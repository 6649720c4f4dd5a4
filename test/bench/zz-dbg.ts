import { startKafka } from "../services/kafka.ts";
import { takeIn } from "./scaling-load.ts";
import { detectWith } from "./scaling-run.ts";
const k = await startKafka();
try {
  const load = await takeIn(k.brokers, Number(process.argv[2] ?? 2));
  console.error("taken in", load.jobs.length, load.events.length);
  for (const w of (process.argv[3] ?? "4").split(",").map(Number)) {
    const run = await detectWith({ brokers: k.brokers, topicPrefix: `s.${w}.${Math.floor(performance.now())}.`, workers: w, load, copies: Number(process.argv[4] ?? 2) });
    console.log(JSON.stringify(run));
  }
} finally { await k.stop(); }
