/** @module Events kept in the order they first went on, up to a bound: the oldest go first. */

import type { EpochMs } from "../clock.ts";
import type { BuildContext, BuildJoin } from "../event/build.ts";
import type { Event } from "../event/event.ts";
import type { StateTable } from "../state/state.ts";

/** What was last said about an event that has gone on. */
export interface Said {
  readonly build?: BuildContext;
  readonly join: BuildJoin;
}

/** The event as it came, without a build. `said` is absent while it is parked. */
export interface Waiter {
  readonly event: Event;
  /** Parked: when it goes on. Else: when it is forgotten. */
  readonly until: EpochMs;
  /** The keys a fact may find it by; kept, so that a restart finds it by the same ones. */
  readonly keys: readonly string[];
  readonly said?: Said;
}

/** `order` counts up: times can be equal, and a restart must forget the same ones first. */
export interface Kept extends Waiter {
  readonly order: number;
}

const none: readonly string[] = [];

export class Remembered {
  readonly #table: StateTable<Kept>;
  readonly #max: number;
  /** Ids, the first to be forgotten first. */
  readonly #order = new Set<string>();
  /**
   * Goes on where it stood: a Set that loses its oldest ones steps over all of them each time it is
   * walked from its start.
   */
  #walk = this.#order.values();
  #oldest: string | undefined;
  #next = 0;
  evicted = 0;

  constructor(table: StateTable<Kept>, max: number) {
    this.#table = table;
    this.#max = max;
    const sorted = [...table.entries()].sort(([, a], [, b]) => a.order - b.order);
    for (const [id, { order }] of sorted) {
      this.#order.add(id);
      this.#next = order + 1;
    }
  }

  get size(): number {
    return this.#table.size;
  }

  get(id: string): Kept | undefined {
    return this.#table.get(id);
  }

  all(): Iterable<Kept> {
    return [...this.#table.entries()].map(([, kept]) => kept);
  }

  /** Ids of those forgotten for it; one that is kept already stays at its place. */
  put(waiter: Waiter): readonly string[] {
    const { id } = waiter.event;
    const order = this.#table.get(id)?.order ?? this.#next++;
    this.#table.put(id, { ...waiter, order });
    this.#order.add(id);
    if (this.#table.size <= this.#max) return none;
    const forgotten: string[] = [];
    for (let id = this.#first(); id !== undefined; id = this.#first()) {
      if (this.#table.size <= this.#max) break;
      this.delete(id);
      forgotten.push(id);
    }
    this.evicted += forgotten.length;
    return forgotten;
  }

  delete(id: string): void {
    if (id === this.#oldest) this.#oldest = undefined;
    if (this.#order.delete(id)) this.#table.delete(id);
  }

  /** Ids of those whose time was over, now forgotten: at most so many at once. */
  expire(now: EpochMs, most: number): readonly string[] {
    let forgotten: string[] | undefined;
    for (let id = this.#first(); id !== undefined; id = this.#first()) {
      if (forgotten !== undefined && forgotten.length >= most) break;
      const kept = this.#table.get(id);
      if (kept !== undefined && kept.until > now) break;
      this.delete(id);
      forgotten ??= [];
      forgotten.push(id);
    }
    return forgotten ?? none;
  }

  /** The id that is forgotten first. */
  #first(): string | undefined {
    if (this.#oldest !== undefined) return this.#oldest;
    let step = this.#walk.next();
    if (step.done === true) {
      // A walk that has ended does not see what is added later.
      this.#walk = this.#order.values();
      step = this.#walk.next();
    }
    this.#oldest = step.done === true ? undefined : step.value;
    return this.#oldest;
  }
}

/** A table that a restart empties. */
export function memoryTable<V>(): StateTable<V> {
  const values = new Map<string, V>();
  return {
    get: (key) => values.get(key),
    put: (key, value) => {
      values.set(key, value);
    },
    delete: (key) => {
      values.delete(key);
    },
    entries: () => values.entries(),
    get size() {
      return values.size;
    },
  };
}
