/**
 * @module The demo's night through the pipeline on the memory bus: what README.md shows of it, made
 * without a service.
 */

import type { Alert, Notice } from "../../src/alert/alert.ts";
import { openMemoryBus } from "../../src/bus/memory.ts";
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
    lineage: { cacheHosts: lists.get("cache_hosts") ?? [] },
    ...{ pageAgeMaxMs: config.pageAgeMaxMs, latenessMs: 0 },
  });
  await pipeline.start();
  const posts = history(now);
  for (const step of [posts.filter(({ at }) => matters(now - at)), [environmentRead(now)], [blobPost(now)], imagePulls(now)]) {
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

async function take(pipeline: Pipeline, posts: readonly Post[]): Promise<void> {
  for (let from = 0; from < posts.length; from += 200) {
    const intakes = posts.slice(from, from + 200).map(collect);
    const events = intakes.flatMap((intake) => intake.events);
    await pipeline.accept({ records: events.length, events, rejections: [], skipped: 0 }, undefined);
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
