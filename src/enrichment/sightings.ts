/**
 * @module What one task has told of pods' addresses, so that a pod that reports a thousand events a
 * minute gives one fact.
 */

import { type EpochMs, hourMs, minuteMs } from "../clock.ts";
import type { Event } from "../event/event.ts";
import type { State, StateTable } from "../state/state.ts";
import type { LeaseFact } from "./build-fact.ts";
import { addressKey } from "./inventory.ts";

/** When a pod was first seen with an address, and when the event that told it last came in. */
interface Sighting {
  readonly first: EpochMs;
  readonly toldAt: EpochMs;
}

/** An earlier sighting by less than this is not worth a fact. */
const earlierMs = minuteMs;
/** How often one is told again: the pod may have come back, the table may have forgotten it. */
const againMs = hourMs;
/** The longest name of a pod, and text of an address with its zone. */
const podLengthMax = 253;
const addressLengthMax = 64;

/**
 * Lives in the task's State, not in the table: when a batch fails, what it told never reached the
 * topic and must be told again, though this process's table knows it.
 */
export class Sightings {
  readonly #table: StateTable<Sighting>;
  readonly #max: number;
  /** Keys, the one told longest ago first. */
  readonly #order: Set<string>;
  evicted = 0;

  constructor(state: State, max: number) {
    this.#table = state.table("sightings");
    this.#max = max;
    const sorted = [...this.#table.entries()].sort(([, a], [, b]) => a.toldAt - b.toldAt);
    this.#order = new Set(sorted.map(([key]) => key));
  }

  get size(): number {
    return this.#table.size;
  }

  /** What the event says of a pod's address, if that was not told already. */
  newsOf({ join, occurredAt, receivedAt }: Event): LeaseFact | undefined {
    const { address, pod } = join;
    if (address === undefined || pod === undefined) return undefined;
    if (address.length > addressLengthMax || pod.length > podLengthMax) return undefined;
    const lease = { address: addressKey(address), pod: pod.toLowerCase() };
    const old = this.#table.get(keyOf(lease));
    // By the time of receipt: a machine whose clock is wrong must not tell with every event.
    const known = old !== undefined && receivedAt - old.toldAt < againMs;
    if (known && occurredAt > old.first - earlierMs) return undefined;
    return { run: `lease:${lease.address}`, occurredAt, lease };
  }

  /** The event's news counts as told from now on. */
  note(event: Event): void {
    const news = this.newsOf(event);
    if (news === undefined) return;
    const key = keyOf(news.lease);
    const old = this.#table.get(key);
    const first = Math.min(old?.first ?? news.occurredAt, news.occurredAt);
    const toldAt = Math.max(old?.toldAt ?? event.receivedAt, event.receivedAt);
    this.#table.put(key, { first, toldAt });
    this.#order.delete(key);
    this.#order.add(key);
    this.#forget(event.receivedAt);
  }

  /** Those that would be told again anyway, and the oldest beyond the bound. */
  #forget(now: EpochMs): void {
    for (const key of this.#order) {
      const over = this.#table.size > this.#max;
      const toldAt = this.#table.get(key)?.toldAt ?? 0;
      if (!over && now - toldAt < againMs) return;
      this.#order.delete(key);
      this.#table.delete(key);
      if (now - toldAt < againMs) this.evicted += 1;
    }
  }
}

/** No address holds a space. */
function keyOf({ address, pod }: LeaseFact["lease"]): string {
  return `${address} ${pod}`;
}
