/**
 * @module One match in a window, as State keeps it, and the row that a whole group has beside its
 * entries.
 */

import type { EpochMs } from "../clock.ts";
import type { Match } from "../detection/detection.ts";
import type { Event } from "../event/event.ts";

/** A slim copy of a match. Plain data, replaced and never changed in place. */
export interface Entry {
  /** The match's. */
  readonly id: string;
  readonly rule: string;
  readonly at: EpochMs;
  readonly receivedAt: EpochMs;
  /** value_count: what it adds to the count. */
  readonly values?: readonly string[];
  /** Events behind it; absent for one. */
  readonly weight?: number;
  /** Whether an event of it has its build. */
  readonly joined?: boolean;
  /** Its first and last event, while it is worth keeping as evidence. */
  readonly events?: readonly Event[];
  /** A correlation's match: whose episode it is, and when that began. */
  readonly episode?: { readonly group: string; readonly from: EpochMs };
}

/** A stretch of event time; both ends are stamps of entries. */
export interface Segment {
  readonly from: EpochMs;
  readonly to: EpochMs;
}

/**
 * A window that is over, of a condition with an upper bound. `from` and `to` are its bounds, not
 * stamps.
 */
export interface ClosedWindow extends Segment {
  /** The match that opened it: part of its result's id. */
  readonly anchor: string;
  /** Some of its entries are no longer kept: what is left of it says nothing. */
  readonly partial?: boolean;
}

/** What is left of an episode whose oldest entries are gone. */
export interface Remainder {
  readonly anchor: string;
  readonly from: EpochMs;
  /** Stamp of the newest entry that is gone. */
  readonly to: EpochMs;
  readonly count: number;
  /** The first of each rule, with its events where they were kept. */
  readonly first: readonly Entry[];
}

/** What a group remembers beside its entries. */
export interface GroupRow {
  readonly group: Match["group"];
  /** How long its entries are kept, in ms: outlives the rule's own file for a while. */
  readonly keepMs: number;
  /** Segments as they were when entries last went: what they showed cannot be computed again. */
  readonly segments: readonly Segment[];
  readonly remainder?: Remainder;
  readonly closed: readonly ClosedWindow[];
  /** Entries at or before this went because the group was full. */
  readonly floor?: EpochMs;
}

/** Ascending by time, then by id, so that arrival order leaves no trace. */
export function isBefore(left: Entry, right: Entry): boolean {
  return left.at < right.at || (left.at === right.at && left.id < right.id);
}

/** Whether any event of a match has its build. */
export function isJoined(match: Match): boolean {
  return match.events.some((event) => event.build !== undefined);
}

/** The entry of a match. `values` only for value_count. */
export function entryOf(match: Match, values: readonly string[] | undefined): Entry {
  const [first, last] = [match.events[0], match.events.at(-1)];
  const events = [...new Set([first, last])].filter((event) => event !== undefined);
  // Detections have one event and no group; a correlation may have neither more events nor a group,
  // which is harmless.
  const isEpisode = match.eventCount > 1 || match.group.length > 0;
  return {
    id: match.id,
    rule: match.rule.id,
    at: match.occurredAt,
    receivedAt: match.receivedAt,
    events,
    ...(values === undefined ? {} : { values }),
    ...(match.eventCount === 1 ? {} : { weight: match.eventCount }),
    ...(isJoined(match) ? { joined: true } : {}),
    ...(isEpisode && first !== undefined
      ? { episode: { group: JSON.stringify(match.group), from: first.occurredAt } }
      : {}),
  };
}

/** The entry without its events: enough to be counted. */
export function slimOf(entry: Entry): Entry {
  const { events: _events, ...slim } = entry;
  return slim;
}
