/**
 * @module The stages of the journey, each made of its component: what it reads, what it appends.
 */

import type { AlertChange, Alerts } from "../alert/alert.ts";
import type { NewRecord } from "../bus/bus.ts";
import type { EpochMs } from "../clock.ts";
import type { Correlation, RoutedMatch } from "../correlation/correlation.ts";
import type { Detection, Match } from "../detection/detection.ts";
import type { BuildFact, BuildTable, Joiner } from "../enrichment/enrichment.ts";
import { shown } from "../error.ts";
import { confidenceRank, runKey } from "../event/build.ts";
import { decodeEvent, isProblem } from "../event/codec.ts";
import type { Event } from "../event/event.ts";
import type { Lineage, LineageFact } from "../lineage/lineage.ts";
import type { Store, StoreDocument } from "../store/store.ts";
import type { Emit } from "../telemetry.ts";
import {
  alertRecord,
  buildRecord,
  deadLetterRecord,
  documentRecord,
  lineageRecord,
  noticeRecord,
  readRecord,
  recordPlace,
  routedRecord,
  setAsideRecord,
} from "./records.ts";
import type { Stage } from "./stage.ts";

export interface DetectParts {
  readonly emit: Emit;
  readonly builds: BuildTable;
  readonly joiner: Joiner;
  readonly detection: Detection;
  readonly routes: (match: Match) => readonly RoutedMatch[];
  readonly lineageFacts: (event: Event) => readonly LineageFact[];
}

/**
 * Stage 1: learn builds, join, match. Keyed by runner, run or repository; keeps only builds and
 * parked events.
 */
export function createDetectStage(parts: DetectParts): Stage {
  const { emit, builds, joiner, detection, routes, lineageFacts } = parts;

  /**
   * An event that cannot be matched is set aside alone: neither its neighbours nor the fact that
   * let it go are to blame.
   */
  function detect(event: Event): NewRecord[] {
    try {
      return matched(event);
    } catch (error) {
      const problem = {
        code: "stored-record-invalid",
        place: event.id,
        expected: "an event that every rule can look at",
        found: shown(String(error), 300),
      } as const;
      return [deadLetterRecord({ problem, raw: event.raw }, { feed: event.feed })];
    }
  }

  function matched(event: Event): NewRecord[] {
    const out: NewRecord[] = lineageFacts(event).map(lineageRecord);
    for (const { match, alerts } of detection.detect(event)) {
      emit.matches({ kind: "detection" });
      if (alerts) out.push(alertRecord(match));
      out.push(...routes(match).map(routedRecord));
    }
    return out;
  }

  function take(event: Event, now: EpochMs): NewRecord[] {
    const out: NewRecord[] = [];
    for (const fact of joiner.factsOf(event)) {
      out.push(buildRecord(fact));
      // Known here at once; other workers learn it from the topic. Learning twice changes nothing.
      out.push(...learn(fact, now));
    }
    const joined = joiner.join(event, now);
    if (joined.kind === "ready") out.push(...detect(joined.event));
    else emit.eventsParked({});
    return out;
  }

  function learn(fact: BuildFact, now: EpochMs): NewRecord[] {
    return release(joiner.changed(builds.learn(fact, now), now), "build-known");
  }

  function release(events: readonly Event[], reason: "build-known" | "waited"): NewRecord[] {
    if (events.length > 0) emit.eventsReleased({ reason, count: events.length });
    return events.flatMap(detect);
  }

  const tellEvicted = evictionTeller(emit, () => ({ ...builds.counts(), ...joiner.counts() }));
  return {
    topics: ["builds", "events"],
    apply: (records, now) => {
      const out = records.flatMap((record) => {
        if (record.topic === "builds") {
          const fact = readRecord("builds", record);
          if (isProblem(fact)) return [setAsideRecord(record, fact)];
          return learn(fact, now);
        }
        const event = decodeEvent(record.value, recordPlace(record));
        if (isProblem(event)) return [setAsideRecord(record, event)];
        return take(event, now);
      });
      tellEvicted();
      return out;
    },
    tick: (now) => release(joiner.due(now), "waited"),
    nextTick: () => joiner.nextDue(),
  };
}

/** Tells by how much each eviction count has grown since it was last called. */
function evictionTeller(emit: Emit, counts: () => object): () => void {
  const told = new Map<string, number>();
  return () => {
    for (const [name, count] of Object.entries(counts()) as [string, number][]) {
      const what = /^(.*)(Evicted|Full)$/.exec(name)?.[1];
      if (what === undefined) continue;
      emit.evicted({ what, reason: "bound", count: count - (told.get(name) ?? 0) });
      told.set(name, count);
    }
  };
}

