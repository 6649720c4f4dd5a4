/**
 * @module Events that wait for a fact: parked before detection, released without a build, joined
 * with an answer that could become better, joined a moment ago, or of an unknown machine.
 */

import type { EpochMs } from "../clock.ts";
import type { Event } from "../event/event.ts";
import type { State, StateTable } from "../state/state.ts";
import type { Changes } from "./changes.ts";
import { memoryTable, Remembered, type Waiter } from "./remembered.ts";
import { WaitingIndex } from "./waiting-index.ts";

/**
 * Where an event that has gone on is remembered: `released` has no build or one that is not
 * settled, `incomplete` a settled one that could become surer or fuller, `recent` a whole one.
 * `strangers` show nothing but a host or an address that is not known to be a runner's.
 */
export type Memory = "released" | "incomplete" | "recent" | "strangers";

export interface WaitingSettings {
  readonly state: State;
  /** The most events parked, and as many of each memory. */
  readonly max: number;
  /** How far outside a job its activity may lie. */
  readonly slackMs: number;
}

/**
 * A commit saves a bounded number of changes, so what one step may bring about is bounded too: the
 * rest is done by the next ones.
 */
export const stepMax = 500;
/** What an event counts of `stepMax`: a long one more, since a commit is bounded in bytes too. */
export function stepCost({ raw }: Event): number {
  return Math.max(1, raw.length / 8_192);
}
/** More than one for each event: so what is over goes faster than more can come. */
const expiredPerEvent = 4;

/** `…Evicted`: forgotten because a bound was reached. */
export interface WaitingCounts {
  readonly parked: number;
  /** Remembered after they went on without a sure build. */
  readonly released: number;
  readonly releasedEvicted: number;
  /** Remembered after they were joined to a build of which more could be told. */
  readonly incomplete: number;
  readonly incompleteEvicted: number;
  /** Remembered for a moment after they were joined, for a better job. */
  readonly recent: number;
  readonly recentEvicted: number;
  /** Remembered for a moment after they went on, for news of whose machine it was. */
  readonly strangers: number;
  readonly strangersEvicted: number;
}

/**
 * Parked, released and incomplete events live in State. Recent ones and strangers are in memory
 * only: they cost State nothing, and a restart forgets them. What that can lose is a better job:
 * the runner's next, begun before the event, whose webhook comes after the restart; and the job of
 * a machine that is told of after the restart only.
 */
export class Waiting {
  readonly #parked: StateTable<Waiter>;
  readonly #memories: Readonly<Record<Memory, Remembered>>;
  readonly #everyMemory: readonly Remembered[];
  readonly #max: number;
  readonly #index: WaitingIndex;
  #nextDue: EpochMs | undefined;
  #stale = true;

