import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../src/clock.ts";
import {
  type BuildFact,
  type BuildTable,
  createBuildTable,
  createInventory,
} from "../../src/enrichment/enrichment.ts";
import { SharedBuilds } from "../../src/pipeline/builds.ts";
import { buildRecord } from "../../src/pipeline/records.ts";
import type { Stage } from "../../src/pipeline/stage.ts";
import { emptyState } from "../../src/state/memory.ts";
import { silentTelemetry } from "../../src/telemetry.ts";

function factOf(runId: string): BuildFact {
  const build = { repository: "acme/api", runId, runAttempt: 1 };
  return { run: `acme/api#${runId}/1`, occurredAt: 1_000, build, status: "in_progress" };
}

function openBuilds(): { readonly builds: SharedBuilds; readonly stage: Stage } {
  const { emit } = silentTelemetry();
  const inventory = createInventory([]);
  const builds = new SharedBuilds({
    emit,
    clock: new VirtualClock(0),
    make: (state) => createBuildTable({ state, inventory }),
  });
  return { builds, stage: reopen(builds) };
}

function reopen(builds: SharedBuilds): Stage {
  const open = builds.definition().open({
    partition: 0,
    state: emptyState(),
    change: async (change) => void change(),
    time: () => undefined,
    wake: () => undefined,
  });
  return open.make();
}

describe("the builds of a process", () => {
  it("are not there before their stage is open", () => {
    const { emit } = silentTelemetry();
    const inventory = createInventory([]);
    const builds = new SharedBuilds({
      emit,
      clock: new VirtualClock(0),
      make: (state) => createBuildTable({ state, inventory }),
    });
    expect(() => builds.table).toThrow("not loaded");
  });

  it("are asked anew by every stage over them once their state was opened again", () => {
    const { builds } = openBuilds();
    const asked: BuildTable[] = [];
    let woken = 0;
    builds.subscribe(() => {
      woken += 1;
    });
    const stage = builds.over((table) => ({
      apply: () => {
        asked.push(table);
        return [];
      },
    }));
    void stage.apply([]);
    reopen(builds);
    expect(woken).toBe(1);
    void stage.apply([]);
    void stage.apply([]);
    expect(asked.length).toBe(3);
    expect(asked[1]).not.toBe(asked[0]);
    expect(asked[1]).toBe(builds.table);
    expect(asked[2]).toBe(asked[1]);
  });

  it("wake every task but the one that told, once for each change", () => {
    const { builds } = openBuilds();
    const woken: string[] = [];
    const asking = builds.subscribe(() => woken.push("asking"));
    const other = builds.subscribe(() => woken.push("other"));
    expect(builds.learn(factOf("1"), 2_000, asking).empty).toBe(false);
    expect(builds.learn(factOf("1"), 2_000, asking).empty).toBe(true);
    expect(woken).toEqual(["other"]);
    expect(asking.take()).toEqual([]);
    expect(other.take()).toHaveLength(1);
    expect(other.take()).toEqual([]);
  });

  it("come to all tasks from the topic, and nothing more of what is known", async () => {
    const { builds, stage } = openBuilds();
    const news = builds.subscribe(() => undefined);
    builds.learn(factOf("1"), 2_000, news);
    const records = [buildRecord(factOf("1")), buildRecord(factOf("2"))].map((record, offset) => {
      return { ...record, partition: 0, offset, appendedAt: 3_000 };
    });
    expect(await stage.apply(records)).toEqual([]);
    expect(news.take()).toHaveLength(1);
  });

  it("set aside a record that cannot be read", async () => {
    const { stage } = openBuilds();
    const record = { topic: "builds", key: "x", value: Buffer.from("no") } as const;
    const out = await stage.apply([{ ...record, partition: 0, offset: 7, appendedAt: 0 }]);
    expect(out.map(({ topic, key }) => `${topic} ${key}`)).toEqual([
      "dead-letters stored-record-invalid",
    ]);
  });

  it("say when there is too much news to keep, and keep no more than a bound", () => {
    const { builds } = openBuilds();
    const news = builds.subscribe(() => undefined);
    for (let run = 0; run < 1_000; run += 1) builds.learn(factOf(String(run)), 2_000);
    expect(news.take()).toHaveLength(1_000);
    for (let run = 1_000; run < 2_001; run += 1) builds.learn(factOf(String(run)), 2_000);
    expect(news.take()).toBe("many");
    expect(news.take()).toEqual([]);
  });

  it("tell a task that has closed its queue nothing more", () => {
    const { builds } = openBuilds();
    const woken: string[] = [];
    builds.subscribe(() => woken.push("closed")).close();
    builds.learn(factOf("1"), 2_000);
    expect(woken).toEqual([]);
  });
});
