/** @module The jobs of every runner by the runner's name, whole or as the hooks cut it, in time. */

import type { EpochMs } from "../clock.ts";
import type { Changes } from "./changes.ts";
import type { Around } from "./pick.ts";
import { cutKeys, type PodReading, readingKey } from "./runner-name.ts";
import { type Span, Timeline } from "./timeline.ts";
import { byStart, type JobView, ownerOf, samePlace, type Window } from "./window.ts";

/** All jobs found under one reading. */
interface Track {
  readonly timeline: Timeline;
  /** How many jobs of each repository, lower case; those that never ran too. */
  readonly repositories: Map<string, number>;
  /** Timelines of one repository or owner, made when an event first asks. */
  readonly narrowed: Map<string, Timeline>;
}

/** What an event says of its repository, lower case. */
export interface Hint {
  readonly repository: string | undefined;
  readonly owner: string | undefined;
}

const always: Span = { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY };

/** Keeps no bound of its own: the run book evicts. */
export class RunnerIndex {
  readonly #tracks = new Map<string, Track>();

  /**
   * Puts `view` where `old` stood; either may be absent. Which events may now get another answer
   * goes to `changes`.
   */
  replace(old: JobView | undefined, view: JobView | undefined, changes: Changes): void {
    if (old !== undefined && view !== undefined && samePlace(old, view)) {
      for (const [, timeline] of this.#timelinesOf(view)) timeline.swap(view);
      return;
    }
    // Counted before the old one is taken out: a job that goes on is not a repository's last.
    if (view !== undefined) this.#count(view, changes);
    if (old !== undefined) {
      for (const [key, timeline] of this.#timelinesOf(old)) {
        changes.noteSpan(key, timeline.remove(old));
      }
    }
    if (view !== undefined) {
      for (const [key, timeline] of this.#timelinesOf(view)) {
        changes.noteSpan(key, timeline.add(view));
      }
    }
    if (old !== undefined) this.#uncount(old, changes);
  }

  tracksOf(readings: readonly PodReading[]): readonly Track[] {
    return readings.flatMap((reading) => this.#tracks.get(readingKey(reading)) ?? []);
  }

  /** From the first job of a repository on, an event that asks for it has another answer. */
  #count(view: JobView, changes: Changes): void {
    const repository = view.build.repository.toLowerCase();
    for (const key of keysOf(view)) {
      const track: Track = this.#tracks.get(key) ?? {
        timeline: new Timeline(),
        repositories: new Map(),
        narrowed: new Map(),
      };
      this.#tracks.set(key, track);
      const before = track.repositories.get(repository) ?? 0;
      track.repositories.set(repository, before + 1);
      if (before === 0) changes.noteSpan(key, { ...always, from: view.startedAt ?? always.from });
    }
  }

  #uncount(view: JobView, changes: Changes): void {
    const repository = view.build.repository.toLowerCase();
    for (const key of keysOf(view)) {
      const track = this.#tracks.get(key);
      if (track === undefined) continue;
      const left = (track.repositories.get(repository) ?? 0) - 1;
      if (left > 0) {
        track.repositories.set(repository, left);
        continue;
      }
      track.repositories.delete(repository);
      for (const name of narrowKeys(view)) track.narrowed.delete(name);
      changes.noteSpan(key, always);
      if (track.repositories.size === 0) this.#tracks.delete(key);
    }
  }

  /** The timelines a job stands in, or should. */
  *#timelinesOf(view: JobView): Iterable<readonly [string, Timeline]> {
    for (const key of keysOf(view)) {
      const track = this.#tracks.get(key);
      if (track === undefined) continue;
      yield [key, track.timeline];
      for (const timeline of narrowedFor(track, view)) yield [key, timeline];
    }
  }
}

/** The windows around a moment, of all tracks as one. */
export function aroundIn(timelines: readonly Timeline[], time: EpochMs, slackMs: number): Around {
  return {
    near: () => merged(timelines.map((timeline) => timeline.near(time, slackMs))),
    ended: () => merged(timelines.map((timeline) => timeline.ended(time))),
  };
}

/**
 * The timelines of the hinted repository, else of its owner; undefined when that leaves out
 * nothing: a hint narrows, it never excludes.
 */
export function narrowedTo(tracks: readonly Track[], hint: Hint): readonly Timeline[] | undefined {
  const { repository, owner } = hint;
  const ofRepository = (name: string): boolean => name === repository;
  if (tracks.some(({ repositories }) => repositories.has(repository ?? ""))) {
    return tracks.every(({ repositories }) => [...repositories.keys()].every(ofRepository))
      ? undefined
      : narrowedBy(tracks, `repository:${repository}`, ofRepository);
  }
  const ofOwner = (name: string): boolean => ownerOf({ repository: name }) === owner;
  const owned = tracks.flatMap(({ repositories }) => [...repositories.keys()].map(ofOwner));
  if (!owned.includes(true) || !owned.includes(false)) return undefined;
  return narrowedBy(tracks, `owner:${owner}`, ofOwner);
}

type Fits = (repository: string) => boolean;

function narrowedBy(tracks: readonly Track[], key: string, fits: Fits): readonly Timeline[] {
  return tracks
    .filter(({ repositories }) => [...repositories.keys()].some(fits))
    .map((track) => narrowed(track, key, fits));
}

function narrowed(track: Track, key: string, fits: Fits): Timeline {
  const known = track.narrowed.get(key);
  if (known !== undefined) return known;
  const timeline = new Timeline();
  for (const view of track.timeline.views()) {
    if (fits(view.build.repository.toLowerCase())) timeline.add(view);
  }
  track.narrowed.set(key, timeline);
  return timeline;
}

function narrowedFor({ narrowed: known }: Track, view: JobView): readonly Timeline[] {
  return known.size === 0 ? [] : narrowKeys(view).flatMap((key) => known.get(key) ?? []);
}

function narrowKeys({ build }: JobView): readonly string[] {
  return [`repository:${build.repository.toLowerCase()}`, `owner:${ownerOf(build)}`];
}

function keysOf(view: JobView): readonly string[] {
  const name = view.build.runner?.name;
  if (name === undefined) return [];
  return [{ key: name.toLowerCase(), cut: false }, ...cutKeys(name)].map(readingKey);
}

/** Two readings may find one job: it is one answer. */
function merged(lists: readonly (readonly Window[])[]): readonly Window[] {
  const [first, ...more] = lists;
  if (first === undefined || more.length === 0) return first ?? [];
  const byKey = new Map(lists.flat().map((window) => [window.view.key, window]));
  return [...byKey.values()].sort(byStart);
}
