import { describe, expect, it } from "vitest";
import type { AlertChange, Alerts, Notice } from "../../src/alert/alert.ts";
import type { BusRecord, NewRecord, Topic } from "../../src/bus/bus.ts";
import {
  type Correlation,
  createWatermarks,
  type Progress,
  type RoutedMatch,
} from "../../src/correlation/correlation.ts";
import type { Detection, Match } from "../../src/detection/detection.ts";
import {
  type BuildFact,
  type Changes,
  factKey,
  type Joiner,
} from "../../src/enrichment/enrichment.ts";
import { UnavailableError } from "../../src/error.ts";
import type { Event } from "../../src/event/event.ts";
import type { Lineage, LineageFact } from "../../src/lineage/lineage.ts";
import type { BuildNews, SharedBuilds } from "../../src/pipeline/builds.ts";
import { createDetectStage } from "../../src/pipeline/detect-stage.ts";
import {
  alertRecord,
  documentRecord,
  eventRecord,
  lineageRecord,
  noticeRecord,
  routedRecord,
  watermarkRecords,
} from "../../src/pipeline/records.ts";
import type { Stage } from "../../src/pipeline/stage.ts";
import {
  createCorrelateStage,
  createDeliverStage,
  createNotifyStage,
  createStoreStage,
} from "../../src/pipeline/stages.ts";
import { emptyState } from "../../src/state/memory.ts";
import type { StoreDocument } from "../../src/store/store.ts";
import { silentTelemetry } from "../../src/telemetry.ts";
import { alertOf, deliveryOf, eventOf, incidentDocument, incidentOf } from "../contract/store.ts";

const { emit } = silentTelemetry();

function onBus(records: readonly NewRecord[]): BusRecord[] {
  return records.map((record, offset) => ({ ...record, partition: 0, offset, appendedAt: 0 }));
}

function broken(topic: Topic): NewRecord {
  return { topic, key: "x", value: Buffer.from("not a record") };
}

/** What went out, as `topic key`. */
async function applied(stage: Stage, records: readonly NewRecord[]): Promise<string[]> {
  return (await stage.apply(onBus(records))).map(({ topic, key }) => `${topic} ${key}`);
}

const letter = "dead-letters stored-record-invalid";

function matchOf(id: string, events: readonly Event[] = [eventOf("falco:1")]): Match {
  const { rule } = alertOf("alr_1");
  const dated = { occurredAt: 10, receivedAt: 11, group: [], eventCount: events.length };
  return { id, rule, reason: "Something happened.", ...dated, events };
}

const build = {
  ...{ repository: "acme/api", workflow: "ci", runId: "1", runAttempt: 1, runUrl: "" },
  ...{ sha: "abc", fork: false },
} as const;
const fact: BuildFact = { run: "acme/api#1/1", occurredAt: 1, build };
const lineageFact: LineageFact = {
  ...{ eventId: "egress:1", kind: "cache-saved", thing: "cache:x", run: build, occurredAt: 1 },
};

