/** @module Match: a rule held, with its evidence and what an alert needs to know of the rule. */

import { createHash } from "node:crypto";
import type { EpochMs } from "../clock.ts";
import { shown } from "../error.ts";
import { type Event, type FieldValue, fieldOf } from "../event/event.ts";
import type { Level, RuleMeta } from "../sigma/sigma.ts";

/**
 * What an alert needs to know of its rule, carried along so that a later rule change does not
 * rewrite the past.
 */
export interface MatchedRule {
  readonly id: string;
  readonly title: string;
  readonly level: Level;
  readonly tags: readonly string[];
  readonly page: boolean;
  readonly response: readonly string[];
  readonly falsePositives: readonly string[];
  readonly runbook?: string;
  readonly dedupe: readonly string[];
  readonly dedupeMs: number;
  readonly causes: Readonly<Record<string, string>>;
}

/** A rule held, with its evidence. */
export interface Match {
  /**
   * Deterministic: hash of rule id and event id, or for a correlation of rule id, group key and the
   * first match of the episode.
   */
  readonly id: string;
  readonly rule: MatchedRule;
  /** One sentence, the rule's `reason` with the event's values filled in, else its title. */
  readonly reason: string;
  /** The latest event's. */
  readonly occurredAt: EpochMs;
  /** When the last of its evidence was received; latency is counted from here. */
  readonly receivedAt: EpochMs;
  /** A correlation's group, in the order of its group-by; [] for a detection. */
  readonly group: readonly (readonly [name: string, value: string])[];
  /** Oldest first, at most 20; a correlation keeps the first and the last of each rule. */
  readonly events: readonly Event[];
  /** Events that took part, including those not kept above. */
  readonly eventCount: number;
}

/** `mat_` and 24 hex digits of SHA-256: equal parts, and only those, give the same id. */
export function matchId(...parts: readonly string[]): string {
  return `mat_${createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 24)}`;
}

/** The snapshot of a rule. `fieldName` turns a name of the rule's into one of ours. */
export function matchedRule(
  rule: RuleMeta,
  fieldName: (name: string) => string = (name) => name,
): MatchedRule {
  const { page, response, runbook, dedupe, dedupeMs, causes } = rule.pipewarden;
  return {
    id: rule.id,
    title: rule.title,
    level: rule.level,
    tags: rule.tags,
    page,
    response,
    falsePositives: rule.falsePositives,
    ...(runbook === undefined ? {} : { runbook }),
    dedupe: dedupe.map(fieldName),
    dedupeMs,
    causes: Object.fromEntries(
      Object.entries(causes).map(([kind, name]) => [kind, fieldName(name)]),
    ),
  };
}

/** What a reason is filled from. */
export interface ReasonValues {
  /** A correlation's group: goes before the event. */
  readonly group?: Match["group"];
  /** The latest event; absent when none was kept. */
  readonly latest?: Event;
  /** Event field names for a name in the rule. Default: the name itself. */
  readonly fieldsOf?: (name: string) => readonly string[];
}

/** In characters: one value must not push the rest of the sentence off the page. */
const valueLengthMax = 200;
const listedMax = 5;

/**
 * The rule's reason with each `{field.name}` replaced by its value made safe to show, or `unknown`;
 * else its title.
 */
export function fillReason(rule: RuleMeta, values: ReasonValues): string {
  const { reason } = rule.pipewarden;
  if (reason === undefined) return rule.title;
  return reason.trim().replace(/\{([^{}\s]+)\}/g, (_placeholder, name: string) => {
    return valueText(name, values);
  });
}

function valueText(name: string, { group, latest, fieldsOf }: ReasonValues): string {
  const own = group?.find(([groupName]) => groupName === name);
  if (own !== undefined) return shown(own[1], valueLengthMax);
  for (const candidate of fieldsOf?.(name) ?? [name]) {
    const value = latest === undefined ? undefined : fieldOf(latest.fields, candidate);
    const text = fieldText(value);
    if (text !== "") return shown(text, valueLengthMax);
  }
  return "unknown";
}

function fieldText(value: FieldValue | undefined): string {
  if (value === undefined || value === null) return "";
  if (!Array.isArray(value)) return String(value);
  const more = value.length > listedMax ? `, and ${value.length - listedMax} more` : "";
  return `${value.slice(0, listedMax).map(String).join(", ")}${more}`;
}
