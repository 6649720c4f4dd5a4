/**
 * @module Event: one normalised occurrence; who, what, where, when it occurred and when we received
 * it.
 */

import type { EpochMs } from "../clock.ts";
import type { BuildContext, BuildJoin } from "./build.ts";

export type FieldScalar = string | number | boolean | null;
export type FieldValue = FieldScalar | readonly FieldScalar[];

/**
 * Flat dotted names (ECS 9.4, OpenTelemetry `cicd.*` and `vcs.*`, ours under `pipewarden.*`;
 * docs/fields.md) to values. Names come from outside in part: read with `fieldOf`, never with a
 * plain index.
 */
export type Fields = Readonly<Record<string, FieldValue>>;

export const feeds = [
  "falco",
  "github-webhook",
  "github-audit",
  "egress",
  "trivy",
  "registry",
] as const;
export type Feed = (typeof feeds)[number];

/**
 * Sigma's logsource: which rules may look at an event. A rule applies when each key it sets is
 * equal.
 */
export interface Logsource {
  readonly product?: string;
  readonly category?: string;
  readonly service?: string;
}

/** What an event itself says of where it happened; the build join looks these up. All optional. */
export interface JoinKeys {
  readonly runnerName?: string;
  readonly pod?: string;
  readonly host?: string;
  /** The address the activity came from, as text. */
  readonly address?: string;
  /** `owner/name` */
  readonly repository?: string;
  readonly runId?: string;
  readonly runAttempt?: number;
  readonly jobId?: string;
}

/**
 * How far `occurredAt` can be trusted: the feed's own, taken from receipt, or pulled back to
 * receipt.
 */
export type TimeSource = "feed" | "receipt" | "clamped";

export interface Event {
  /**
   * Stable over redelivery: the feed's own id, else a hash of the record. Begins with the feed's
   * name.
   */
  readonly id: string;
  readonly feed: Feed;
  readonly logsource: Logsource;
  readonly occurredAt: EpochMs;
  readonly receivedAt: EpochMs;
  readonly timeSource: TimeSource;
  readonly fields: Fields;
  readonly join: JoinKeys;
  /** The record as it came, for people and for replay. Attacker-controlled text. */
  readonly raw: string;
  /** Present once the event is joined to its build. */
  readonly build?: BuildContext;
  /** How the join was made, or why there is none. Absent before the join. */
  readonly buildJoin?: BuildJoin;
}

/** The value of one field, or undefined when the event has no such field. `null` is a value. */
export function fieldOf(fields: Fields, name: string): FieldValue | undefined {
  const value = fields[name];
  // Most names asked for are absent, and need no second look.
  return value === undefined || Object.hasOwn(fields, name) ? value : undefined;
}

/**
 * The field as text: numbers and booleans spelled out, the first of a list, undefined when absent
 * or null.
 */
export function textOf(fields: Fields, name: string): string | undefined {
  const value = fieldOf(fields, name);
  const first = Array.isArray(value) ? value[0] : value;
  return first === undefined || first === null ? undefined : String(first);
}
