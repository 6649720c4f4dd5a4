// The whole pipeline in one process on the memory bus: what every stage together costs per event,
// without disk.

import { Value } from "typebox/value";
import { openMemoryBus } from "../../src/bus/memory.ts";
import { VirtualClock } from "../../src/clock.ts";
import { readConfig } from "../../src/config/config.ts";
import { loadRuleset, readRuleFiles } from "../../src/detection/detection.ts";
import { EnrichmentConfig } from "../../src/enrichment/enrichment.ts";
import { LineageConfig } from "../../src/lineage/lineage.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import { openMemoryState } from "../../src/state/memory.ts";
import { openEmbeddedStore } from "../../src/store/embedded.ts";
import { silentTelemetry } from "../../src/telemetry.ts";
import { benchEvents, cpuSeconds } from "./events.ts";
import type { BenchLine } from "./line.ts";

export async function benchPipeline(short: boolean): Promise<BenchLine[]> {
  const runs = short ? 2 : 5;
  const events = benchEvents();
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < runs; run += 1) {
    const clock = new VirtualClock(events.at(-1)?.occurredAt ?? 0);
    const store = openEmbeddedStore({ path: ":memory:" });
    const pipeline = new Pipeline({
      ...{ bus: openMemoryBus({ clock }), states: openMemoryState(), store, sinks: [], clock },
      ruleset: loadRuleset(readRuleFiles({ rulesDirs: ["rules"], listsDirs: ["rules/lists"] }))
        .ruleset,
      telemetry: silentTelemetry(),
      enrichment: Value.Create(EnrichmentConfig),
      lineage: { ...Value.Create(LineageConfig), cacheHosts: ["cache.corp.example"] },
      time: readConfig({ environment: {} }).time,
    });
    await pipeline.start();
    const seconds = await cpuSeconds(async () => {
      for (let from = 0; from < events.length; from += 500) {
        const step = events.slice(from, from + 500);
        await pipeline.accept(
          { records: step.length, events: step, rejections: [], skipped: 0 },
          "egress",
        );
      }
      await pipeline.drained();
    });
    await pipeline.stop();
    await store.close();
    best = Math.min(best, seconds);
  }
  return [
    { metric: "events through all stages", value: events.length / best, unit: "events/CPU-s" },
  ];
}
