// What the whole table of builds costs one detect worker: `node test/bench/scaling-builds.ts 200000`
// fills it with that many jobs, each as the webhooks and the audit log tell it, and prints heap,
// time to learn, the longest stop for an eviction, and the time to load it again.

import { performance } from "node:perf_hooks";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Changes } from "../../src/enrichment/enrichment.ts";
import {
  type BuildFact,
  createBuildTable,
  createInventory,
} from "../../src/enrichment/enrichment.ts";
import { openMemoryState } from "../../src/state/memory.ts";

const jobs = Number(process.argv[2] ?? 200_000);
const rows = 3 * jobs;
/** From half of the jobs on each new one has an old one forgotten. */
const buildsMax = Math.floor(0.5 * rows);
const startedAt = Date.UTC(2026, 10, 1);
const gapMs = 10;

function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}

/** As test/simulation/state-size.ts has them come from GitHub, in their own texts. */
function factsOf(index: number): readonly BuildFact[] {
  const at = startedAt + index * gapMs;
  const repository = `acme/repo-${index % 400}`;
  const key = { repository, runId: String(7_000_000_000 + index), runAttempt: 1 };
  const run = `${repository}#${key.runId}/1`;
  const runner = { name: `arc-${index.toString(36)}-runner`, id: String(index), labels: ["linux"] };
  const about = { ...key, workflow: "ci", sha: `${index}`.padStart(40, "a"), ref: "main" };
  const jobId = String(1_000_000 + index);
  const job = { ...about, jobId, job: "test", runner, startedAt: at };
  const url = `https://github.com/${repository}/actions/runs/${key.runId}`;
  const whole = { ...about, trigger: "push", fork: false, actor: "dana-o", runNumber: index };
  const steps = ["Set up job", "Checkout", "Restore cache", "Test", "Upload coverage"].map(
    (name, number) => ({ name, number, startedAt: at + number * 1_000 }),
  );
  return [
    { run, occurredAt: at - 9, status: "queued", build: { ...whole, runUrl: url } },
    { run, job: jobId, occurredAt: at, status: "in_progress", build: job },
    {
      ...{ run: `${repository}#${key.runId}`, occurredAt: at },
      build: { ...key, runAttempt: 0, job: "test", runner, secretsPassed: ["COVERAGE_TOKEN"] },
    },
    {
      ...{ run, job: jobId, occurredAt: at + 5, status: "completed", steps },
      build: { ...job, completedAt: at + 5, conclusion: "success" },
    },
    {
      ...{ run, occurredAt: at + 6, status: "completed" },
      build: { ...whole, completedAt: at + 6, conclusion: "success" },
    },
  ];
}

const store = openMemoryState();
const owner = { stage: "builds", partition: 0 };
const inventory = createInventory([]);
const before = heapBytes();
const state = await store.open(owner);
const table = createBuildTable({ state, inventory, buildsMax });
let [facts, longest] = [0, 0];
let last: Changes | undefined;
const cpu = process.cpuUsage();
for (let index = 0; index < jobs; index += 1) {
  for (const fact of factsOf(index)) {
    const from = performance.now();
    last = table.learn(fact, fact.occurredAt);
    longest = Math.max(longest, performance.now() - from);
    facts += 1;
  }
  if (index % 100 === 0) await state.commit();
}
await state.commit();
const { user, system } = process.cpuUsage(cpu);
const held = table.counts().builds;
const heap = heapBytes() - before;
const loading = process.cpuUsage();
const again = createBuildTable({ state, inventory, buildsMax });
const loaded = process.cpuUsage(loading);
const loadMs = (loaded.user + loaded.system) / 1_000;
const lines = {
  "rows held": held,
  "heap, bytes a row": Math.round(heap / held),
  "facts learned a CPU-s": Math.round((facts * 1e6) / (user + system)),
  "longest single fact, with its eviction, ms": Math.round(longest),
  "index built again after a start, ms of CPU": Math.round(loadMs),
  "rows then": again.counts().builds,
  "last change was empty": String(last?.empty),
};
for (const [name, value] of Object.entries(lines)) console.log(name.padEnd(46), value);
