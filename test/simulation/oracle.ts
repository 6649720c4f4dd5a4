/** @module What must be true after every run, whatever went wrong on the way. */

import type { Alert, Incident, Notice } from "../../src/alert/alert.ts";
import { decodeEvent, isProblem } from "../../src/event/codec.ts";
import type { Store } from "../../src/store/store.ts";
import type { OracleIncident, Plan } from "./plan.ts";
import { onBus } from "./rig.ts";
import { correlations } from "./rules.ts";
import type { Aftermath } from "./simulation.ts";

/** Everything that is wrong, in words; empty when all is well. */
export async function failuresOf(plan: Plan, after: Aftermath): Promise<string[]> {
  const { store } = after.durable;
  const stored = await inStore(store);
  return [
    ...quiet(after),
    ...keys(after),
    ...pages(plan, after, stored),
    ...(await incidents(plan, after)),
    ...(await nothingLost(plan, after, stored)),
  ];
}

function quiet({ backlog, owed }: Aftermath): string[] {
  return [
    ...(backlog > 0 ? [`${backlog} records were never applied`] : []),
    ...(owed > 0 ? [`${owed} notices were never delivered`] : []),
  ];
}

/** One key for one page of an incident, at every try and after every crash. */
function keys({ durable }: Aftermath): string[] {
  const pageKeys = new Map<string, Set<string>>();
  for (const { incidentId, key, kind } of durable.receiver.tries) {
    if (kind !== "page") continue;
    pageKeys.set(incidentId, (pageKeys.get(incidentId) ?? new Set()).add(key));
  }
  return [...pageKeys].flatMap(([id, found]) =>
    found.size === 1 ? [] : [`${id} was paged under ${found.size} keys: ${[...found].join(", ")}`],
  );
}

/** At least one and at most one page for each incident of the oracle, and none beside. */
function pages(plan: Plan, { durable }: Aftermath, stored: Stored): string[] {
  const failures: string[] = [];
  const pagesOf = new Map<OracleIncident, Notice[]>();
  for (const page of durable.receiver.pages) {
    const text = JSON.stringify(page.alerts);
    const about = plan.oracle.filter(({ tokens }) => tokens.some((word) => text.includes(word)));
    const missed = plan.harmless.filter((word) => text.includes(word));
    if (missed.length > 0) failures.push(`a page shows the near miss ${missed.join(", ")}`);
    if (about.length !== 1) {
      const names = about.map(({ name }) => name).join(" and ");
      failures.push(`a page (${page.key}) is about ${names === "" ? "nothing" : names}`);
    }
    for (const incident of about) {
      pagesOf.set(incident, [...(pagesOf.get(incident) ?? []), page]);
    }
  }
  for (const incident of plan.oracle) {
    const found = pagesOf.get(incident) ?? [];
    if (found.length === 1) continue;
    const shown = found.map(({ key }) => key).join(", ");
    failures.push(`${incident.name}: ${found.length} pages instead of one ${shown}`);
  }
  const paged = stored.incidents.filter(({ pagedAt }) => pagedAt !== undefined);
  if (paged.length !== plan.oracle.length) {
    failures.push(`${paged.length} paged incidents in the store, not ${plan.oracle.length}`);
  }
  return failures;
}

/** The incident of each page says what the plan did. */
async function incidents(plan: Plan, { durable }: Aftermath): Promise<string[]> {
  const failures: string[] = [];
  for (const page of durable.receiver.pages) {
    const incident = await durable.store.incident(page.incident.id);
    if (incident === undefined) {
      failures.push(`the store has no incident for page ${page.key}`);
      continue;
    }
    const text = JSON.stringify(page.alerts);
    const about = plan.oracle.find(({ tokens }) => tokens.some((word) => text.includes(word)));
    if (about === undefined) continue;
    const alerts = await alertsOf(durable.store, incident);
    const evidence = JSON.stringify(alerts);
    const lost = about.tokens.filter((word) => !evidence.includes(word));
    if (lost.length > 0) failures.push(`${about.name}: no evidence of ${lost.join(", ")}`);
    const rules = new Set(alerts.map(({ rule }) => rule.title));
    const silent = about.rules.filter((rule) => !rules.has(rule));
    if (silent.length > 0) failures.push(`${about.name}: no alert of ${silent.join(", ")}`);
    const runs: (string | undefined)[] = [about.runId, ...about.others];
    if (!runs.includes(incident.build?.runId)) {
      failures.push(`${about.name}: the incident is of run ${incident.build?.runId}`);
    }
    const origins = incident.origins.map(({ origin }) => origin.runId);
    const unknown = about.origins.filter((runId) => !origins.includes(runId));
    if (unknown.length > 0) failures.push(`${about.name}: no origin ${unknown.join(", ")}`);
  }
  return failures;
}

