/** @module What a process with some of the roles reads, and what it closes as it stops. */

import { describe, expect, it } from "vitest";
import type { Bus, ConsumerHandler } from "../../src/bus/bus.ts";
import { openMemoryBus } from "../../src/bus/memory.ts";
import { VirtualClock } from "../../src/clock.ts";
import type { Role } from "../../src/config/config.ts";
import { type ProblemCode, ServiceError } from "../../src/error.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import { noticeRecord } from "../../src/pipeline/records.ts";
import { openMemoryState } from "../../src/state/memory.ts";
import type { StateStore } from "../../src/state/state.ts";
import { openEmbeddedStore } from "../../src/store/embedded.ts";
import { silentTelemetry } from "../../src/telemetry.ts";
import { turns } from "../contract/bus.ts";
import { replacing } from "../contract/replacing.ts";
import { fakeSink, noticeOf } from "../sink/fakes.ts";
import { demoConfig, night, rulesWithout } from "./company.ts";

const ruleset = rulesWithout();

/** Keeps what each consumer group was given, to move its partitions by hand. */
function watched(bus: Bus, onConsume: (group: string) => void = () => undefined) {
  const handlers = new Map<string, ConsumerHandler>();
  const consume: Bus["consume"] = async (settings, handler) => {
    onConsume(settings.group);
    handlers.set(settings.group, handler);
    return bus.consume(settings, handler);
  };
  return { handlers, bus: replacing(bus, { consume }) };
}

function open(
  roles?: readonly Role[],
  states: StateStore = openMemoryState(),
  onConsume?: (group: string) => void,
) {
  const clock = new VirtualClock(night);
  const { bus, handlers } = watched(openMemoryBus({ clock }), onConsume);
  const sink = fakeSink("soc");
  const pipeline = new Pipeline({
    ...(roles === undefined ? {} : { roles }),
    ...{ bus, states, store: openEmbeddedStore({ path: ":memory:" }) },
    ...{ sinks: [sink], ruleset, clock, telemetry: silentTelemetry() },
    enrichment: demoConfig.enrichment,
    lineage: { ...demoConfig.lineage, cacheHosts: [] },
    time: demoConfig.time,
  });
  return { pipeline, bus, handlers, sink, clock };
}

describe("a process with the roles", () => {
  it.each([
    [["collect"], []],
    [["detect"], ["builds", "detect"]],
    [["correlate"], ["correlate"]],
    [["notify"], ["notify", "deliver"]],
    [["api"], ["store", "dead-letters"]],
    // In the order of the journey, whatever order they are written in.
    [
      ["notify", "detect"],
      ["builds", "detect", "notify", "deliver"],
    ],
    [
      ["collect", "notify"],
      ["notify", "deliver"],
    ],
    [undefined, ["builds", "detect", "correlate", "notify", "deliver", "store", "dead-letters"]],
  ] as const)("%j reads as %j and nothing else", async (roles, groups) => {
    const { pipeline, handlers } = open(roles);
    await pipeline.start();
    await pipeline.begun;
    expect(pipeline.unready()).toEqual([]);
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

/** Whose builds cannot be opened while `fails` says so. */
function openings(fails: () => boolean): StateStore {
  const states = openMemoryState();
  const told = { place: "state.db", expected: "rows", found: "noise" };
  return {
    close: () => states.close(),
    open: async (whose) => {
      if (whose.stage === "builds" && fails()) {
        throw new ServiceError({ code: "state-corrupt", ...told });
      }
      return states.open(whose);
    },
  };
}

describe("detection", () => {
  it("begins behind the start, once the builds are read", async () => {
    let failing = true;
    const { pipeline, handlers, clock } = open(
      ["collect", "detect"],
      openings(() => failing),
    );
    await pipeline.start();
    await turns();
    expect(pipeline.unready()).toEqual(["builds are being read"]);
    expect([...handlers.keys()]).toEqual(["builds"]);
    // What comes meanwhile is taken in.
    const problem = { code: "json-invalid", place: "x", expected: "a", found: "b" } as const;
    const rejections = [{ problem, raw: "{" }];
    await pipeline.accept({ records: 1, events: [], rejections, skipped: 0 }, "falco");
    failing = false;
    clock.advance(30_000);
    await pipeline.drained();
    expect(pipeline.unready()).toEqual([]);
    expect([...handlers.keys()]).toEqual(["builds", "detect"]);
    await pipeline.stop();
  });

  it("that never began keeps nobody from stopping", async () => {
    const { pipeline, handlers } = open(
      ["detect"],
      openings(() => true),
    );
    await pipeline.start();
    await pipeline.stop();
    await turns();
    expect([...handlers.keys()]).toEqual(["builds"]);
  });

  it("is begun again while brokers do not answer, and tells what else keeps it", async () => {
    const refusals: ProblemCode[] = ["bus-unavailable", "bus-unavailable", "bus-corrupt"];
    const refuse = (group: string) => {
      const code = group === "detect" ? refusals.shift() : undefined;
      const told = { place: "kafka", expected: "an answer", found: "none" };
      if (code !== undefined) throw new ServiceError({ code, ...told });
    };
    const { pipeline, clock } = open(["detect"], openMemoryState(), refuse);
    const begun = pipeline.start().then(() => pipeline.begun);
    const outcome = expect(begun).rejects.toThrow("bus-corrupt");
    for (let second = 0; second < 2; second += 1) {
      await turns();
      expect(pipeline.unready()).toEqual([expect.stringContaining("bus-unavailable")]);
      clock.advance(1_000);
    }
    await outcome;
    expect(pipeline.unready()).toEqual([expect.stringContaining("bus-corrupt")]);
    await expect(pipeline.drained()).rejects.toThrow("bus-corrupt");
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