  constructor({ state, max, slackMs }: WaitingSettings) {
    this.#max = max;
    this.#index = new WaitingIndex(slackMs);
    this.#parked = state.table("parked");
    const released = new Remembered(state.table("released"), max);
    const incomplete = new Remembered(state.table("incomplete"), max);
    const recent = new Remembered(memoryTable(), max);
    const strangers = new Remembered(memoryTable(), max);
    this.#memories = { released, incomplete, recent, strangers };
    this.#everyMemory = Object.values(this.#memories);
    const parked = [...this.#parked.entries()].map(([, waiter]) => waiter);
    for (const { event, keys } of [...released.all(), ...incomplete.all(), ...parked]) {
      this.#index.add(event, keys);
    }
  }

  get counts(): WaitingCounts {
    const { released, incomplete, recent, strangers } = this.#memories;
    return {
      parked: this.#parked.size,
      released: released.size,
      releasedEvicted: released.evicted,
      incomplete: incomplete.size,
      incompleteEvicted: incomplete.evicted,
      recent: recent.size,
      recentEvicted: recent.evicted,
      strangers: strangers.size,
      strangersEvicted: strangers.evicted,
    };
  }

  parkedUntil(id: string): EpochMs | undefined {
    return this.#parked.get(id)?.until;
  }

  /** False when no more events may be parked. */
  park(waiter: Waiter): boolean {
    if (this.#parked.size >= this.#max) return false;
    const { id } = waiter.event;
    this.forget(id);
    this.#parked.put(id, waiter);
    this.#index.add(waiter.event, waiter.keys);
    if (!this.#stale && (this.#nextDue === undefined || waiter.until < this.#nextDue)) {
      this.#nextDue = waiter.until;
    }
    return true;
  }

  /** Remembers an event that went on; its time in State begins the first time only. */
  remember(memory: Memory, waiter: Waiter): void {
    const { id } = waiter.event;
    const { released, incomplete } = this.#memories;
    const into = this.#memories[memory];
    const durable = into === released || into === incomplete;
    const since = durable ? (released.get(id) ?? incomplete.get(id)) : undefined;
    this.forget(id, into);
    this.#index.add(waiter.event, waiter.keys);
    const kept = since === undefined ? waiter : { ...waiter, until: since.until };
    for (const oldest of into.put(kept)) {
      this.#index.remove(oldest);
    }
  }

  /** Forgets the event everywhere, but leaves its place in `kept`. */
  forget(id: string, kept?: Remembered): void {
    this.#index.remove(id);
    if (this.#parked.get(id) !== undefined) {
      this.#parked.delete(id);
      this.#stale = true;
    }
    for (const memory of this.#everyMemory) if (memory !== kept) memory.delete(id);
  }

  /**
   * An event that stays as it is, and is from now on found by these keys; false when it was
   * already.
   */
  rekey(waiter: Waiter, keys: readonly string[]): boolean {
    const { event } = waiter;
    if (keys.length === waiter.keys.length && keys.every((key) => waiter.keys.includes(key))) {
      return false;
    }
    this.#index.remove(event.id);
    this.#index.add(event, keys);
    const rekeyed = { ...waiter, keys };
    if (this.#parked.get(event.id) !== undefined) this.#parked.put(event.id, rekeyed);
    else this.#memoryOf(event.id)?.put(rekeyed);
    return true;
  }

  /** Events that may have another answer after these changes, in order of event time. */
  under(changes: Changes): readonly Waiter[] {
    const ids = this.#index.under(changes);
    if (ids.size === 0) return [];
    return [...ids]
      .flatMap((id): Waiter | readonly [] => this.get(id) ?? [])
      .sort((a, b) => byTime(a.event, b.event));
  }

  get(id: string): Waiter | undefined {
    return this.#parked.get(id) ?? this.#memoryOf(id)?.get(id);
  }

  /** Every event that waits, in order of event time. */
  all(): readonly Waiter[] {
    const parked = [...this.#parked.entries()].map(([, waiter]) => waiter);
    const remembered = this.#everyMemory.flatMap((memory): Waiter[] => [...memory.all()]);
    return [...parked, ...remembered].sort((a, b) => byTime(a.event, b.event));
  }

  /** Parked events whose wait is over, in order of event time: the first, when they are many. */
  due(now: EpochMs): readonly Waiter[] {
    const next = this.nextDue();
    if (next === undefined || next > now) return [];
    let cost = 0;
    return [...this.#parked.entries()]
      .map(([, waiter]) => waiter)
      .filter((waiter) => waiter.until <= now)
      .sort((a, b) => byTime(a.event, b.event))
      .slice(0, stepMax)
      .filter(({ event }) => {
        // The first that is too much still goes, or nothing ever would.
        const fits = cost < stepMax;
        cost += stepCost(event);
        return fits;
      });
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

  /**
   * Forgets events that have gone on and whose time is over: of those in State only some for each
   * event that comes, and more when time alone passes. Until then they only take up room.
   */
  expire(now: EpochMs, by: "event" | "time"): void {
    const { recent, strangers } = this.#memories;
    for (const memory of this.#everyMemory) {
      const costsNothing = memory === recent || memory === strangers;
      const most = by === "event" ? expiredPerEvent : stepMax;
      for (const id of memory.expire(now, costsNothing ? Infinity : most)) this.#index.remove(id);
    }
  }

  #memoryOf(id: string): Remembered | undefined {
    return this.#everyMemory.find((memory) => memory.get(id) !== undefined);
  }
}

function byTime(a: Event, b: Event): number {
  return a.occurredAt - b.occurredAt || (a.id < b.id ? -1 : 1);
}