/** Every event that was accepted is on the bus, and was applied. */
async function nothingLost(plan: Plan, after: Aftermath, stored: Stored): Promise<string[]> {
  const failures: string[] = [];
  const kept = new Set<string>();
  for (const text of await onBus(after.durable.bus, "events")) {
    const event = decodeEvent(Buffer.from(text), "events");
    if (isProblem(event)) failures.push(`an event that cannot be read: ${JSON.stringify(event)}`);
    else kept.add(event.id);
  }
  const lost = after.accepted.filter(({ id }) => !kept.has(id));
  if (lost.length > 0) failures.push(`${lost.length} accepted events are not on the bus`);
  const markers = stored.alerts.filter(({ rule }) => rule.title === "marker");
  for (const path of plan.markers) {
    const found = markers.filter(({ events }) =>
      events.some(({ fields }) => fields["url.path"] === path),
    );
    if (found.length === 1 && found[0]?.count === 1) continue;
    failures.push(`marker ${path}: ${found.length} alerts, counting ${found.map((f) => f.count)}`);
  }
  const letters = await onBus(after.durable.bus, "dead-letters");
  const strange = letters.filter((text) => !text.includes("garbage"));
  for (const text of strange) failures.push(`a dead letter: ${text.slice(0, 600)}`);
  if (letters.length < after.rejected) failures.push("a rejection is not in the dead letters");
  return failures;
}

export interface Stored {
  readonly incidents: readonly Incident[];
  readonly alerts: readonly Alert[];
}

export async function inStore(store: Store): Promise<Stored> {
  const { items } = await store.incidents({ limit: 200 });
  const alerts = await Promise.all(items.map((incident) => alertsOf(store, incident)));
  return { incidents: items, alerts: alerts.flat() };
}

async function alertsOf(store: Store, { alertIds }: Incident): Promise<Alert[]> {
  const alerts = await Promise.all(alertIds.map((id) => store.alert(id)));
  return alerts.filter((alert) => alert !== undefined);
}

/**
 * What people will find, without what follows from the order of arrival: ids, revisions, times of
 * processing, which of several matches told first.
 */
export function normalForm({ incidents: found, alerts }: Stored): readonly string[] {
  return found
    .map(({ id, level, pagedAt, build, secretsExposed, origins, lastSeen }) => {
      const own = alerts.filter(({ incidentId }) => incidentId === id);
      const lines = own.map((alert) => {
        const run = alert.build === undefined ? "no run" : `${alert.build.runId}`;
        const what = `${alert.rule.title} ×${alert.count} in ${run} until ${alert.lastSeen}`;
        // A correlation's alert begins when its condition was first seen to hold, and shows the
        // evidence of that: both follow the order of arrival where two attacks overlap.
        if (correlations.has(alert.rule.title)) return what;
        const events = alert.events.map((event) => event.id).sort();
        return `${what} from ${alert.firstSeen} ${events.join(" ")}`;
      });
      return JSON.stringify({
        ...{ level, paged: pagedAt !== undefined, run: build?.runId, lastSeen },
        secrets: [...secretsExposed].sort(),
        origins: origins.map(({ thing, origin }) => `${thing} ${origin.runId}`).sort(),
        alerts: lines.sort(),
      });
    })
    .sort();
}
