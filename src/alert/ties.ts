/**
 * @module Ties: everything an alert is tied to, so that a run it turns out not to be of can be
 * taken out of its incident.
 */

import type { MatchedRule } from "../detection/detection.ts";
import { runKey } from "../event/build.ts";
import type { Lineage, Taint } from "../lineage/lineage.ts";
import { taintKey } from "./incident.ts";
import { causalKeysOf, rankOf } from "./match.ts";
import { type AlertMemory, type AlertRecord, type IncidentRecord, survivorOf } from "./memory.ts";

export interface Ties {
  /** Causal keys: its runs, its rule's causes, the things and origins of its runs' taints. */
  readonly keys: ReadonlySet<string>;
  /** `taintKey`s of its runs' taints. */
  readonly taints: ReadonlySet<string>;
  readonly secrets: ReadonlySet<string>;
}

export function taintKeys(taints: readonly Taint[]): readonly string[] {
  return taints.flatMap(({ thing, origin }) => [thing, `run:${runKey(origin)}`]);
}

export interface TieSources {
  readonly memory: AlertMemory;
  readonly lineage: Lineage;
}

/** As far as its kept events tell: a correlation's group is not kept. */
export function tiesOf(sources: TieSources, alerts: readonly AlertRecord[]): Ties {
  const { memory, lineage } = sources;
  const keys = new Set<string>();
  const known = new Set<string>();
  const secrets = new Set<string>();
  for (const { id, rule, runs, secrets: names } of alerts) {
    const events = memory.evidence.get(id) ?? [];
    const taints = runs.flatMap(({ run }) => lineage.taintsOf(run));
    const { causes } = causalKeysOf({ rule, events, group: [] });
    for (const key of [...causes, ...taintKeys(taints)]) keys.add(key);
    for (const { run } of runs) keys.add(`run:${run}`);
    for (const taint of taints) known.add(taintKey(taint));
    for (const name of names) secrets.add(name);
  }
  return { keys, taints: known, secrets };
}

/** Lets go of the incident's keys that only what was wrong had brought. */
export function releaseKeys(
  memory: AlertMemory,
  id: string,
  { wrong, kept }: { readonly wrong: Ties; readonly kept: Ties },
): void {
  for (const key of wrong.keys) {
    if (kept.keys.has(key)) continue;
    const cause = memory.causes.get(key);
    if (cause !== undefined && survivorOf(memory, cause.incident) === id) memory.causes.delete(key);
    const token = memory.tokens.get(key);
    if (token !== undefined && survivorOf(memory, token.incident) === id) memory.tokens.delete(key);
  }
}

/** The levels of these runs as the remaining alerts of the incident make them. */
export function relevel(
  memory: AlertMemory,
  {
    id,
    runs,
    remaining,
  }: {
    readonly id: string;
    readonly runs: readonly string[];
    readonly remaining: readonly AlertRecord[];
  },
): void {
  for (const run of runs) {
    const key = `run:${run}`;
    const known = memory.causes.get(key);
    if (known === undefined || survivorOf(memory, known.incident) !== id) continue;
    const { level: _level, ...cause } = known;
    const level = highest(remaining.filter((alert) => alert.runs.some((one) => one.run === run)));
    memory.causes.put(key, level === undefined ? cause : { ...cause, level });
  }
}

function highest(alerts: readonly AlertRecord[]): MatchedRule["level"] | undefined {
  let best: MatchedRule["level"] | undefined;
  for (const { rule } of alerts) {
    if (best === undefined || rankOf(rule.level) > rankOf(best)) best = rule.level;
  }
  return best;
}

/** The incident without build, secrets and origins that only what was wrong had brought. */
export function withoutTies(
  record: IncidentRecord,
  { wrong, kept }: { readonly wrong: Ties; readonly kept: Ties },
): IncidentRecord {
  const { build, ...incident } = record.incident;
  const isRight = (name: string) => !wrong.secrets.has(name) || kept.secrets.has(name);
  const isKept = (taint: Taint) => {
    const key = taintKey(taint);
    return !wrong.taints.has(key) || kept.taints.has(key);
  };
  const isRun = build !== undefined && kept.keys.has(`run:${runKey(build)}`);
  return {
    ...record,
    incident: {
      ...incident,
      ...(isRun ? { build } : {}),
      secretsExposed: incident.secretsExposed.filter(isRight),
      origins: incident.origins.filter(isKept),
    },
  };
}

/**
 * The incident without an alert that left it; nobody was told of it, so its level may come down.
 */
export function withoutAlert(
  record: IncidentRecord,
  alertId: string,
  remaining: readonly AlertRecord[],
): IncidentRecord {
  const { pageWithheld, ...incident } = record.incident;
  const stays = pageWithheld !== undefined && pageWithheld.alertId !== alertId;
  return {
    ...record,
    incident: {
      ...incident,
      ...(stays ? { pageWithheld } : {}),
      level: highest(remaining) ?? incident.level,
      alertIds: incident.alertIds.filter((id) => id !== alertId),
      firstSeen: Math.min(...remaining.map(({ firstSeen }) => firstSeen)),
      lastSeen: Math.max(...remaining.map(({ lastSeen }) => lastSeen)),
    },
  };
}
