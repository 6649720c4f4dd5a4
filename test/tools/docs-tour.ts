/**
 * @module The listings of ARCHITECTURE.md's "One event": a fixed line taken through the real
 * components, stop by stop.
 */

import { createAlerts, renderPage } from "../../src/alert/alert.ts";
import type { BusRecord, NewRecord } from "../../src/bus/bus.ts";
import { openMemoryBus } from "../../src/bus/memory.ts";
import { hourMs, minuteMs, secondMs, VirtualClock } from "../../src/clock.ts";
import { collectors } from "../../src/collector/collectors.ts";
import { jobPosts, nightlyJob } from "../../src/demo/company.ts";
import {
  createDetection,
  loadRuleset,
  type Match,
  readRuleFiles,
} from "../../src/detection/detection.ts";
import {
  createBuildTable,
  createInventory,
  createJoiner,
  createPlaceKey,
  type Joiner,
} from "../../src/enrichment/enrichment.ts";
import type { Event } from "../../src/event/event.ts";
import { createLineage } from "../../src/lineage/lineage.ts";
import { alertRecord, buildRecord, eventRecord, noticeRecord } from "../../src/pipeline/records.ts";
import { emptyState } from "../../src/state/memory.ts";
import { collect } from "../bench/events.ts";

/** 02:08 on a Tuesday in November. */
const now = Date.UTC(2026, 10, 24, 2, 8, 0);
const rule = "post-to-bare-address";

/** The proxy's line as it is POSTed to the door. */
const line = JSON.stringify({
  ...{ ts: (now - secondMs) / 1000, client: "10.20.0.17", client_port: 48112, method: "POST" },
  ...{ url: "http://203.0.113.77/u", status: 200, decision: "TCP_MISS:HIER_DIRECT" },
  ...{ dest_ip: "203.0.113.77", dest_port: "80", bytes_out: 3981, bytes_in: 2, duration_ms: 120 },
  ua: "python-requests/2.32.3",
});

const runner = { name: "build-07", addresses: ["10.20.0.17"] };

/** Everything the tour shows, as Markdown. */
export async function oneEvent(): Promise<string> {
  const event = taken();
  const record = await onTheBus(eventRecord(event, createPlaceKey([runner])(event)));
  const { joiner, facts } = knownBuilds();
  const joined = joiner.join(event, now);
  if (joined.kind !== "ready") throw new Error("the tour's event found no build");
  const matches = matched(joined.event);
  const match = matches.find(({ rule: { runbook } }) => runbook?.endsWith(rule));
  if (match === undefined) throw new Error(`the tour's event does not match ${rule}`);
  const { alert, incident, notice } = alerted(match);
  return [
    ...stop(1, "The sender", "`POST /v1/egress`, one line of Squid's JSON log:", line),
    ...stop(2, "collector", "`egressCollector.read` makes it an Event:", json(event)),
    ...stop(3, "bus", "Keyed by its machine; its place once it is durable:", json(record)),
    ...stop(
      4,
      "enrichment",
      `The build table has learnt ${facts} facts from GitHub's webhooks and audit stream, and knows that
\`10.20.0.17\` is \`build-07\`. What the join adds to the event:`,
      json(added(event, joined.event)),
    ),
    ...stop(
      5,
      "detection",
      `${matches.length === 1 ? "One rule holds" : `${matches.length} rules hold`}. The Match goes on to topic \`alerts\`
under key \`${alertRecord(match).key}\`:`,
      json({ ...match, rule: ruleOf(match), events: match.events.map(({ id }) => id) }),
    ),
    ...stop(6, "alert", "The Alert it opens:", json({ ...alert, ...shortAlert(match) })),
    ...stop(7, "alert", "The Incident, new:", json({ ...incident, build: "as above" })),
    ...stop(
      8,
      "sink",
      `The Notice stands on topic \`pages\` under key \`${noticeRecord(notice).key}\`, with the idempotency key
\`${notice.key}\`. As the terminal sink prints it:`,
      renderPage(notice, { consoleUrl: "https://pipewarden.example" }),
    ),
  ].join("\n");
}

