/**
 * @module Page: a notice as plain text for a tired person; the reason first, what to do before the
 * small print.
 */

import type { EpochMs } from "../clock.ts";
import { shown } from "../error.ts";
import { type BuildContext, runKey } from "../event/build.ts";
import type { Event } from "../event/event.ts";
import { evidenceText, twoLines } from "./evidence.ts";
import { mask } from "./mask.ts";
import type { Alert, Notice } from "./model.ts";
import { durationText, taintText } from "./reason.ts";

export interface PageOptions {
  /** Columns to wrap at; default 100, at least 40. Addresses are never broken. */
  readonly width?: number;
  /** Where people reach this service, without a slash at the end; no incident link without it. */
  readonly consoleUrl?: string;
}

const reasonLinesMax = 7;
const partLinesMax = 3;
const originsMax = 2;
const evidenceMax = 6;
/** More of an event's text is never looked at; two lines hold much less. */
const evidenceLengthMax = 2_000;
const evidenceIndent = 6;
const stepsMax = 5;
const labelWidth = 10;

/** Outside text for one place of the page: secrets masked, control characters shown, cut. */
function clean(text: string, lengthMax = 80): string {
  return shown(mask(text), lengthMax);
}

function timeText(at: EpochMs): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "at an unknown time";
  return `${date.toISOString().slice(0, 19).replace("T", " ")}Z`;
}

/**
 * Breaks at spaces; a longer word gets a line of its own. Lines beyond `linesMax` are dropped and
 * marked.
 */
function wrap(text: string, width: number, linesMax: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  lines.push(line);
  if (lines.length <= linesMax) return lines;
  return [...lines.slice(0, linesMax - 1), `${lines[linesMax - 1] ?? ""} …`];
}

/** `label` in its column, the parts beside it, two spaces apart, wrapped. */
function labelled(label: string, parts: readonly string[], width: number): readonly string[] {
  const room = width - labelWidth;
  const lines: string[] = [];
  for (const part of parts) {
    const last = lines.at(-1);
    // An address stands alone, to be copied whole.
    const alone = part.includes("://") || last?.includes("://");
    if (last !== undefined && !alone && last.length + 2 + part.length <= room) {
      lines[lines.length - 1] = `${last}  ${part}`;
    } else lines.push(...wrap(part, room, partLinesMax));
  }
  return lines.map((line, index) => `${(index === 0 ? label : "").padEnd(labelWidth)}${line}`);
}

function given(label: string, value: string | number | undefined): readonly string[] {
  return value === undefined ? [] : [`${label} ${clean(String(value))}`];
}

function changeText(build: BuildContext): readonly string[] {
  if (!build.fork) return given("PR", build.pullRequest && `#${build.pullRequest}`);
  const from = build.headRepository === undefined ? "" : ` ${clean(build.headRepository)}`;
  const number = build.pullRequest === undefined ? "" : `PR #${build.pullRequest} `;
  return [`${number}from fork${from}`];
}

function runnerText({ runner }: BuildContext): readonly string[] {
  if (runner === undefined) return [];
  const kind = runner.hosted === undefined ? "" : runner.hosted ? " (hosted)" : " (self-hosted)";
  return [`runner ${clean(runner.name)}${kind}`];
}

function buildParts(build: BuildContext): readonly string[] {
  const number = build.runNumber === undefined ? "" : ` #${build.runNumber}`;
  const ref = build.ref === undefined ? "" : ` on ${clean(build.ref)}`;
  const trigger = build.trigger === undefined ? "run" : clean(build.trigger);
  return [
    clean(build.repository),
    `${clean(build.workflow)}${number}`,
    `run ${clean(build.runId)}/${build.runAttempt}`,
    ...given("job", build.job),
    ...given("step", build.step),
    `commit ${clean(build.sha.slice(0, 10))}${ref}`,
    build.actor === undefined ? `${trigger}` : `${trigger} by ${clean(build.actor)}`,
    ...changeText(build),
    ...runnerText(build),
    ...given("environment", build.environment),
    clean(build.runUrl, 200),
  ];
}

