/** @module Event → matches over one rule set; keeps nothing between events. */

import { type Event, type Fields, fieldOf, textOf } from "../event/event.ts";
import type { FieldReader } from "../sigma/sigma.ts";
import { candidatesByLogsource } from "./candidates.ts";
import { initiatedField } from "./field-mapping.ts";
import { fillReason, type Match, type MatchedRule, matchedRule, matchId } from "./match.ts";
import type { Ruleset } from "./ruleset.ts";

/** Where a match goes: to people, to the correlations that wait for it, or both. */
export interface DetectedMatch {
  readonly match: Match;
  /** False for a match kept only for correlation (a signal). */
  readonly alerts: boolean;
}

/** The stateless half, over one rule set. */
export interface Detection {
  /** Every match of the event, in no particular order. */
  detect(event: Event): readonly DetectedMatch[];
}

export function createDetection(ruleset: Ruleset): Detection {
  const candidates = candidatesByLogsource(ruleset.detections);
  const snapshots = new Map<string, MatchedRule>();
  for (const { rule } of ruleset.detections) {
    const fieldName = (name: string): string => ruleset.fieldsOf(rule.id, name)[0] ?? name;
    snapshots.set(rule.id, matchedRule(rule, fieldName));
  }
  return {
    detect: (event) => {
      const rules = candidates(event.logsource);
      if (rules.length === 0) return [];
      const reader = readerOf(event);
      const found: DetectedMatch[] = [];
      for (const { rule, matches } of rules) {
        const snapshot = snapshots.get(rule.id);
        if (snapshot === undefined || !matches(reader)) continue;
        const fieldsOf = (name: string) => ruleset.fieldsOf(rule.id, name);
        const match = {
          id: matchId(rule.id, event.id),
          rule: snapshot,
          reason: fillReason(rule, { latest: event, fieldsOf }),
          occurredAt: event.occurredAt,
          receivedAt: event.receivedAt,
          group: [],
          events: [event],
          eventCount: 1,
        };
        found.push({ match, alerts: ruleset.alerts(rule.id) });
      }
      return found;
    },
  };
}

/** Calls that open a connection or send to an address, and calls that wait for others to. */
const initiating = new Set(["connect", "sendto", "sendmsg", "sendmmsg"]);
const accepting = new Set(["accept", "accept4", "listen", "bind", "recvfrom", "recvmsg"]);

/** Whether the machine opened the connection itself; undefined where the event does not tell. */
function initiatedOf(fields: Fields): boolean | undefined {
  const call = textOf(fields, "pipewarden.falco.evt.type");
  if (call !== undefined) {
    return initiating.has(call) ? true : accepting.has(call) ? false : undefined;
  }
  return textOf(fields, "network.direction") === "egress" ? true : undefined;
}

/** An event as rules read it. Keywords search the values of its fields, not the raw text. */
export function readerOf({ fields }: Event): FieldReader {
  return {
    field: (name) => (name === initiatedField ? initiatedOf(fields) : fieldOf(fields, name)),
    values: () => Object.values(fields),
  };
}