describe("the detect stage", () => {
  interface Table {
    readonly builds: Pick<SharedBuilds, "learn">;
    /** What other tasks have learned, as if it were told now. */
    tell(learned: BuildFact | "many"): void;
    readonly news: BuildNews;
    readonly joiner: Joiner;
    readonly progress: Progress;
    readonly said: string[];
  }

  /** Parks every event until a fact comes; a fact lets all of them go. */
  function parkingTable(): Table {
    const said: string[] = [];
    let parked: Event[] = [];
    const letGo = () => {
      const events = parked;
      parked = [];
      return events;
    };
    let told: { readonly of: BuildFact }[] | "many" = [];
    const news = {
      take: () => {
        const taken = told;
        told = [];
        return taken as unknown as readonly Changes[] | "many";
      },
      close: () => undefined,
    };
    const builds = {
      learn: (learned: BuildFact) => {
        said.push(`learn ${learned.run}`);
        return { of: learned } as unknown as Changes;
      },
    };
    const joiner = {
      factsOf: (event: Event) => (event.feed === "github-webhook" ? [fact] : []),
      changed: ({ of }: { readonly of: BuildFact }) => (of.run === fact.run ? letGo() : []),
      join: (event: Event) => {
        said.push(`join ${event.id}`);
        if (event.feed === "github-webhook") return { kind: "ready", event } as const;
        parked.push(event);
        return { kind: "parked", until: 15_000 } as const;
      },
      recheck: () => {
        said.push("recheck");
        return letGo();
      },
      rest: () => [],
      isBehind: false,
      due: (now: number) => (now >= 15_000 ? letGo() : []),
      nextDue: () => (parked.length === 0 ? undefined : 15_000),
      counts: () => ({ parkedFull: 0, releasedEvicted: said.length }),
    };
    let at: number | undefined;
    const progress: Progress = {
      saw: ({ occurredAt }) => occurredAt < (at ?? 0),
      passed: (now) => {
        at = now >= 60_000 ? now : at;
      },
      watermark: () => at,
      nextDue: () => 60_000,
    };
    return {
      ...{ builds, news, said, progress },
      joiner: joiner as unknown as Joiner,
      tell: (learned) => {
        if (learned === "many" || told === "many") told = "many";
        else told.push({ of: learned });
      },
    };
  }

  function detectStage(
    { builds, news, joiner, progress }: Table,
    emitting: typeof emit = emit,
  ): Stage {
    const detection = {
      detect: (event: Event) => [{ match: matchOf(`mat ${event.id}`, [event]), alerts: true }],
    };
    return createDetectStage({
      emit: emitting,
      ...{ builds, news, joiner, progress },
      watermarks: (at) => watermarkRecords({ partitions: () => 2 }, { source: 3, at }),
      detection: detection as unknown as Detection,
      routes: (match) => [{ correlation: "seq", groupKey: match.id, match } as RoutedMatch],
      lineageFacts: (event) => [{ ...lineageFact, thing: `cache:${event.id}` }],
    });
  }

  it("tells how many a bound let go, once each", async () => {
    const evicted: string[] = [];
    const telling = {
      ...emit,
      evicted: ({ what, count }: { what: string; count?: number }) => {
        evicted.push(`${what} ${count}`);
      },
    };
    const stage = detectStage(parkingTable(), telling);
    await applied(stage, [webhook]);
    await applied(stage, [webhook]);
    // The joiner counts one per call; the webhook is learned and joined.
    expect(evicted).toEqual(["parked 0", "released 2", "parked 0", "released 2"]);
  });

  const webhook = eventRecord(eventOf("hook:1", { feed: "github-webhook" }), "build-07");

  const led = ["alerts cache:falco:1", "alerts rule-1", "matches seq\u0000mat falco:1"];

  it("looks at all that waits once, before anything else", () => {
    const table = parkingTable();
    const stage = detectStage(table);
    expect(stage.nextTick?.()).toBe(0);
    expect(stage.tick?.(1_000)).toEqual([]);
    expect(stage.tick?.(1_000)).toEqual([]);
    expect(table.said).toEqual(["recheck"]);
    expect(stage.nextTick?.()).toBe(62_000);
  });

  it("lets parked events go when a fact comes, with what they lead to", async () => {
    const table = parkingTable();
    const stage = detectStage(table);
    stage.tick?.(1_000);
    expect(await applied(stage, [eventRecord(eventOf("falco:1"), "build-07")])).toEqual([]);
    expect(stage.nextTick?.()).toBe(15_000);
    expect(await applied(stage, [webhook])).toEqual([
      `builds ${factKey(fact)}`,
      ...led,
      ...["alerts cache:hook:1", "alerts rule-1", "matches seq\u0000mat hook:1"],
    ]);
    expect(stage.nextTick?.()).toBe(62_000);
    expect(table.said).toEqual(["recheck", "join falco:1", "learn acme/api#1/1", "join hook:1"]);
  });

  it.each([
    ["a fact that another task learned", fact, []],
    ["more of them than are kept", "many", ["recheck"]],
  ] as const)("lets them go for %s", async (_name, told, again) => {
    const table = parkingTable();
    const stage = detectStage(table);
    stage.tick?.(1_000);
    await applied(stage, [eventRecord(eventOf("falco:1"), "build-07")]);
    table.tell({ ...fact, run: "acme/api#2/1" });
    expect(stage.tick?.(2_000)).toEqual([]);
    table.tell(told);
    const out = stage.tick?.(2_000) ?? [];
    expect(out.map(({ topic, key }) => `${topic} ${key}`)).toEqual(led);
    expect(table.said).toEqual(["recheck", "join falco:1", ...again]);
  });

  it("lets them go when they have waited long enough", async () => {
    const stage = detectStage(parkingTable());
    stage.tick?.(0);
    await applied(stage, [eventRecord(eventOf("falco:1"), "build-07")]);
    expect(stage.tick?.(14_999)).toEqual([]);
    expect(stage.tick?.(15_000).map(({ topic }) => topic)).toEqual(["alerts", "alerts", "matches"]);
  });

  it("is due at once, and tells no time, while more have waited than go on at once", () => {
    const table = parkingTable();
    let left = 2;
    const due = () => (left-- > 0 ? [eventOf("falco:1")] : []);
    const joiner = { ...table.joiner, due, nextDue: () => (left > 0 ? 15_000 : undefined) };
    const stage = detectStage({ ...table, joiner });
    const topics = () => stage.tick?.(62_000).map(({ topic }) => topic);
    const one = ["alerts", "alerts", "matches"];
    expect([topics(), stage.nextTick?.()]).toEqual([one, 0]);
    expect([topics(), stage.nextTick?.()]).toEqual([[...one, "matches", "matches"], 62_000]);
  });

  it("tells how far time has come, to every partition of the matches, once", async () => {
    const stage = detectStage(parkingTable());
    const out = stage.tick?.(62_000) ?? [];
    expect(out.map(({ topic, key, partition }) => `${topic} ${key} ${partition}`)).toEqual([
      "matches watermark/3 0",
      "matches watermark/3 1",
    ]);
    expect(stage.tick?.(62_000)).toEqual([]);
    // After what it speaks for.
    stage.tick?.(63_000);
    const next = await applied(stage, [webhook]);
    expect(next.at(-1)).toBe("matches seq\u0000mat hook:1");
  });

  it("sets aside what it cannot read, and reads on", async () => {
    const stage = detectStage(parkingTable());
    const out = await applied(stage, [broken("events"), webhook]);
    expect(out.slice(0, 2)).toEqual([letter, `builds ${factKey(fact)}`]);
  });
});

