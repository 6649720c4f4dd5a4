/** @module Which events wait under a key, and for runners in which time: who a change concerns. */

import type { EpochMs } from "../clock.ts";
import type { Event } from "../event/event.ts";
import type { Changes, RunnerSpan } from "./changes.ts";
import { isReadingKey } from "./runner-name.ts";
import { lowerBound } from "./timeline.ts";

interface Place {
  readonly id: string;
  readonly at: EpochMs;
}

interface Entry extends Place {
  readonly keys: readonly string[];
}

/** Keeps no bound of its own: the waiting events do. */
export class WaitingIndex {
  readonly #entries = new Map<string, Entry>();
  readonly #byKey = new Map<string, Set<string>>();
  /** In order of event time, then id. */
  readonly #byRunner = new Map<string, Place[]>();
  readonly #slackMs: number;

  constructor(slackMs: number) {
    this.#slackMs = slackMs;
  }

  /** `event.id` must not be in the index. */
  add(event: Event, keys: readonly string[]): void {
    const entry: Entry = { id: event.id, at: event.occurredAt, keys };
    this.#entries.set(entry.id, entry);
    for (const key of keys) {
      if (isReadingKey(key)) {
        const places = this.#byRunner.get(key) ?? [];
        places.splice(indexOf(places, entry), 0, entry);
        this.#byRunner.set(key, places);
      } else {
        const ids = this.#byKey.get(key) ?? new Set<string>();
        this.#byKey.set(key, ids.add(entry.id));
      }
    }
  }

  remove(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    for (const key of entry.keys) {
      const places = this.#byRunner.get(key);
      if (places === undefined) {
        const ids = this.#byKey.get(key);
        ids?.delete(id);
        if (ids?.size === 0) this.#byKey.delete(key);
      } else {
        places.splice(indexOf(places, entry), 1);
        if (places.length === 0) this.#byRunner.delete(key);
      }
    }
  }

  /** Ids of the events that may have another answer after these changes. */
  under({ keys, spans }: Changes): ReadonlySet<string> {
    const ids = new Set<string>();
    for (const key of keys) for (const id of this.#byKey.get(key) ?? []) ids.add(id);
    for (const span of spans) this.#inSpan(span, ids);
    return ids;
  }

  #inSpan({ key, from, to }: RunnerSpan, ids: Set<string>): void {
    const places = this.#byRunner.get(key);
    if (places === undefined) return;
    const first = lowerBound(places, ({ at }) => at < from - this.#slackMs);
    for (let index = first; index < places.length; index += 1) {
      const place = places[index];
      if (place === undefined || place.at >= to + this.#slackMs) break;
      ids.add(place.id);
    }
  }
}

function indexOf(places: readonly Place[], { at, id }: Place): number {
  return lowerBound(places, (place) => place.at < at || (place.at === at && place.id < id));
}
