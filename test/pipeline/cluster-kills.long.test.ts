import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type KafkaService, startKafka } from "../services/kafka.ts";
import { type ReceivedWebhook, startReceiver, type WebhookReceiver } from "../sink/receiver.ts";
import { type Cluster, openCluster } from "./cluster.ts";
import {
  caughtUp,
  memoryOf,
  type RunningLoad,
  type Strike,
  startLoad,
  strike,
} from "./cluster-kills.ts";
import { type Attack, type ClusterLoadReport, machinesOfLoad, marker } from "./cluster-load.ts";
import { type ClusterWatch, watchCluster } from "./cluster-watch.ts";
import { sinkSecret, webhookSecret } from "./service-process.ts";

const topicPrefix = "kills.";
const seed = 20_261_124;
const kills = Number(process.env["CLUSTER_KILLS"] ?? 50);
const rate = 5_000;

let kafka: KafkaService;
let receiver: WebhookReceiver;
let logDir: string;
let cluster: Cluster;
let watch: ClusterWatch;
let load: RunningLoad | undefined;

beforeAll(async () => {
  logDir = await mkdtemp(join(tmpdir(), "cluster-kills-"));
  [kafka, receiver] = await Promise.all([startKafka(), startReceiver({ secret: sinkSecret })]);
  const { brokers } = kafka;
  cluster = await openCluster({
    ...{ brokers, topicPrefix, logDir, sinkUrl: receiver.url },
    processes: [["collect"], ["detect"], ["detect"], ["correlate"], ["notify"], ["api"]],
    settings: { enrichment: { runners: machinesOfLoad() } },
  });
  await cluster.start();
  watch = await watchCluster({ brokers, topicPrefix });
}, 240_000);

afterAll(async () => {
  load?.kill();
  await watch?.close();
  await cluster?.remove();
  await receiver?.close();
  await kafka?.stop();
  if (logDir !== undefined && process.env["CLUSTER_LOGS"] === undefined) {
    await rm(logDir, { recursive: true });
  }
}, 60_000);

describe(`${kills} kill -9 of random roles and of the broker under ${rate} events a second`, () => {
  it("loses no acknowledged event, and pages each attack once", async () => {
    const port = Number(new URL(cluster.of("collect").url).port);
    load = await startLoad({ port, rate, attackMs: 4_000, webhookSecret });
    // The first page is taken and its answer lost, the next is refused: both come again.
    receiver.answerNext("stall", { status: 503 });
    const trace: Strike[] = [];
    try {
      await strike({ cluster, kafka, seed, kills, gapMs: [1_000, 3_500] }, trace);
      const report = await load.stop();
      await caughtUp(cluster, watch, 180_000);

      expect(report.attacks.length).toBeGreaterThan(kills / 2);
      const missing = await missingOf(report.events);
      expect(missing.slice(0, 50), `acknowledged and lost: ${missing.length}`).toEqual([]);
      const unpaged = () => {
        const paged = new Set(pagedRuns());
        return report.attacks.filter(({ runId }) => !paged.has(`${runId}`));
      };
      await expect.poll(unpaged, { timeout: 60_000, interval: 500 }).toEqual([]);
      const attacked = report.attacks.map(({ runId }) => `${runId}`).sort();
      expect(pagedRuns().sort()).toEqual(attacked);
      const keys = Map.groupBy(receiver.requests.filter(isPage), runOf);
      for (const [run, requests] of keys) {
        expect(new Set(requests.map(({ id }) => id)).size, `keys of the page of ${run}`).toBe(1);
      }
      expect(sumOf(await watch.ends("dead-letters"))).toBe(0);
      tell(report, trace, await memoryOf(cluster));
    } catch (error) {
      console.error(`seed ${seed}, kills:\n${textOf(trace)}\nlogs in ${logDir}`);
      throw error;
    }
  }, 590_000);
});

async function missingOf(count: number): Promise<readonly number[]> {
  const seen = new Uint8Array(count);
  await watch.numbers("events", marker, (number) => {
    seen[number] = 1;
  });
  const missing: number[] = [];
  for (const [number, there] of seen.entries()) if (there === 0) missing.push(number);
  return missing;
}

function isPage({ body }: ReceivedWebhook): boolean {
  return (JSON.parse(body) as { type: string }).type === "incident.paged";
}

function runOf({ body }: ReceivedWebhook): string {
  const { data } = JSON.parse(body) as { data: { build?: { runId: string } } };
  return data.build?.runId ?? "no run";
}

/** The run of each page that a receiver which honours keys took; twice for two pages of one run. */
function pagedRuns(): string[] {
  return [...receiver.accepted.values()].filter(isPage).map(runOf);
}

function sumOf(counts: ReadonlyMap<number, number>): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0);
}

function textOf(trace: readonly Strike[]): string {
  const lines = trace.map(({ at, target, downFor }) => {
    return `${at.toFixed(1)} s ${target}, ${downFor?.toFixed(1) ?? "?"} s`;
  });
  return lines.join("\n");
}

function tell(report: ClusterLoadReport, trace: readonly Strike[], memory: string): void {
  const { events, seconds, heldBackSeconds, refused } = report;
  const waits = pageWaits(report);
  const at = (share: number) =>
    (waits[Math.floor((waits.length - 1) * share)]?.wait ?? 0).toFixed(0);
  const slowest = waits.slice(-3).map(({ kind, ackedAt, wait }) => {
    return `${kind} acknowledged at ${(ackedAt - report.begunAt) / 1_000} s: ${wait.toFixed(0)} s`;
  });
  console.info(
    [
      `${trace.length} kills, and how long each was down:\n${textOf(trace)}`,
      `${events} events acknowledged in ${seconds.toFixed(0)} s: ${(events / seconds).toFixed(0)}/s ` +
        `of ${rate}/s offered but for the ${heldBackSeconds.toFixed(0)} s held back`,
      `attempts that failed, by status: ${JSON.stringify(refused)}`,
      `${waits.length} pages, p50 ${at(0.5)} s, p90 ${at(0.9)} s after their attack`,
      `slowest: ${slowest.join("; ")}`,
      `MB at the end: ${memory}`,
    ].join("\n"),
  );
}

interface PageWait extends Attack {
  /** Seconds from the acknowledgement to the page. */
  readonly wait: number;
}

/** The longest last. */
function pageWaits({ attacks }: ClusterLoadReport): readonly PageWait[] {
  const pages = [...receiver.accepted.values()].filter(isPage);
  const pagedAt = new Map(pages.map((page) => [runOf(page), page.timestamp]));
  const waits = attacks.map((attack) => {
    const at = pagedAt.get(`${attack.runId}`) ?? Number.NaN;
    return { ...attack, wait: Math.max(0, at - attack.ackedAt / 1_000) };
  });
  return waits.sort((a, b) => a.wait - b.wait);
}