describe("the correlate stage", () => {
  function correlateStage(advanced: number[]): Stage {
    const correlation = {
      apply: ({ match }: RoutedMatch) => [
        { match: { ...match, id: `seq of ${match.id}` }, alerts: match.id !== "quiet" },
      ],
      goOn: () => [],
      isBehind: false,
      advance: (time: number) => {
        advanced.push(time);
        return [{ match: matchOf("absent"), alerts: true }];
      },
      routes: (match: Match) =>
        match.id.startsWith("seq") ? [{ correlation: "next", groupKey: "g", match }] : [],
    };
    return createCorrelateStage({
      correlation: correlation as unknown as Correlation,
      watermarks: createWatermarks({ state: emptyState(), sources: 2 }),
    });
  }

  const routed = (id: string, occurredAt: number) =>
    routedRecord({
      ...{ correlation: "seq", groupKey: "g", match: { ...matchOf(id), occurredAt } },
    } as unknown as RoutedMatch);

  it("hands on what a correlation finds, also to the correlations that wait for it", async () => {
    const stage = correlateStage([]);
    expect(await applied(stage, [routed("loud", 10), routed("quiet", 20)])).toEqual([
      ...["alerts rule-1", "matches next\u0000g"],
      "matches next\u0000g",
    ]);
  });

  const told = (source: number, at: number) =>
    watermarkRecords({ partitions: () => 1 }, { source, at });

  it("moves on when every partition of events has come so far, and by nothing else", async () => {
    const advanced: number[] = [];
    const stage = correlateStage(advanced);
    expect(await applied(stage, [...told(0, 500), routed("quiet", 9_000)])).toEqual([
      "matches next\u0000g",
    ]);
    expect(advanced).toEqual([]);
    expect(await applied(stage, told(1, 700))).toEqual(["alerts rule-1"]);
    await applied(stage, [...told(0, 600), ...told(0, 400)]);
    expect(advanced).toEqual([500, 600, 600]);
  });

  it("sets aside what it cannot read", async () => {
    const stage = correlateStage([]);
    expect(await applied(stage, [broken("matches"), routed("quiet", 1)])).toEqual([
      ...[letter, "matches next\u0000g"],
    ]);
  });
});

const notice: Notice = {
  key: "inc_1/page",
  kind: "page",
  incident: incidentOf("inc_1"),
  alerts: [],
  createdAt: 1,
  latencyMs: 0,
};

