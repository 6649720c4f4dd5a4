/** @module How late a feed may tell of what is still to wake someone. */

import type { EpochMs } from "../clock.ts";
import type { Match } from "../detection/detection.ts";
import type { Event, Feed } from "../event/event.ts";
import type { PageWithheld } from "./model.ts";
import { durationText } from "./reason.ts";

/** How late each feed may tell of an event that is still to wake someone, in ms. */
export type PageAgeMaxOf = (feed: Feed) => number;

export interface Asked {
  readonly pageAgeMaxOf: PageAgeMaxOf;
  readonly now: EpochMs;
  readonly cause: { readonly alertId: string; readonly match: Match } | undefined;
}

/**
 * Why the cause wakes nobody; undefined when it may. What counts is how long after it occurred its
 * feed told of it. How long it then lay with us never counts: a page that was owed is still owed.
 */
export function withholding({ cause, now, pageAgeMaxOf }: Asked): PageWithheld | undefined {
  if (cause === undefined) return undefined;
  const { alertId, match } = cause;
  const told = toldLast(match);
  if (told === undefined) return undefined;
  // A correlation's match is known once the last of its events is, whichever that is.
  const toldAfterMs = told.receivedAt - match.occurredAt;
  const limitMs = pageAgeMaxOf(told.feed);
  if (toldAfterMs <= limitMs) return undefined;
  const { feed } = told;
  const [late, limit] = [durationText(toldAfterMs), durationText(limitMs)];
  const reason = `${feed} told of it ${late} after it occurred; beyond ${limit} nobody is paged`;
  return { at: now, alertId, feed, toldAfterMs, limitMs, reason };
}

/** The event that was received last. */
function toldLast({ events }: Match): Event | undefined {
  return events.reduce<Event | undefined>(
    (last, event) => (last === undefined || event.receivedAt >= last.receivedAt ? event : last),
    undefined,
  );
}
