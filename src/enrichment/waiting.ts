/**
 * @module Events that wait for a fact: parked before detection, released without a build, or joined
 * a moment ago.
 */

import type { EpochMs } from "../clock.ts";
import type { BuildContext, BuildJoin } from "../event/build.ts";
import type { Event } from "../event/event.ts";
import type { State, StateTable } from "../state/state.ts";
import { buildKey, type Changes } from "./changes.ts";
import { WaitingIndex } from "./waiting-index.ts";

/** What was last said about an event that has gone on. */
export interface Said {
  readonly build?: BuildContext;
  readonly join: BuildJoin;
}

/** The event as it came, without a build. `said` is absent while it is parked. */
export interface Waiter {
  readonly event: Event;
  /** Parked: when it goes on. Released or recent: when it is forgotten. */
  readonly until: EpochMs;
  readonly said?: Said;
}

export interface WaitingLimits {
  readonly parkedMax: number;
  readonly releasedMax: number;
  readonly recentMax: number;
}

export interface WaitingSettings {
  readonly state: State;
  readonly limits: WaitingLimits;
  /** How far outside a job its activity may lie. */
  readonly slackMs: number;
  /** The keys an event waits under, for those kept in `state`. */
  readonly keysOf: (event: Event) => readonly string[];
}

/**
 * Parked and released events live in State. Recent ones, already joined, are in memory only: a
 * restart forgets them, and then a detail that comes late (the secrets passed) is not added to
 * them.
 */
export class Waiting {
  readonly #parked: StateTable<Waiter>;
  readonly #released: StateTable<Waiter>;
  readonly #recent = new Map<string, Waiter>();
  readonly #limits: WaitingLimits;
  readonly #index: WaitingIndex;
  /** Ids in the order they were released: the first is forgotten first. */
  readonly #releasedOrder = new Set<string>();
  #nextDue: EpochMs | undefined;
  #stale = true;
  #releasedEvicted = 0;
  #recentEvicted = 0;

  constructor({ state, limits, slackMs, keysOf }: WaitingSettings) {
    this.#limits = limits;
    this.#index = new WaitingIndex(slackMs);
    this.#parked = state.table("parked");
    this.#released = state.table("released");
    const released = [...this.#released.entries()].sort(([a, left], [b, right]) => {
      return left.until - right.until || (a < b ? -1 : 1);
    });
    for (const [id, waiter] of released) {
      this.#releasedOrder.add(id);
      const build = waiter.said?.build;
      const ofBuild = build === undefined ? [] : [buildKey(build)];
      this.#index.add(waiter.event, [...keysOf(waiter.event), ...ofBuild]);
    }
    for (const [, { event }] of this.#parked.entries()) this.#index.add(event, keysOf(event));
  }

  get counts(): {
    readonly parked: number;
    readonly released: number;
    readonly recent: number;
    readonly releasedEvicted: number;
    readonly recentEvicted: number;
  } {
    return {
      parked: this.#parked.size,
      released: this.#released.size,
      recent: this.#recent.size,
      releasedEvicted: this.#releasedEvicted,
      recentEvicted: this.#recentEvicted,
    };
  }

  parkedUntil(id: string): EpochMs | undefined {
    return this.#parked.get(id)?.until;
  }

  /** False when no more events may be parked. */
  park(waiter: Waiter, keys: readonly string[]): boolean {
    if (this.#parked.size >= this.#limits.parkedMax) return false;
    const { id } = waiter.event;
    this.forget(id);
    this.#parked.put(id, waiter);
    this.#index.add(waiter.event, keys);
    if (!this.#stale && (this.#nextDue === undefined || waiter.until < this.#nextDue)) {
      this.#nextDue = waiter.until;
    }
    return true;
  }

  /** Remembers an event that went on without a build, or with an unsure one. */
  release(waiter: Waiter, keys: readonly string[]): void {
    const { id } = waiter.event;
    this.forget(id);
    this.#released.put(id, waiter);
    this.#releasedOrder.add(id);
    this.#index.add(waiter.event, keys);
    for (const oldest of this.#releasedOrder) {
      if (this.#released.size <= this.#limits.releasedMax) break;
      this.forget(oldest);
      this.#releasedEvicted += 1;
    }
  }

  /** Remembers for a moment an event that was joined, for details that come late. */
  remember(waiter: Waiter, keys: readonly string[]): void {
    const { id } = waiter.event;
    this.forget(id);
    this.#recent.set(id, waiter);
    this.#index.add(waiter.event, keys);
    for (const oldest of this.#recent.keys()) {
      if (this.#recent.size <= this.#limits.recentMax) break;
      this.forget(oldest);
      this.#recentEvicted += 1;
    }
  }

  forget(id: string): void {
    this.#index.remove(id);
    if (this.#parked.get(id) !== undefined) {
      this.#parked.delete(id);
      this.#stale = true;
    }
    if (this.#releasedOrder.delete(id)) this.#released.delete(id);
    this.#recent.delete(id);
  }

  /** Events that may have another answer after these changes, in order of event time. */
  under(changes: Changes): readonly Waiter[] {
    return [...this.#index.under(changes)]
      .flatMap((id) => this.#parked.get(id) ?? this.#released.get(id) ?? this.#recent.get(id) ?? [])
      .sort((a, b) => byTime(a.event, b.event));
  }

  /** Parked events whose wait is over, in order of event time. */
  due(now: EpochMs): readonly Waiter[] {
    const next = this.nextDue();
    if (next === undefined || next > now) return [];
    return [...this.#parked.entries()]
      .map(([, waiter]) => waiter)
      .filter((waiter) => waiter.until <= now)
      .sort((a, b) => byTime(a.event, b.event));
  }

  nextDue(): EpochMs | undefined {
    if (this.#stale) {
      this.#nextDue = undefined;
      for (const [, waiter] of this.#parked.entries()) {
        if (this.#nextDue === undefined || waiter.until < this.#nextDue) {
          this.#nextDue = waiter.until;
        }
      }
      this.#stale = false;
    }
    return this.#nextDue;
  }

  /** Forgets released and recent events whose time is over. */
  expire(now: EpochMs): void {
    for (const [id, waiter] of this.#recent) {
      if (waiter.until > now) break;
      this.forget(id);
    }
    for (const id of this.#releasedOrder) {
      const waiter = this.#released.get(id);
      if (waiter !== undefined && waiter.until > now) break;
      this.forget(id);
    }
  }
}

function byTime(a: Event, b: Event): number {
  return a.occurredAt - b.occurredAt || (a.id < b.id ? -1 : 1);
}
