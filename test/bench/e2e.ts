// `npm run bench:e2e`: from an HTTP request to a page at a sink, through the real service in a
// process of its own. `--short` stays under 45 s; `--rate 5000` runs one rate; `--seconds 30` makes
// each longer; `--profile DIR` leaves CPU profiles of the service there; `--json` prints one
// {"metric","value","unit","against"} a line.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { cpus } from "node:os";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { secondMs } from "../../src/clock.ts";
import { type ServiceProcess, serviceProcess, webhookSecret } from "../pipeline/service-process.ts";
import { startKafka } from "../services/kafka.ts";
import { inventoryOf } from "./e2e-feeds.ts";
import type { GeneratorReport, GeneratorSettings, GeneratorWord } from "./e2e-generator.ts";
import { type BenchLine, lineText, loadText, machineText } from "./line.ts";

const { values: options } = parseArgs({
  options: {
    short: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    rate: { type: "string" },
    seconds: { type: "string" },
    profile: { type: "string" },
    bus: { type: "string", default: "embedded" },
  },
});

const warmSeconds = options.short ? 3 : 5;
const seconds = warmSeconds + Number(options.seconds ?? (options.short ? 6 : 15));
const rates = options.rate === undefined ? ratesOf(options.short) : [Number(options.rate)];
const pagesPerSecond = 5;
const drainSecondsMax = 60;

function ratesOf(short: boolean): number[] {
  return short ? [1_000, 5_000] : [1_000, 5_000, 10_000, 20_000];
}

if (options.bus !== "embedded" && options.bus !== "kafka") {
  throw new Error(`--bus ${options.bus}: embedded or kafka`);
}
/** A real broker on this machine; what it uses shows as "everything else". */
const kafka = options.bus === "kafka" ? await startKafka() : undefined;

/** What the service is told of its bus: topics of its own for each rate. */
function busSettings(rate: number): object {
  if (kafka === undefined) return {};
  const topics = { topicPrefix: `e2e-${rate}.`, replicationFactor: 1 };
  return { bus: { kafka: { brokers: kafka.brokers, ...topics } } };
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

/** Notes when the page of each run came. */
class PageSink {
  readonly receivedAt = new Map<string, number>();
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      const at = now();
      let body = "";
      request.setEncoding("utf8").on("data", (part: string) => {
        body += part;
      });
      request.on("end", () => {
        response.writeHead(200).end();
        const { type, data } = JSON.parse(body);
        const run = data.build?.runId;
        if (type === "incident.paged" && !this.receivedAt.has(run)) this.receivedAt.set(run, at);
      });
    });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return `http://127.0.0.1:${address.port}/`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

interface Usage {
  readonly at: number;
  readonly cpuSeconds: number;
  readonly bytes: number;
  /** CPU seconds of the whole machine, whoever used them. */
  readonly machine: number;
}

async function usageOf(url: string): Promise<Usage> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
  const cpuSeconds = value("process_cpu_seconds_total");
  return { at: now(), cpuSeconds, bytes: value("process_resident_memory_bytes"), machine: busy() };
}

function busy(): number {
  let sum = 0;
  for (const { times } of cpus()) sum += times.user + times.nice + times.sys + times.irq;
  return sum / secondMs;
}

