/**
 * @module One installation of the scaling bench: the events of the load on a bus of its own, so
 * many detect workers, what each applied, what it cost, and what came of it.
 */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { type Admin, Kafka, logLevel } from "kafkajs";
import type { Bus, BusRecord, NewRecord } from "../../src/bus/bus.ts";
import type { Match } from "../../src/detection/detection.ts";
import { type ServiceProcess, serviceProcess } from "../pipeline/service-process.ts";
import type { KafkaService } from "../services/kafka.ts";
import {
  copyOf,
  countOf,
  kafkaSettings,
  noSink,
  openBus,
  readAll,
  type ScalingLoad,
} from "./scaling-load.ts";

export interface ScalingSettings {
  readonly kafka: Pick<KafkaService, "brokers" | "folder">;
  readonly topicPrefix: string;
  readonly workers: number;
  readonly load: ScalingLoad;
  /** How often its events are given once the workers are warm. */
  readonly copies: number;
}

export interface ScalingRun {
  readonly workers: number;
  /** Events of the measured part that each worker applied. */
  readonly applied: readonly number[];
  /** Of all workers together, for the measured part. */
  readonly cpuSeconds: number;
  /** From the first of its appends until all of it was applied. */
  readonly seconds: number;
  /** CPU seconds a second of one worker that has nothing to do. */
  readonly idleCpu: number;
  /** Of all workers at the end, in bytes. */
  readonly memory: readonly number[];
  /** Of the broker, for the measured part, with the bench's own appends. */
  readonly brokerCpuSeconds: number;
  /** What the broker's disk holds of the whole load, by topic. */
  readonly diskBytes: Readonly<Record<string, number>>;
  /** Events of the whole load. */
  readonly loaded: number;
  readonly results: Results;
}

export interface Results {
  /** Of the ids, of the groups that matches went to, and of the job each was blamed on last. */
  readonly digest: string;
  readonly alerts: number;
  readonly matches: number;
}

interface Sample {
  readonly cpuSeconds: number;
  readonly memory: number;
  readonly events: number;
  readonly facts: number;
}

const appendMax = 500;
const pollMs = 200;
/** Nothing came for so long. */
const calmMs = 3_000;
/** Longer than an event waits for its build, and goes on after that. */
const settleMs = 17_000;
const drainMsMax = 120_000;

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function sampleOf({ url }: ServiceProcess): Promise<Sample> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const value = (name: string) => {
    const line = text.split("\n").find((each) => each.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1) ?? 0);
  };
  return {
    cpuSeconds: value("process_cpu_seconds_total"),
    memory: value("process_resident_memory_bytes"),
    events: value('pipewarden_records_applied_total{stage="detect"}'),
    facts: value('pipewarden_records_applied_total{stage="builds"}'),
  };
}

function sumOf(samples: readonly Sample[], name: keyof Sample): number {
  return samples.reduce((sum, sample) => sum + sample[name], 0);
}

async function append(
  bus: Bus,
  records: readonly NewRecord[],
  as: (record: NewRecord) => NewRecord = (record) => record,
): Promise<void> {
  for (let from = 0; from < records.length; from += appendMax) {
    await bus.append(records.slice(from, from + appendMax).map(as));
  }
}

