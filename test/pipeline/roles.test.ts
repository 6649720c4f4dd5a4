/** @module What a process with some of the roles reads, and what it closes as it stops. */

import { describe, expect, it } from "vitest";
import type { Bus, ConsumerHandler } from "../../src/bus/bus.ts";
import { openMemoryBus } from "../../src/bus/memory.ts";
import { VirtualClock } from "../../src/clock.ts";
import type { Role } from "../../src/config/config.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import { noticeRecord } from "../../src/pipeline/records.ts";
import { openMemoryState } from "../../src/state/memory.ts";
import { openEmbeddedStore } from "../../src/store/embedded.ts";
import { silentTelemetry } from "../../src/telemetry.ts";
import { fakeSink, noticeOf } from "../sink/fakes.ts";
import { demoConfig, night, rulesWithout } from "./company.ts";

const ruleset = rulesWithout();

/** Keeps what each consumer group was given, to move its partitions by hand. */
function watched(bus: Bus): { readonly bus: Bus; readonly handlers: Map<string, ConsumerHandler> } {
  const handlers = new Map<string, ConsumerHandler>();
  const consume: Bus["consume"] = (settings, handler) => {
    handlers.set(settings.group, handler);
    return bus.consume(settings, handler);
  };
  return { handlers, bus: new Proxy(bus, { get: getOr("consume", consume) }) };
}

function getOr(name: string, instead: unknown) {
  return (target: Bus, key: string | symbol): unknown => {
    if (key === name) return instead;
    const value: unknown = Reflect.get(target, key);
    return typeof value === "function" ? value.bind(target) : value;
  };
}

function open(roles?: readonly Role[]) {
  const clock = new VirtualClock(night);
  const { bus, handlers } = watched(openMemoryBus({ clock }));
  const sink = fakeSink("soc");
  const pipeline = new Pipeline({
    ...(roles === undefined ? {} : { roles }),
    ...{ bus, states: openMemoryState(), store: openEmbeddedStore({ path: ":memory:" }) },
    ...{ sinks: [sink], ruleset, clock, telemetry: silentTelemetry() },
    enrichment: demoConfig.enrichment,
    lineage: { ...demoConfig.lineage, cacheHosts: [] },
    time: demoConfig.time,
  });
  return { pipeline, bus, handlers, sink };
}

describe("a process with the roles", () => {
  it.each([
    [["collect"], []],
    [["detect"], ["builds", "detect"]],
    [["correlate"], ["correlate"]],
    [["notify"], ["notify", "deliver"]],
    [["api"], ["store", "dead-letters"]],
    [
      ["collect", "notify"],
      ["notify", "deliver"],
    ],
    [undefined, ["builds", "detect", "correlate", "notify", "deliver", "store", "dead-letters"]],
  ] as const)("%j reads as %j and nothing else", async (roles, groups) => {
    const { pipeline, handlers } = open(roles);
    await pipeline.start();
    expect([...handlers.keys()].sort()).toEqual([...groups].sort());
    expect(Object.keys(pipeline.backlog())).toEqual(groups);
    await pipeline.stop();
  });

  it("collect takes in all the same, for those that read", async () => {
    const { pipeline, bus } = open(["collect"]);
    await pipeline.start();
    const problem = { place: "x", expected: "JSON", found: "nothing" };
    const rejections = [{ problem: { ...problem, code: "json-invalid" as const }, raw: "{" }];
    await pipeline.accept({ records: 1, events: [], rejections, skipped: 0 }, "falco");
    expect(await bus.end("dead-letters", 0)).toBe(1);
    await pipeline.stop();
  });
});

describe("the sinks", () => {
  it("are closed with the pipeline, and stay open for whoever gets a partition again", async () => {
    const { pipeline, bus, handlers, sink } = open(["notify"]);
    await pipeline.start();
    const page = (n: number) =>
      bus.append([noticeRecord(noticeOf({ key: `inc_${n}/page/1`, incident: `inc_${n}` }))]);
    await page(1);
    await pipeline.drained();
    await handlers.get("deliver")?.revoked("pages", 0);
    expect(sink.closed).toBe(false);
    expect(await handlers.get("deliver")?.assigned("pages", 0)).toBe(1);
    await page(2);
    await pipeline.drained();
    expect(sink.sent).toEqual(["inc_1/page/1", "inc_2/page/1"]);
    expect(sink.closed).toBe(false);
    await pipeline.stop();
    expect(sink.closed).toBe(true);
  });
});