function stop(number: number, folder: string, what: string, listing: string): string[] {
  const fence = listing.startsWith("{") ? "json" : "text";
  return [`**${number}. ${folder}.** ${what}`, "", `\`\`\`${fence}`, listing.trim(), "```", ""];
}

function taken(): Event {
  const delivery = { receivedAt: now, headers: {}, place: "egress door" };
  const event = collectors.get("egress")?.read(Buffer.from(line), delivery).events[0];
  if (event === undefined) throw new Error("the tour's line gives no event");
  return event;
}

async function onTheBus(record: NewRecord): Promise<object> {
  const bus = openMemoryBus({ clock: new VirtualClock(now) });
  await bus.append([record]);
  const seen: BusRecord[] = [];
  const consumer = await bus.consume(
    { group: "tour", topics: ["events"] },
    {
      assigned: async () => 0,
      revoked: async () => undefined,
      batch: async (_topic, _partition, records) => {
        seen.push(...records);
      },
    },
  );
  await consumer.drained();
  await bus.close();
  return { ...seen[0], value: `${seen[0]?.value.length} bytes: {"v":2,"id":"…` };
}

/** A joiner over a build table that has heard of tonight's job from GitHub. */
function knownBuilds(): { readonly joiner: Joiner; readonly facts: number } {
  const state = emptyState();
  const builds = createBuildTable({ state, inventory: createInventory([runner]) });
  const joiner = createJoiner({ state, builds });
  const told = jobPosts(nightlyJob(now - 13 * minuteMs, 0)).flatMap((post) => collect(post).events);
  const facts = told.flatMap((event) => joiner.factsOf(event));
  for (const fact of facts) {
    buildRecord(fact);
    builds.learn(fact, now);
  }
  return { joiner, facts: facts.length };
}

function matched(event: Event): readonly Match[] {
  const read = readRuleFiles({ rulesDirs: ["rules"], listsDirs: ["rules/lists"] });
  const { ruleset } = loadRuleset(read);
  return createDetection(ruleset)
    .detect(event)
    .map(({ match }) => match);
}

function alerted(match: Match) {
  const state = emptyState();
  const alerts = createAlerts({
    state,
    lineage: createLineage({ state }),
    pageAgeMaxOf: () => hourMs,
  });
  const change = alerts.apply(match, now + 6);
  const [alert] = change.alerts;
  const [incident] = change.incidents;
  const [notice] = change.notices;
  if (alert === undefined || incident === undefined || notice === undefined) {
    throw new Error("the tour's match opens no incident that pages");
  }
  return { alert, incident, notice };
}

/** What the join put on top: build, how it was found, and how many fields say so to rules. */
function added(before: Event, after: Event): object {
  const { build, buildJoin } = after;
  const fields = Object.entries(after.fields).filter(
    ([name]) => !Object.hasOwn(before.fields, name),
  );
  const shown = fields.filter(([name]) =>
    /secrets_passed|trust|task\.name|runner\.hosted/.test(name),
  );
  const more = `${fields.length - shown.length} more, all from the build above`;
  return { build, buildJoin, fields: { ...Object.fromEntries(shown), "…": more } };
}

function ruleOf({ rule: { id, title, level, page, runbook } }: Match): object {
  return { id, title, level, page, runbook, "…": "tags, response, dedupe, causes" };
}

function shortAlert({ rule: { id } }: Match): object {
  return { rule: `${id}, as above`, build: "as above", events: ["as above"] };
}

/** Indented, with short lists and objects on one line and the raw record left out. */
function json(value: object): string {
  const text = JSON.stringify(value, (key, part) => (key === "raw" ? "the line above" : part), 2);
  return text.replace(/[[{]\n\s+([^[\]{}]*?)\n\s*[\]}]/g, (whole) => {
    const flat = whole.replace(/\s*\n\s*/g, " ");
    return flat.length <= 96 ? flat : whole;
  });
}