export interface CorrelateParts {
  readonly correlation: Correlation;
  readonly latenessMs: number;
}

/**
 * Stage 2: windows per (correlation, group key). A correlation's match may be what another one
 * waits for.
 */
export function createCorrelateStage({ correlation, latenessMs }: CorrelateParts): Stage {
  let latest = 0;
  return {
    topics: ["matches"],
    apply: (records) => {
      const out = records.flatMap((record) => {
        const routed = readRecord("matches", record);
        if (isProblem(routed)) return [setAsideRecord(record, routed)];
        latest = Math.max(latest, routed.match.occurredAt);
        return follow(correlation.apply(routed));
      });
      return [...out, ...follow(correlation.advance(latest - latenessMs))];
    },
  };

  function follow(correlated: ReturnType<Correlation["apply"]>): NewRecord[] {
    return correlated.flatMap(({ match, alerts }) => [
      ...(alerts ? [alertRecord(match)] : []),
      ...correlation.routes(match).map(routedRecord),
    ]);
  }
}

export interface NotifyParts {
  readonly emit: Emit;
  readonly alerts: Alerts;
  readonly lineage: Lineage;
}

/**
 * Stage 3: alerts, incidents, lineage. Promises notices and sends what people will search on its
 * way.
 */
export function createNotifyStage({ emit, alerts, lineage }: NotifyParts): Stage {
  const tellEvicted = evictionTeller(emit, () => lineage.counts());

  function changed(change: AlertChange): NewRecord[] {
    tellEvicted();
    const opened = ({ revision }: { readonly revision: number }) => revision === 1;
    emit.alertsOpened({ count: change.alerts.filter(opened).length });
    emit.incidentsOpened({ count: change.incidents.filter(opened).length });
    emit.pagesWithheld({ count: change.withheld });
    return changeRecords(change);
  }

  return {
    topics: ["lineage", "alerts"],
    apply: (records, now) => {
      const out = records.flatMap((record) => {
        const value =
          record.topic === "lineage" ? readRecord("lineage", record) : readRecord("alerts", record);
        if (isProblem(value)) return [setAsideRecord(record, value)];
        if ("rule" in value) return changed(alerts.apply(value, now));
        // The run itself too: its use of a token taints nothing, and may be what an alert waits
        // for.
        const runs = [...lineage.apply(value), runKey(value.run)];
        return changed(alerts.relink(runs, now));
      });
      return lastDocuments(out);
    },
  };
}

/**
 * A flood that folds into one alert changes it a hundred times a batch; people see the last one.
 */
function lastDocuments(out: readonly NewRecord[]): NewRecord[] {
  const last = new Map<string, NewRecord>();
  for (const record of out) if (record.topic === "documents") last.set(record.key, record);
  return out.filter((record) => record.topic !== "documents" || last.get(record.key) === record);
}

function changeRecords({ alerts, incidents, notices }: AlertChange): NewRecord[] {
  const documents: StoreDocument[] = [];
  for (const incident of incidents) {
    documents.push({
      kind: "incident",
      id: incident.id,
      revision: incident.revision,
      body: incident,
    });
  }
  for (const alert of alerts) {
    documents.push({ kind: "alert", id: alert.id, revision: alert.revision, body: alert });
    for (const event of alert.events) {
      documents.push({ kind: "event", id: event.id, revision: known(event), body: event });
    }
  }
  return [...notices.map(noticeRecord), ...documents.map(documentRecord)];
}

/** How much an event tells of its build: the store keeps the telling that knows most. */
function known({ build, buildJoin }: Event): number {
  if (build === undefined) return 0;
  const parts = Object.keys(build).length + (build.secretsPassed === undefined ? 0 : 1);
  return 100 * confidenceRank(buildJoin?.confidence ?? "none") + parts;
}

/** Stage 4a: hands notices to the delivery chain, which remembers each under its key. */
export function createDeliverStage(
  promise: (notice: AlertChange["notices"][number]) => void,
): Stage {
  return {
    topics: ["pages"],
    apply: (records) =>
      records.flatMap((record) => {
        const notice = readRecord("pages", record);
        if (isProblem(notice)) return [setAsideRecord(record, notice)];
        promise(notice);
        return [];
      }),
  };
}

/**
 * Stage 4b: writes documents to the store; an outage holds the position, so they wait on the bus in
 * order.
 */
export function createStoreStage(store: Store): Stage {
  return {
    topics: ["documents"],
    apply: async (records) => {
      const documents: StoreDocument[] = [];
      const out: NewRecord[] = [];
      for (const record of records) {
        const document = readRecord("documents", record);
        if (isProblem(document)) {
          out.push(setAsideRecord(record, document));
        } else documents.push(document);
      }
      await store.write(documents);
      return out;
    },
  };
}
