/**
 * @module The reason of an incident: one to three sentences from its leading alert, the run's
 * history and its origin.
 */

import { dayMs, hourMs, minuteMs, secondMs } from "../clock.ts";
import { shown } from "../error.ts";
import { type BuildContext, runKey } from "../event/build.ts";
import type { Taint } from "../lineage/lineage.ts";
import { mask } from "./mask.ts";
import { rankOf } from "./match.ts";
import type { Alert } from "./model.ts";

/** What the sentences need of an alert. */
export type AlertSummary = Pick<
  Alert,
  "id" | "rule" | "reason" | "build" | "firstSeen" | "lastSeen"
>;

/**
 * Highest level first, then what wakes people, then the latest; ids break ties. The first one
 * leads.
 */
export function byLead(left: AlertSummary, right: AlertSummary): number {
  return (
    rankOf(right.rule.level) - rankOf(left.rule.level) ||
    Number(right.rule.page) - Number(left.rule.page) ||
    right.firstSeen - left.firstSeen ||
    (left.id < right.id ? -1 : 1)
  );
}

/** `850 ms`, `31 s`, `12 min`, `5 h`, `21 days`: one rounded number, for people. */
export function durationText(durationMs: number): string {
  const span = Math.max(0, durationMs);
  if (span < secondMs) return `${Math.round(span)} ms`;
  if (span < 2 * minuteMs) return `${Math.round(span / secondMs)} s`;
  if (span < 2 * hourMs) return `${Math.round(span / minuteMs)} min`;
  if (span < 2 * dayMs) return `${Math.round(span / hourMs)} h`;
  return `${Math.round(span / dayMs)} days`;
}

/** `fork PR #41 of acme/tooling`, `PR #7 of acme/app`, `nightly #812 of acme/payments`. */
export function originText(build: BuildContext): string {
  const repository = shown(build.repository);
  if (build.pullRequest !== undefined) {
    return `${build.fork ? "fork " : ""}PR #${build.pullRequest} of ${repository}`;
  }
  if (build.fork) return `a fork of ${repository}`;
  const number = build.runNumber === undefined ? "" : ` #${build.runNumber}`;
  return `${shown(build.workflow)}${number} of ${repository}`;
}

/** What lineage says of a taint, made safe: `restored a cache entry saved by fork PR #41 of …` */
export function taintText(taint: Taint): string {
  return shown(mask(taint.reason), 300).replace(/\.$/, "");
}

/** Outside text as one sentence: shown, masked, with a full stop. */
function sentence(text: string): string {
  const clean = shown(mask(text), 300).trim();
  return /[.!?…]$/.test(clean) ? clean : `${clean}.`;
}

/** Only articles lose their capital: a name keeps its own. */
function continued(text: string): string {
  return text.replace(/^(?:A|An|The) /, (article) => article.toLowerCase());
}

export interface ReasonParts {
  readonly lead: AlertSummary;
  readonly alerts: readonly AlertSummary[];
  /** Taints of the leading alert's run, nearest first. */
  readonly leadTaints: readonly Taint[];
  readonly origins: readonly Taint[];
  /** Incidents that were paged on their own before they turned out to be this one. */
  readonly pagedMergedIds: readonly string[];
  /** Runs people were told of that turned out to be wrong, as `wrongRunText` gives them. */
  readonly wrongRuns: readonly string[];
}

/** `nightly #811 of acme/payments (run 9006/1)` */
export function wrongRunText(build: BuildContext): string {
  return `${originText(build)} (run ${shown(build.runId)}/${build.runAttempt})`;
}

/**
 * What else happened that says most: in the leading run if anything did, else anywhere in the
 * incident. One pass: an incident may hold many alerts and change often.
 */
function secondOf({ lead, alerts }: ReasonParts): AlertSummary | undefined {
  let best: { readonly alert: AlertSummary; readonly together: boolean } | undefined;
  for (const alert of alerts) {
    if (alert.rule.id === lead.rule.id) continue;
    const together = isSameRun(lead, alert);
    const beats =
      best === undefined || (together === best.together ? byLead(alert, best.alert) < 0 : together);
    if (beats) best = { alert, together };
  }
  return best?.alert;
}

function isSameRun({ build: left }: AlertSummary, { build: right }: AlertSummary): boolean {
  if (left === undefined || right === undefined) return false;
  // Ids first: they nearly always tell, and cost no new text.
  if (left.runId !== right.runId || left.runAttempt !== right.runAttempt) return false;
  return runKey(left) === runKey(right);
}

/** The latest thing that came after the leading alert: what an update is about. */
function laterOf({ lead, alerts }: ReasonParts): AlertSummary | undefined {
  let latest: AlertSummary | undefined;
  for (const alert of alerts) {
    if (alert.id === lead.id || alert.firstSeen <= lead.firstSeen) continue;
    if (latest === undefined || alert.firstSeen > latest.firstSeen) latest = alert;
    else if (alert.firstSeen === latest.firstSeen && byLead(alert, latest) < 0) latest = alert;
  }
  return latest;
}

/** `31 s before, in the same run: a process read the environment of another process.` */
function besideLead(lead: AlertSummary, other: AlertSummary): string {
  const apart = other.firstSeen - lead.firstSeen;
  const when = `${durationText(Math.abs(apart))} ${apart > 0 ? "later" : "before"}`;
  return sentence(`${when}, ${whereText(lead, other)}: ${continued(other.reason)}`);
}

function whereText(lead: AlertSummary, other: AlertSummary): string {
  if (other.build === undefined) return "outside a known run";
  return isSameRun(lead, other) ? "in the same run" : `in ${originText(other.build)}`;
}

/**
 * `nightly #812 of acme/payments sent 3,981 bytes by POST to 203.0.113.77:80. 31 s before, in the
 * same run: a process read the environment of another process. The run had restored a cache entry
 * saved by fork PR #41 of acme/tooling (pull_request, run 77) 21 days before.` What came after the
 * leading alert and what else was paged follow.
 */
export function reasonOf(parts: ReasonParts): string {
  const { lead, leadTaints, origins, pagedMergedIds, wrongRuns } = parts;
  const sentences = [sentence(lead.reason)];
  if (wrongRuns.length > 0) {
    sentences.push(`Corrected: it was first taken to be of ${mask(wrongRuns.join(", "))}.`);
  }
  const second = secondOf(parts);
  if (second !== undefined) sentences.push(besideLead(lead, second));
  const [nearest] = leadTaints;
  const [other] = origins;
  if (nearest !== undefined) sentences.push(`The run had ${taintText(nearest)}.`);
  else if (other !== undefined) sentences.push(`A run of this incident had ${taintText(other)}.`);
  const later = laterOf(parts);
  if (later !== undefined && later.id !== second?.id) sentences.push(besideLead(lead, later));
  if (pagedMergedIds.length > 0) {
    const ids = pagedMergedIds.slice(0, 3).join(", ");
    sentences.push(`Also paged as ${ids}, which turned out to be the same.`);
  }
  return sentences.join(" ");
}