/** How sure it is that this was the build, when it is not sure. */
function joinText(alerts: readonly Alert[], build: BuildContext): readonly string[] {
  const event = alerts
    .flatMap(({ events }) => events)
    .find(
      (candidate) => candidate.build !== undefined && runKey(candidate.build) === runKey(build),
    );
  const join = event?.buildJoin;
  if (join === undefined || join.confidence === "exact") return [];
  const sure = join.confidence === "after-job" ? "after its job had ended" : "likely, not certain";
  const others =
    join.candidates.length === 0 ? "" : `; or ${clean(join.candidates.join(", "), 120)}`;
  return [`joined by ${join.method}: ${sure}${others}`];
}

/** Where it happened and what it could be, while no build is known. */
function placeParts(alerts: readonly Alert[]): readonly string[] {
  const event = alerts.flatMap(({ events }) => events).at(-1);
  if (event === undefined) return [];
  const { join, buildJoin } = event;
  const candidates = buildJoin?.candidates ?? [];
  return [
    ...given("runner", join.runnerName),
    ...given("pod", join.pod),
    ...given("host", join.host),
    ...given("address", join.address),
    ...given("repository", join.repository),
    ...(candidates.length === 0 ? [] : [`could be ${clean(candidates.join(", "), 160)}`]),
  ];
}

function secretsText({ incident, alerts }: Notice): string {
  const names = incident.secretsExposed;
  if (names.length > 0)
    return `${names
      .slice(0, 12)
      .map((name) => clean(name, 60))
      .join(", ")}${names.length > 12 ? ` and ${names.length - 12} more` : ""} (rotate them)`;
  // One run that is told to hold none says nothing about the others of the incident.
  const builds = [incident.build, ...alerts.map(({ build }) => build)].filter(
    (build) => build !== undefined,
  );
  const told = builds.length > 0 && builds.every((build) => build.secretsPassed !== undefined);
  return told ? "none were passed to the job" : "not known: no feed told what the job was given";
}

interface Evidence {
  readonly event: Event;
  readonly what: string;
}

/**
 * The events to show: each alert's last one, the leading alert first, then what else there is;
 * oldest first. Where an event's own fields say nothing, its alert's reason does.
 */
function evidenceOf(alerts: readonly Alert[]): readonly Evidence[] {
  const chosen = new Map<string, Evidence>();
  const choose = (alert: Alert, event: Event | undefined) => {
    if (event === undefined || chosen.size === evidenceMax || chosen.has(event.id)) return;
    chosen.set(event.id, { event, what: evidenceText(event) || alert.reason });
  };
  for (const alert of alerts) choose(alert, alert.events.at(-1));
  for (const alert of alerts) for (const event of alert.events) choose(alert, event);
  return [...chosen.values()].sort((left, right) => left.event.occurredAt - right.event.occurredAt);
}

function evidenceLines(alerts: readonly Alert[], width: number): readonly string[] {
  const shownOnes = evidenceOf(alerts);
  const feedWidth = Math.max(0, ...shownOnes.map(({ event }) => event.feed.length));
  const textWidth = Math.max(30, width - feedWidth - 28);
  return shownOnes.flatMap(({ event, what }) => {
    const feed = event.feed.padEnd(feedWidth);
    const text = clean(what, evidenceLengthMax);
    const [first = "", ...rest] = twoLines(text, textWidth, width - evidenceIndent);
    return [
      `  ${timeText(event.occurredAt)}  ${feed}  ${first}`,
      ...rest.map((line) => `${" ".repeat(evidenceIndent)}${line}`),
    ];
  });
}

function stepsOf({ incident, alerts }: Notice): readonly string[] {
  const response = alerts.find(({ rule }) => rule.response.length > 0)?.rule.response ?? [];
  if (response.length > 0) return response.slice(0, stepsMax);
  const { build, secretsExposed } = incident;
  const steps: string[] = [];
  if (build !== undefined) steps.push("Cancel the run if it is still going; keep its logs.");
  if (build?.runner?.hosted === false) steps.push(`Take runner ${build.runner.name} out of use.`);
  if (secretsExposed.length > 0) steps.push("Rotate the secrets named above.");
  if (incident.origins.length > 0)
    steps.push("Delete what the origin saved, so no run restores it.");
  if (build === undefined) steps.push("Find out which job ran there at that time.");
  steps.push("If this was expected, say so in the rule's exceptions.");
  return steps.slice(0, stepsMax);
}

