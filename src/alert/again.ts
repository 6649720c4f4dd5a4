/**
 * @module A match that comes again: what is news in it, and which runs turned out to be wrong.
 * Pure.
 */

import type { Match } from "../detection/detection.ts";
import type { Event } from "../event/event.ts";
import { isSameSaid, mergeSaid, type Said, saidOf } from "./known.ts";
import type { SeenMatch } from "./memory.ts";

const saidMax = 40;

/** What a match says, with what it said before. */
export interface Reading {
  /** The match without builds that were found to be wrong before it came. */
  readonly match: Match;
  readonly said: readonly Said[];
  /** Runs of `said`, the latest event's first: that one is the match's own. */
  readonly runs: readonly string[];
  /** Runs it had and has no more: an event of each turned out to be of another run. */
  readonly gone: readonly string[];
  /** Whether anything is known that was not. */
  readonly isNews: boolean;
  /** Whether the reason comes from a copy that says at least as much as any before. */
  readonly tellsBest: boolean;
}

/** Each run once, the latest event's first. */
export function runsOf(said: readonly Said[]): readonly string[] {
  return [...new Set(said.toReversed().map(({ run }) => run))];
}

/** The match as it comes for the first time, or again. */
export function readMatch(match: Match, seen: SeenMatch | undefined): Reading {
  const before = new Map(seen?.said.map((said) => [said.event, said]));
  const after = new Map(before);
  const corrected = new Set<string>();
  let isNews = seen === undefined || match.eventCount > seen.events;
  let tellsBest = true;
  for (const event of match.events) {
    const given = saidOf(event);
    const known = before.get(event.id);
    if (given === undefined) {
      if (known !== undefined) tellsBest = false;
      continue;
    }
    const merged = known === undefined ? given : mergeSaid(known, given);
    after.set(event.id, merged);
    if (known === undefined || !isSameSaid(known, merged)) isNews = true;
    if (known !== undefined && known.run !== merged.run) corrected.add(known.run);
    if (merged.run !== given.run || merged.told !== given.told) tellsBest = false;
    if (merged.sureness !== given.sureness) tellsBest = false;
  }
  const said = inOrder(match, after);
  const runs = runsOf(said);
  return {
    match: { ...match, events: match.events.map((event) => withoutWrong(event, after)) },
    said,
    runs,
    gone: [...corrected].filter((run) => !runs.includes(run)),
    isNews,
    tellsBest,
  };
}

/** Events of the match in its order, those it no longer shows before them. */
function inOrder(match: Match, said: ReadonlyMap<string, Said>): readonly Said[] {
  const shown = new Set(match.events.map(({ id }) => id));
  const earlier = [...said.values()].filter(({ event }) => !shown.has(event));
  const own = match.events.flatMap(({ id }) => said.get(id) ?? []);
  return [...earlier, ...own].slice(-saidMax);
}

/** The event without its build when a better answer is known. */
function withoutWrong(event: Event, said: ReadonlyMap<string, Said>): Event {
  const given = saidOf(event);
  if (given === undefined || said.get(event.id)?.run === given.run) return event;
  const { build, buildJoin, ...bare } = event;
  return bare;
}