/** Linux counts in hundredths of a second. */
function brokerCpu(folder: string): number {
  const pid = readFileSync(join(folder, "pid"), "utf8").trim();
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Of segments alone: their indexes are made large at once. */
function diskBytes(folder: string, topicPrefix: string): Readonly<Record<string, number>> {
  const bytes: Record<string, number> = {};
  for (const path of readdirSync(join(folder, "log"), { recursive: true }) as string[]) {
    if (!path.startsWith(topicPrefix) || !path.endsWith(".log")) continue;
    const topic = path.slice(topicPrefix.length).replace(/-\d+\/.*$/, "");
    bytes[topic] = (bytes[topic] ?? 0) + statSync(join(folder, "log", path)).size;
  }
  return bytes;
}

/** Samples of all workers once they have applied `events` together. */
async function appliedBy(
  workers: readonly ServiceProcess[],
  events: number,
): Promise<readonly Sample[]> {
  const until = performance.now() + drainMsMax;
  for (;;) {
    const samples = await Promise.all(workers.map(sampleOf));
    if (sumOf(samples, "events") >= events) return samples;
    if (performance.now() > until) throw new Error(`${sumOf(samples, "events")} of ${events}`);
    await pause(pollMs);
  }
}

/** Waits until the group is at rest with so many members. */
async function balanced(admin: Admin, group: string, members: number): Promise<void> {
  for (let tries = 0; tries < 300; tries += 1) {
    const { groups } = await admin.describeGroups([group]);
    if (groups[0]?.state === "Stable" && groups[0].members.length === members) return;
    await pause(pollMs);
  }
  throw new Error(`the group never had ${members} members at rest`);
}

/** Waits until every worker knows every fact that was told, and no more alerts come. */
async function calm(workers: readonly ServiceProcess[], bus: Bus): Promise<void> {
  let last = -1;
  const until = performance.now() + drainMsMax;
  for (let since = performance.now(); performance.now() - since < calmMs; ) {
    if (performance.now() > until) throw new Error("alerts or facts kept coming");
    const [alerts, facts] = [await countOf(bus, "alerts"), await countOf(bus, "builds")];
    const known = (await Promise.all(workers.map(sampleOf))).every((at) => at.facts >= facts);
    if (alerts + facts !== last || !known) since = performance.now();
    last = alerts + facts;
    await pause(pollMs);
  }
}

interface Told {
  readonly source?: number;
  readonly correlation?: string;
  readonly groupKey?: string;
  readonly match?: Match;
}

function toldBy({ value }: BusRecord): Told & Match {
  return JSON.parse(Buffer.from(value).toString("utf8")).value;
}

function jobOf({ events }: Match): string {
  const build = events.at(-1)?.build;
  return build === undefined ? "no build" : `${build.runId}/${build.jobId ?? "no job"}`;
}

async function resultsOf(bus: Bus): Promise<Results> {
  const alerts = new Map<string, string>();
  for (const record of await readAll(bus, "alerts")) {
    const match = toldBy(record);
    alerts.set(match.id, jobOf(match));
  }
  const matches = new Map<string, string>();
  for (const record of await readAll(bus, "matches")) {
    const { source, correlation, groupKey, match } = toldBy(record);
    if (source !== undefined || match === undefined) continue;
    matches.set(`${correlation} ${groupKey} ${match.id}`, jobOf(match));
  }
  const lines = [...alerts, ...matches].map(([id, job]) => `${id} ${job}`).sort();
  const digest = createHash("sha256").update(lines.join("\n")).digest("hex").slice(0, 16);
  return { digest, alerts: alerts.size, matches: matches.size };
}

/** Workers first, then the load: so each has its share from the first record on. */
export async function detectWith(settings: ScalingSettings): Promise<ScalingRun> {
  const { kafka, topicPrefix, workers: count, load } = settings;
  const { brokers } = kafka;
  const bus = await openBus(brokers, topicPrefix);
  const admin = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).admin();
  const workers: ServiceProcess[] = [];
  try {
    await admin.connect();
    for (let index = 0; index < count; index += 1) {
      workers.push(
        await serviceProcess({
          sinkUrl: noSink,
          settings: {
            roles: ["detect"],
            enrichment: { runners: load.runners },
            ...kafkaSettings(brokers, topicPrefix),
          },
        }),
      );
    }
    await Promise.all(workers.map((worker) => worker.start()));
    await balanced(admin, `${topicPrefix}detect`, count);
    return await measure({ ...settings, bus, processes: workers });
  } finally {
    await Promise.all(workers.map((worker) => worker.remove()));
    await admin.disconnect();
    await bus.close();
  }
}

interface Measuring extends ScalingSettings {
  readonly bus: Bus;
  readonly processes: readonly ServiceProcess[];
}

async function measure(settings: Measuring): Promise<ScalingRun> {
  const { bus, kafka, processes, load, copies, workers, topicPrefix } = settings;
  // So that each of many is as warm as one alone; the same ids again bring nothing new.
  const warm = [load.jobs, ...Array.from({ length: workers }, () => load.events)];
  for (const records of warm) await append(bus, records);
  const warmCount = warm.reduce((sum, records) => sum + records.length, 0);
  await appliedBy(processes, warmCount);
  await calm(processes, bus);
  const before = await Promise.all(processes.map(sampleOf));
  const brokerBefore = brokerCpu(kafka.folder);
  const startedAt = performance.now();
  for (let copy = 1; copy <= copies; copy += 1) {
    await append(bus, load.events, (record) => copyOf(record, copy));
  }
  const after = await appliedBy(processes, warmCount + copies * load.events.length);
  const doneAt = performance.now();
  const brokerCpuSeconds = brokerCpu(kafka.folder) - brokerBefore;
  await calm(processes, bus);
  const idleFrom = await Promise.all(processes.map(sampleOf));
  const idleAt = performance.now();
  await pause(settleMs);
  const idle = await Promise.all(processes.map(sampleOf));
  const idleSeconds = (performance.now() - idleAt) / 1_000;
  return {
    workers,
    applied: after.map(({ events }, index) => events - (before[index]?.events ?? 0)),
    cpuSeconds: sumOf(after, "cpuSeconds") - sumOf(before, "cpuSeconds"),
    seconds: (doneAt - startedAt) / 1_000,
    idleCpu: (sumOf(idle, "cpuSeconds") - sumOf(idleFrom, "cpuSeconds")) / idleSeconds / workers,
    memory: idle.map(({ memory }) => memory),
    brokerCpuSeconds,
    diskBytes: diskBytes(kafka.folder, topicPrefix),
    loaded: warmCount + copies * load.events.length,
    results: await resultsOf(bus),
  };
}