async function backlogOf(url: string): Promise<number> {
  const answer = (await (await fetch(`${url}/readyz`)).json()) as {
    readonly backlog: Readonly<Record<string, number>>;
  };
  const counts = Object.values(answer.backlog);
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Waits until no stage has anything left; answers whether that came to pass. */
async function drained(url: string): Promise<boolean> {
  const until = now() + drainSecondsMax * secondMs;
  for (let calm = 0; calm < 3; ) {
    calm = (await backlogOf(url)) === 0 ? calm + 1 : 0;
    if (now() > until) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}

async function heard<K extends GeneratorWord["kind"]>(
  generator: ChildProcess,
  kind: K,
): Promise<GeneratorWord & { kind: K }> {
  return new Promise((resolve, reject) => {
    generator.on("message", (word) => {
      if ((word as GeneratorWord).kind === kind) resolve(word as GeneratorWord & { kind: K });
    });
    // Not its exit, which may overtake its last word.
    generator.once("disconnect", () => reject(new Error("the generator ended before it said so")));
  });
}

interface Run {
  readonly rate: number;
  readonly warm: Usage;
  readonly sent: Usage;
  readonly done: Usage;
  readonly isDrained: boolean;
  readonly backlog: number;
  readonly report: GeneratorReport;
  readonly receivedAt: ReadonlyMap<string, number>;
}

async function benchRate(rate: number): Promise<BenchLine[]> {
  const load = { rate, seconds, pagesPerSecond, webhookSecret };
  const sink = new PageSink();
  const service = await serviceProcess({
    sinkUrl: await sink.listen(),
    settings: { enrichment: { runners: inventoryOf(load) }, ...busSettings(rate) },
  });
  try {
    if (options.profile !== undefined) {
      process.env["NODE_OPTIONS"] = `--cpu-prof --cpu-prof-dir=${options.profile}`;
    }
    await service.start();
    delete process.env["NODE_OPTIONS"];
    const port = Number(new URL(service.url).port);
    return linesOf({ ...(await drive(service, { ...load, port, warmSeconds }, sink)), rate });
  } finally {
    await service.stop();
    await service.remove();
    sink.close();
  }
}

async function drive(
  { url }: ServiceProcess,
  settings: GeneratorSettings,
  { receivedAt }: PageSink,
): Promise<Omit<Run, "rate">> {
  const generator = fork(new URL("./e2e-generator.ts", import.meta.url), [
    JSON.stringify(settings),
  ]);
  const ended = once(generator, "exit");
  try {
    await heard(generator, "jobs-known");
    await drained(url);
    const [warmed, all] = [heard(generator, "warm"), heard(generator, "sent")];
    generator.send("go");
    await warmed;
    const warm = await usageOf(url);
    const { report } = await all;
    const sent = await usageOf(url);
    const backlog = await backlogOf(url);
    const isDrained = await drained(url);
    const done = await usageOf(url);
    // A page that stands in its queue is on no bus any more.
    const missing = () => report.pages.some(({ run }) => !receivedAt.has(run));
    for (let tries = 0; tries < 100 && isDrained && missing(); tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return { warm, sent, done, isDrained, backlog, report, receivedAt };
  } finally {
    generator.kill();
    await ended;
  }
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function linesOf(run: Run): BenchLine[] {
  const { rate, warm, sent, done, report, receivedAt } = run;
  const name = `${rate.toLocaleString("en-US")}/s`;
  const elapsed = (sent.at - warm.at) / secondMs;
  const worked = (done.at - warm.at) / secondMs;
  const cpu = done.cpuSeconds - warm.cpuSeconds;
  const others = (sent.machine - warm.machine - report.cpuSeconds) / elapsed;
  const service = (sent.cpuSeconds - warm.cpuSeconds) / elapsed;
  const came = report.pages.filter(({ run: id }) => receivedAt.has(id));
  const since = (from: "sentAt" | "acceptedAt") =>
    came.map((page) => Math.max(0, (receivedAt.get(page.run) ?? 0) - page[from]));
  const refused = Object.values(report.refused).reduce((sum, count) => sum + count, 0);
  const lines: [string, number, string, string?][] = [
    ["accepted", report.accepted / elapsed, "events/s", `${rate} offered`],
    ["worked off", report.accepted / worked, "events/s", `${rate} offered`],
    ["requests", report.requests / elapsed, "requests/s"],
    ["answer p50", percentile(report.answerMs, 0.5), "ms"],
    ["answer p99", percentile(report.answerMs, 0.99), "ms"],
    ["page p50, from its answer", percentile(since("acceptedAt"), 0.5), "ms"],
    [
      "page p99, from its answer",
      percentile(since("acceptedAt"), 0.99),
      "ms",
      "a goal of 1,000 at 5,000/s",
    ],
    ["page p99, from its sending", percentile(since("sentAt"), 0.99), "ms"],
    ["pages", came.length, "pages", `${report.pages.length} due`],
    ["requests refused", refused, "requests"],
    ["events not sent in time", report.unsent, "events"],
    ["service", (cpu * 1e6) / report.accepted, "CPU-s per million events"],
    ["service, while sending", service, "cores"],
    ["generator", (report.cpuSeconds * 1e6) / report.accepted, "CPU-s per million events"],
    ["everything else on the machine", Math.max(0, others - service), "cores"],
    ["memory at the end", done.bytes / 1e6, "MB"],
    ["records left when sending ended", run.backlog, "records"],
    [run.isDrained ? "until none was left" : "gave up after", worked - elapsed, "s"],
  ];
  return lines.map(([metric, value, unit, against]) => ({
    ...{ metric: `${name}: ${metric}`, value, unit },
    ...(against === undefined ? {} : { against }),
  }));
}

if (!options.json) {
  console.log(`${machineText()}\n${loadText()}\n`);
}
try {
  for (const rate of rates) {
    for (const line of await benchRate(rate)) {
      console.log(options.json ? JSON.stringify(line) : lineText(line, 44));
    }
    if (!options.json) console.log();
  }
} finally {
  await kafka?.stop();
}