/**
 * A step is what a person does: cut short it could mean something else, so it gets a second line.
 */
function stepLines(step: string, number: number, width: number): readonly string[] {
  const lines = wrap(clean(step, 2 * width), width - 5, 2);
  return lines.map((line, index) => `${index === 0 ? `  ${number}. ` : "     "}${line}`);
}

/** What the notice is about: a page is about its leading alert, an update about the latest one. */
function subjectOf({ kind, alerts }: Notice): Alert | undefined {
  if (kind === "page") return alerts[0];
  return alerts.reduce<Alert | undefined>(
    (latest, alert) => (latest === undefined || alert.lastSeen >= latest.lastSeen ? alert : latest),
    undefined,
  );
}

/**
 * `[critical] acme/payments nightly #812: Data sent to a bare address`, at most 120 characters, one
 * line.
 */
export function summaryLine(notice: Notice): string {
  const { incident, kind } = notice;
  const { build } = incident;
  const title = subjectOf(notice)?.rule.title ?? incident.title;
  const update = kind === "update" ? "update: " : "";
  const number = build?.runNumber === undefined ? "" : ` #${build.runNumber}`;
  const where =
    build === undefined
      ? ""
      : `${clean(build.repository, 40)} ${clean(build.workflow, 20)}${number}: `;
  const line = `[${incident.level}] ${update}${where}${clean(title, 120)}`;
  return line.length <= 120 ? line : `${line.slice(0, 119)}…`;
}

function headLine({ incident, kind }: Notice): string {
  const count = incident.alertIds.length + (incident.alertsUnlisted ?? 0);
  const alerts = `${count} ${count === 1 ? "alert" : "alerts"}`;
  const update = kind === "update" ? ` (update ${incident.revision})` : "";
  return `${incident.level}: ${clean(incident.title, 200)}, ${alerts}, ${incident.id}${update}`;
}

function linkLines(notice: Notice, options: PageOptions, width: number): readonly string[] {
  const { incident, alerts } = notice;
  const links: string[] = [];
  if (options.consoleUrl !== undefined) {
    links.push(`${options.consoleUrl.replace(/\/+$/, "")}/api/v1/incidents/${incident.id}`);
  }
  const runbook = alerts.find(({ rule }) => rule.runbook !== undefined)?.rule.runbook;
  if (runbook !== undefined) links.push(`runbook ${clean(runbook, 200)}`);
  return labelled("Links", links, width);
}

/**
 * The whole notice as text of 25 to 30 lines. Every outside text is escaped and masked; secrets
 * appear by name only. The same notice gives the same text.
 */
export function renderPage(notice: Notice, options: PageOptions = {}): string {
  const { incident, alerts } = notice;
  const width = Math.max(40, options.width ?? 100);
  const { build } = incident;
  const builds =
    build === undefined
      ? ["not known yet", ...placeParts(alerts)]
      : [...buildParts(build), ...joinText(alerts, build)];
  const origins = incident.origins.slice(0, originsMax).map((taint) => taintText(taint));
  const latency = `Paged ${durationText(notice.latencyMs)} after the last event was received.`;
  const originUrl = incident.origins[0]?.origin.runUrl;
  const lines = [
    ...wrap(clean(incident.reason, 900), width, reasonLinesMax),
    headLine(notice),
    ...labelled("Build", builds, width),
    ...labelled("Origin", originUrl ? [...origins, clean(originUrl, 200)] : origins, width),
    ...labelled("Secrets", [secretsText(notice)], width),
    "Evidence",
    ...evidenceLines(alerts, width),
    "Do now",
    ...stepsOf(notice).flatMap((step, index) => stepLines(step, index + 1, width)),
    ...linkLines(notice, options, width),
    ...(notice.kind === "page" ? [latency] : []),
  ];
  return `${lines.join("\n")}\n`;
}
