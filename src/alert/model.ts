/**
 * @module Alert, Incident, Notice: the plain data of this folder. Its front door, alert.ts,
 * re-exports all of it.
 */

import type { EpochMs } from "../clock.ts";
import type { Match, MatchedRule } from "../detection/detection.ts";
import type { BuildContext } from "../event/build.ts";
import type { Event, Feed } from "../event/event.ts";
import type { Taint } from "../lineage/lineage.ts";

/** A match that wants attention, with what folded into it. */
export interface Alert {
  /** `alr_` and a hash of rule, group and episode: the same input gives the same id. */
  readonly id: string;
  /** Rule and group: alerts with equal fingerprints fold while the rule's fold time lasts. */
  readonly fingerprint: string;
  /** Counts changes; the store keeps the newest. */
  readonly revision: number;
  readonly incidentId: string;
  readonly rule: MatchedRule;
  readonly reason: string;
  /** All that is known of its run by now; another run when a surer join says so. */
  readonly build?: BuildContext;
  /**
   * Matches folded in, each counted once; a correlation's match counts the events that took part in
   * it.
   */
  readonly count: number;
  readonly firstSeen: EpochMs;
  readonly lastSeen: EpochMs;
  /**
   * The first matches' events, at most 20, oldest first. `raw` may be cut where the whole was given
   * out before.
   */
  readonly events: readonly Event[];
}

/** Alerts that are worked as one because one thing caused them. */
export interface Incident {
  /** `inc_` and a hash, fixed by the first alert, kept through merges. */
  readonly id: string;
  /** Counts changes; a reader may compare. */
  readonly revision: number;
  /** The highest level of its alerts; lowered only when one leaves before anyone was paged. */
  readonly level: MatchedRule["level"];
  readonly title: string;
  /** What happened in one or two sentences. */
  readonly reason: string;
  /** At most 200; what is beyond is counted in `alertsUnlisted`. */
  readonly alertIds: readonly string[];
  readonly alertsUnlisted?: number;
  /** Ids of incidents that turned out to be the same and were merged into this one. */
  readonly mergedIds: readonly string[];
  /** The build of the leading alert, else of the best alert that has one. */
  readonly build?: BuildContext;
  /** Where it came from: untrusted runs whose products the builds of this incident used. */
  readonly origins: readonly Taint[];
  /** Names are taken back only where the run they were passed to turned out to be wrong. */
  readonly secretsExposed: readonly string[];
  readonly openedAt: EpochMs;
  readonly firstSeen: EpochMs;
  readonly lastSeen: EpochMs;
  /** When the page was promised; absent while nothing in it wakes anyone. */
  readonly pagedAt?: EpochMs;
  /** Why nobody was paged though an alert asks for it; absent once someone was. */
  readonly pageWithheld?: PageWithheld;
}

/** A page that was not promised because a feed told of it too late. */
export interface PageWithheld {
  readonly at: EpochMs;
  readonly alertId: string;
  /** The feed that told last. */
  readonly feed: Feed;
  /** From when it occurred until the feed had told of it, in ms; and the feed's limit. */
  readonly toldAfterMs: number;
  readonly limitMs: number;
  /** `trivy told of it 9 days after it occurred; beyond 7 days nobody is paged` */
  readonly reason: string;
}

/**
 * What a sink is told. One page per incident; what comes after is an update under the same
 * incident.
 */
export interface Notice {
  /** Idempotency key: the same for each try and after each crash. */
  readonly key: string;
  readonly kind: "page" | "update";
  readonly incident: Incident;
  /** The alerts it stands on, the leading one first, at most 20. */
  readonly alerts: readonly Alert[];
  readonly createdAt: EpochMs;
  /** How long after the leading alert's last event was received, in ms. */
  readonly latencyMs: number;
}

/** What applying one match or lineage change brought about. */
export interface AlertChange {
  readonly alerts: readonly Alert[];
  readonly incidents: readonly Incident[];
  readonly notices: readonly Notice[];
  /** Pages not promised because their feed told too late; once per incident. */
  readonly withheld: number;
}

export interface Alerts {
  apply(match: Match, now: EpochMs): AlertChange;
  /**
   * Runs whose lineage changed, by `runKey`: incidents may merge or learn their origin. Give the
   * run of the fact as well: a token it used may be one that an incident names.
   */
  relink(runs: readonly string[], now: EpochMs): AlertChange;
}
