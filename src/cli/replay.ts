/** @module `pipewarden replay`: what the rules make of recorded input, without paging anyone. */

import type { Alert, Incident, Notice } from "../alert/alert.ts";
import { renderPage } from "../alert/alert.ts";
import { openMemoryBus } from "../bus/memory.ts";
import { realClock, VirtualClock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { problemLine } from "../error.ts";
import { Pipeline } from "../pipeline/pipeline.ts";
import { fileInput, type ReplayCounts, type ReplayInput, replay } from "../pipeline/replay.ts";
import type { Sink } from "../sink/sink.ts";
import { openMemoryState } from "../state/memory.ts";
import { openEmbeddedStore } from "../store/embedded.ts";
import type { Store } from "../store/store.ts";
import { silentTelemetry } from "../telemetry.ts";
import { loadRules } from "./rules-loading.ts";
import { type CliStreams, grouped, jsonLine, progressOn, shownLines, table } from "./terminal.ts";

export interface ReplayOptions {
  readonly files: readonly string[];
  readonly json: boolean;
  readonly config: Config;
}

/**
 * Exit code: 0, also when something was rejected (the summary says what); 2 when a file cannot be
 * opened.
 */
export async function replayCommand(options: ReplayOptions, streams: CliStreams): Promise<number> {
  const { stdout, stderr } = streams;
  const { ruleset, problems, lists } = loadRules(options.config);
  const inputs = await inputsOf(options.files, streams);
  for (const problem of problems) stderr.write(`${shownLines(problemLine(problem))}\n`);
  const pages: Notice[] = [];
  const store = openEmbeddedStore({ path: ":memory:" });
  const clock = new VirtualClock();
  const pipeline = new Pipeline({
    ...{ bus: openMemoryBus({ clock }), states: openMemoryState(), store, ruleset, clock },
    sinks: [pageCollector(pages)],
    telemetry: silentTelemetry(),
    enrichment: options.config.enrichment,
    lineage: { ...options.config.lineage, cacheHosts: lists.get("cache_hosts") ?? [] },
    time: options.config.time,
  });
  await pipeline.start();
  await pipeline.begun;
  const progress = progressOn(stderr);
  const startedAt = realClock.now();
  const total = inputs.reduce((sum, { bytes = 0 }) => sum + bytes, 0);
  const counts = await replay({
    ...{ inputs, pipeline, clock },
    onProgress: (soFar) => progress.show(progressLine(soFar, total)),
  });
  progress.done();
  await pipeline.stop();
  const incidents = await allIncidents(store);
  const alerts = await alertsOf(store, incidents);
  if (options.json) {
    for (const alert of alerts) stdout.write(jsonLine(alert));
  } else {
    for (const page of pages) stdout.write(`${shownLines(renderPage(page, {}))}\n\n`);
    stdout.write(alertTable(alerts));
  }
  const tookMs = realClock.now() - startedAt;
  const summary = summaryText({ counts, alerts, incidents, pages, tookMs });
  (options.json ? stderr : stdout).write(summary);
  await store.close();
  return 0;
}

async function inputsOf(files: readonly string[], { stdin }: CliStreams): Promise<ReplayInput[]> {
  const names = files.length === 0 ? ["-"] : files;
  return Promise.all(
    names.map(async (name) =>
      name === "-" ? { name: "stdin", open: () => stdin as NodeJS.ReadStream } : fileInput(name),
    ),
  );
}

function pageCollector(pages: Notice[]): Sink {
  return {
    name: "replay",
    wants: ({ kind }) => kind === "page",
    send: async (notice) => {
      pages.push(notice);
      return { kind: "delivered" };
    },
    close: async () => undefined,
  };
}

function progressLine(counts: ReplayCounts, total: number): string {
  const share = total === 0 ? "" : ` ${Math.min(100, Math.floor((100 * counts.bytes) / total))} %`;
  const events = [...counts.events.values()].reduce((sum, count) => sum + count, 0);
  return `replaying${share}: ${grouped(events)} events`;
}

async function allIncidents(store: Store): Promise<Incident[]> {
  const incidents: Incident[] = [];
  let cursor: string | undefined;
  do {
    const page = await store.incidents(
      cursor === undefined ? { limit: 200 } : { limit: 200, cursor },
    );
    incidents.push(...page.items);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return incidents;
}

async function alertsOf(store: Store, incidents: readonly Incident[]): Promise<Alert[]> {
  const ids = incidents.flatMap(({ alertIds }) => alertIds);
  const alerts = await Promise.all(ids.map((id) => store.alert(id)));
  return alerts
    .filter((alert) => alert !== undefined)
    .sort((a, b) => a.firstSeen - b.firstSeen || (a.id < b.id ? -1 : 1));
}

function alertTable(alerts: readonly Alert[]): string {
  if (alerts.length === 0) return "";
  const rows = alerts.map((alert) => [
    `${new Date(alert.firstSeen).toISOString().slice(0, 19)}Z`,
    alert.rule.level,
    alert.rule.title,
    alert.build === undefined ? "–" : `${alert.build.repository} ${alert.build.runId}`,
    grouped(alert.count),
    alert.incidentId,
  ]);
  return `${table(["first seen", "level", "rule", "build", "count", "incident"], rows)}\n\n`;
}

interface Summary {
  readonly counts: ReplayCounts;
  readonly alerts: readonly Alert[];
  readonly incidents: readonly Incident[];
  readonly pages: readonly Notice[];
  readonly tookMs: number;
}

function summaryText({ counts, alerts, incidents, pages, tookMs }: Summary): string {
  const read = [...counts.events].filter(([, count]) => count > 0);
  const events = read.reduce((sum, [, count]) => sum + count, 0);
  const byFeed = read.map(([feed, count]) => `${feed} ${grouped(count)}`).join(", ");
  const matched = alerts.reduce((sum, { count }) => sum + count, 0);
  const lines = [
    `read      ${grouped(counts.records)} records in ${(tookMs / 1000).toFixed(1)} s, ${grouped(counts.skipped)} skipped`,
    `events    ${grouped(events)}${byFeed === "" ? "" : ` (${byFeed})`}`,
    `rejected  ${grouped(counts.rejected)}`,
    ...counts.rejections.slice(0, 20).map(({ problem }) => `          ${problemLine(problem)}`),
    ...(counts.rejected > 20 ? [`          and ${grouped(counts.rejected - 20)} more`] : []),
    `matched   ${grouped(matched)}`,
    `alerts    ${grouped(alerts.length)} in ${grouped(incidents.length)} incidents, ${grouped(pages.length)} would page`,
  ];
  return `${shownLines(lines.join("\n"))}\n`;
}
