/**
 * @module The stages of the journey, each made of its component: what it reads, what it appends.
 */

import type { AlertChange, Alerts } from "../alert/alert.ts";
import type { NewRecord } from "../bus/bus.ts";
import type { Correlation, Watermarks } from "../correlation/correlation.ts";
import { confidenceRank, runKey } from "../event/build.ts";
import { isProblem } from "../event/codec.ts";
import type { Event } from "../event/event.ts";
import type { Lineage } from "../lineage/lineage.ts";
import type { DeliveryChain, DeliveryStatus } from "../sink/sink.ts";
import type { Store, StoreDocument } from "../store/store.ts";
import type { Emit } from "../telemetry.ts";
import { evictionTeller } from "./evictions.ts";
import {
  alertRecord,
  documentRecord,
  isLineage,
  isWatermark,
  noticeRecord,
  readRecord,
  routedRecord,
  setAsideRecord,
} from "./records.ts";
import type { Stage } from "./stage.ts";

export interface CorrelateParts {
  readonly correlation: Correlation;
  readonly watermarks: Watermarks;
}

/**
 * Stage 2: windows per (correlation, group key). A correlation's match may be what another one
 * waits for.
 */
export function createCorrelateStage({ correlation, watermarks }: CorrelateParts): Stage {
  return {
    apply: (records) => {
      return records.flatMap((record) => {
        const routed = readRecord("matches", record);
        if (isProblem(routed)) return [setAsideRecord(record, routed)];
        if (!isWatermark(routed)) return follow(correlation.apply(routed));
        watermarks.heard(routed.source, routed.at);
        const watermark = watermarks.watermark();
        return watermark === undefined ? [] : follow(correlation.advance(watermark));
      });
    },
    tick: () => follow(correlation.goOn()),
    nextTick: () => (correlation.isBehind ? 0 : undefined),
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
    const opened = ({ revision }: { readonly revision: number }) => revision === 1;
    emit.alertsOpened({ count: change.alerts.filter(opened).length });
    emit.incidentsOpened({ count: change.incidents.filter(opened).length });
    emit.pagesWithheld({ count: change.withheld });
    return changeRecords(change);
  }

  return {
    apply: (records) => {
      const out = records.flatMap((record) => {
        const now = record.appendedAt;
        const value = readRecord("alerts", record);
        if (isProblem(value)) return [setAsideRecord(record, value)];
        if (!isLineage(value)) return changed(alerts.apply(value, now));
        // The run itself too: its use of a token taints nothing, and may be what an alert waits
        // for.
        const runs = [...lineage.apply(value), runKey(value.run)];
        return changed(alerts.relink(runs, now));
      });
      tellEvicted();
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
export function createDeliverStage(chain: Pick<DeliveryChain, "promise" | "takeChanged">): Stage {
  return {
    apply: (records) => {
      const out = records.flatMap((record) => {
        const notice = readRecord("pages", record);
        if (isProblem(notice)) return [setAsideRecord(record, notice)];
        chain.promise(notice);
        return [];
      });
      return [...out, ...deliveryRecords(chain.takeChanged())];
    },
  };
}

/** How far notices have come, for people to see. A settled one changes no more. */
export function deliveryRecords(changed: readonly DeliveryStatus[]): readonly NewRecord[] {
  return changed.map((body) => {
    const id = `${body.noticeKey}/${body.sink}`;
    const revision = body.status === "pending" ? body.retries : Number.MAX_SAFE_INTEGER;
    return documentRecord({ kind: "delivery", id, revision, body });
  });
}

/**
 * Stage 4b: writes documents to the store; an outage holds the position, so they wait on the bus in
 * order.
 */
export function createStoreStage(store: Store): Stage {
  return {
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