describe("the notify stage", () => {
  function notifyStage(said: string[], emitting: typeof emit = emit): Stage {
    const alert = alertOf("alr_1", {
      events: [eventOf("falco:1"), eventOf("egress:2", { build })],
    });
    const change: AlertChange = {
      ...{ alerts: [alert], incidents: [incidentOf("inc_1")], notices: [notice] },
      withheld: 2,
    };
    const alerts: Alerts = {
      apply: (match) => {
        said.push(`apply ${match.id}`);
        return change;
      },
      relink: (runs) => {
        said.push(`relink ${runs.join(" ")}`);
        return { alerts: [], incidents: [], notices: [], withheld: 0 };
      },
    };
    const lineage = {
      apply: () => ["acme/other#2/1"],
      counts: () => ({ things: 3, thingsEvicted: 0 }),
    } as unknown as Lineage;
    return createNotifyStage({ emit: emitting, alerts, lineage });
  }

  it("counts the pages withheld", async () => {
    const counts: (number | undefined)[] = [];
    const telling = {
      ...emit,
      pagesWithheld: ({ count }: { count?: number }) => counts.push(count),
    };
    const stage = notifyStage([], telling);
    await stage.apply(onBus([alertRecord(matchOf("mat_1")), lineageRecord(lineageFact)]));
    expect(counts).toEqual([2, 0]);
  });

  it("sends notices on their way before the documents, a joined event above a plain one", async () => {
    const stage = notifyStage([]);
    const out = await stage.apply(onBus([alertRecord(matchOf("mat_1"))]));
    expect(out.map(({ topic, key }) => `${topic} ${key}`)).toEqual([
      "pages inc_1",
      ...["documents inc_1", "documents alr_1", "documents falco:1", "documents egress:2"],
    ]);
    const revisions = out.slice(3).map(({ value }) => {
      return (JSON.parse(Buffer.from(value).toString("utf8")) as { value: StoreDocument }).value;
    });
    const [plain = 0, joined = 0] = revisions.map(({ revision }) => revision);
    expect(plain).toBe(0);
    expect(joined).toBeGreaterThan(plain);
  });

  it("looks again at the runs that a lineage fact touches, the fact's own included", async () => {
    const said: string[] = [];
    const stage = notifyStage(said);
    expect(await applied(stage, [lineageRecord(lineageFact)])).toEqual([]);
    expect(said).toEqual(["relink acme/other#2/1 acme/api#1/1"]);
  });

  it("sets aside what it cannot read, of either topic", async () => {
    const said: string[] = [];
    const stage = notifyStage(said);
    const records = [broken("alerts"), broken("alerts"), alertRecord(matchOf("mat_1"))];
    expect((await applied(stage, records)).slice(0, 3)).toEqual([letter, letter, "pages inc_1"]);
    expect(said).toEqual(["apply mat_1"]);
  });
});

describe("the deliver stage", () => {
  it("promises each notice, and sets aside what it cannot read", async () => {
    const promised: string[] = [];
    const stage = createDeliverStage({
      promise: ({ key }) => promised.push(key),
      takeChanged: () => promised.map((noticeKey) => deliveryOf({ noticeKey })),
    });
    const out = await applied(stage, [broken("pages"), noticeRecord(notice)]);
    expect(out).toEqual([letter, "documents inc_1/page/pager"]);
    expect(promised).toEqual(["inc_1/page"]);
  });
});

describe("the store stage", () => {
  const documents = ["inc_1", "inc_2"].map((id) => incidentDocument(incidentOf(id)));

  it("writes a batch at once, and sets aside what it cannot read", async () => {
    const writes: string[][] = [];
    const stage = createStoreStage({
      write: async (batch: readonly StoreDocument[]) => {
        writes.push(batch.map(({ id }) => id));
      },
    } as Parameters<typeof createStoreStage>[0]);
    const [first, second] = documents.map(documentRecord);
    if (first === undefined || second === undefined) throw new Error("no documents");
    expect(await applied(stage, [first, broken("documents"), second])).toEqual([letter]);
    expect(writes).toEqual([["inc_1", "inc_2"]]);
  });

  it("lets an outage of the store through: the documents stay on the bus", async () => {
    const stage = createStoreStage({
      write: () => Promise.reject(new UnavailableError("locked")),
    } as unknown as Parameters<typeof createStoreStage>[0]);
    await expect(applied(stage, documents.map(documentRecord))).rejects.toThrow(UnavailableError);
  });
});
