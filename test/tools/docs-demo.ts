/**
 * @module What README.md shows of the demo: its output for real, and what it has to hold, made
 * without a service.
 */

import { PassThrough } from "node:stream";
import type { Alert, Notice } from "../../src/alert/alert.ts";
import { openMemoryBus } from "../../src/bus/memory.ts";
import { runCli } from "../../src/cli/cli.ts";
import { loadRules } from "../../src/cli/rules-loading.ts";
import { dayMs, VirtualClock } from "../../src/clock.ts";
import { readConfig } from "../../src/config/config.ts";
import type { Post } from "../../src/demo/feeds.ts";
import { blobPost, environmentRead, history, imagePulls } from "../../src/demo/midnight-commit.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import type { Sink } from "../../src/sink/sink.ts";
import { openMemoryState } from "../../src/state/memory.ts";
import { openEmbeddedStore } from "../../src/store/embedded.ts";
import { silentTelemetry } from "../../src/telemetry.ts";
import { collect } from "../bench/events.ts";

export interface Night {
  readonly notices: readonly Notice[];
  /** Of the paged incident, first seen first. */
  readonly alerts: readonly Alert[];
  readonly records: number;
  readonly rules: number;
}

/** What `npm run demo` prints, run here and now: a service on a free port, about ten seconds. */
export async function demoOutput(): Promise<string> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const parts: Buffer[] = [];
  stdout.on("data", (part: Buffer) => parts.push(part));
  stderr.resume();
  const code = await runCli(["demo"], { stdout, stderr, stdin: process.stdin });
  if (code !== 0) throw new Error(`the demo ended with ${code}`);
  const lines = Buffer.concat(parts)
    .toString("utf8")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
  return `\`\`\`text\n${lines}\n\`\`\``;
}

/**
 * The text without what each run has of its own: times, ports, ids of incidents, durations, totals.
 */
export function sameEachRun(text: string): string {
  return text
    .replace(/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\dZ/g, "TIME")
    .replace(/127\.0\.0\.1:\d+/g, "127.0.0.1:PORT")
    .replace(/inc_[0-9a-f]+/g, "INCIDENT")
    .replace(/(Paged|The page came) [\d.,]+ m?s/g, "$1 SOON")
    .replace(/[\d,]+ (rules|records)/g, "SOME $1");
}

/** The same night on the memory bus, the quiet weeks left out: a second. */
export async function demoNight(now: number): Promise<Night> {
  const config = readConfig({ path: "deploy/demo/pipewarden.yml", environment: {} });
  const { ruleset, lists } = loadRules(config);
  const clock = new VirtualClock(now);
  const store = openEmbeddedStore({ path: ":memory:" });
  const notices: Notice[] = [];
  const pipeline = new Pipeline({
    ...{ bus: openMemoryBus({ clock }), states: openMemoryState(), store, ruleset, clock },
    ...{ sinks: [collectorOf(notices)], telemetry: silentTelemetry() },
    enrichment: config.enrichment,
    lineage: { ...config.lineage, cacheHosts: lists.get("cache_hosts") ?? [] },
    time: config.time,
  });
  await pipeline.start();
  const posts = history(now);
  for (const step of [
    posts.filter(({ at }) => matters(now - at)),
    [environmentRead(now)],
    [blobPost(now)],
    imagePulls(now),
  ]) {
    await take(pipeline, step);
  }
  await pipeline.stop();
  const paged = notices.find(({ kind }) => kind === "page");
  const incident = paged && (await store.incident(paged.incident.id));
  const alerts = await Promise.all((incident?.alertIds ?? []).map((id) => store.alert(id)));
  await store.close();
  return {
    notices,
    alerts: alerts
      .filter((alert) => alert !== undefined)
      .sort((left, right) => left.firstSeen - right.firstSeen),
    records: posts.reduce((sum, { records }) => sum + records, 0),
    rules: ruleset.byId.size,
  };
}

/**
 * The quiet weeks change nothing on the page (test/demo plays them); without them this takes a
 * second.
 */
function matters(ageMs: number): boolean {
  return ageMs < dayMs || (ageMs > 21 * dayMs && ageMs < 22 * dayMs);
}

/** One post after the other, as they came: what a job did is told while that job runs. */
async function take(pipeline: Pipeline, posts: readonly Post[]): Promise<void> {
  for (const post of posts) {
    await pipeline.accept(collect(post), undefined);
    await pipeline.drained();
  }
}

function collectorOf(notices: Notice[]): Sink {
  return {
    name: "readme",
    wants: () => true,
    send: async (notice) => {
      notices.push(notice);
      return { kind: "delivered" };
    },
    close: async () => undefined,
  };
}
