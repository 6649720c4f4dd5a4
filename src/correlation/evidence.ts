/** @module Which entries of a group keep their events, and which of those are shown as evidence. */

import type { EpochMs } from "../clock.ts";
import type { Event } from "../event/event.ts";
import { type Entry, isBefore } from "./entry.ts";

/** The most entries of one group that keep their events. */
export const fullEntriesMax = 20;
/** The most events a match shows. */
export const evidenceMax = 20;

/** The entries of one group that still have their events, ascending. */
export class FullEntries {
  #list: Entry[] = [];

  add(entry: Entry): void {
    if (entry.events === undefined) return;
    const index = this.#list.findLastIndex((other) => isBefore(other, entry)) + 1;
    this.#list.splice(index, 0, entry);
  }

  replace(entry: Entry): void {
    this.#list = this.#list.map((other) => (other.id === entry.id ? entry : other));
  }

  remove(entries: readonly Entry[]): void {
    const ids = new Set(entries.map(({ id }) => id));
    if (this.#list.some(({ id }) => ids.has(id))) {
      this.#list = this.#list.filter(({ id }) => !ids.has(id));
    }
  }

  /**
   * The entry to take the events from when there are too many, already removed here. First what
   * lies before `floor`, where no running window reaches; then the middle one of the rule that has
   * most, so that its first and last stay.
   */
  demote(floor: EpochMs): Entry | undefined {
    if (this.#list.length <= fullEntriesMax) return undefined;
    const old = this.#list[0];
    const spare = old !== undefined && old.at < floor ? old : this.#middle();
    this.#list = this.#list.filter((entry) => entry !== spare);
    return spare;
  }

  /**
   * The first and the last of each rule among those that `covers` admits, ascending, at most 20
   * events.
   */
  evidence(before: readonly Entry[], covers: (entry: Entry) => boolean): readonly Event[] {
    const firsts = new Map<string, Entry>();
    const lasts = new Map<string, Entry>();
    for (const entry of [...before, ...this.#list.filter(covers)]) {
      if (entry.events === undefined) continue;
      if (!firsts.has(entry.rule)) firsts.set(entry.rule, entry);
      lasts.set(entry.rule, entry);
    }
    const events = new Map<string, Event>();
    // Firsts go in before lasts: past the limit, how it began says more. The newest of all always
    // stays.
    const newest = [...lasts.values()].reduce<Entry | undefined>(
      (latest, entry) => (latest === undefined || isBefore(latest, entry) ? entry : latest),
      undefined,
    );
    const chosen = [
      ...(newest === undefined ? [] : [newest]),
      ...firsts.values(),
      ...lasts.values(),
    ];
    for (const event of chosen.flatMap((entry) => entry.events ?? [])) {
      if (events.size < evidenceMax) events.set(event.id, event);
    }
    return [...events.values()].sort(
      (left, right) => left.occurredAt - right.occurredAt || (left.id < right.id ? -1 : 1),
    );
  }

  #middle(): Entry | undefined {
    const counts = new Map<string, number>();
    for (const { rule } of this.#list) counts.set(rule, (counts.get(rule) ?? 0) + 1);
    let [most, count] = ["", 0];
    for (const [rule, known] of counts) if (known > count) [most, count] = [rule, known];
    let before = Math.floor(count / 2);
    return this.#list.find(({ rule }) => rule === most && before-- === 0);
  }
}
