/**
 * @module Which pod had an address when, learned from events that carry both; pod addresses are
 * reused in seconds.
 */

import type { EpochMs } from "../clock.ts";
import type { Event } from "../event/event.ts";
import type { State, StateTable } from "../state/state.ts";
import { addressKey } from "./inventory.ts";

/** A pod was seen with an address from `from` to `to`. */
export interface Lease {
  readonly pod: string;
  readonly from: EpochMs;
  readonly to: EpochMs;
}

export interface Leases {
  /** Takes in what the event says of a pod's address, if anything. */
  learn(event: Event): void;
  /**
   * Pods that may have had the address at `time`, the likeliest first; [] when no pod ever had it.
   */
  podsAt(address: string, time: EpochMs): readonly string[];
  readonly evicted: number;
}

const podsPerAddress = 8;

/** Keeps the newest 8 pods of each address and at most `addressesMax` addresses. */
export function createLeases(state: State, addressesMax: number): Leases {
  const table: StateTable<readonly Lease[]> = state.table("leases");
  let evicted = 0;

  return {
    learn(event) {
      const { address, pod } = event.join;
      if (address === undefined || pod === undefined) return;
      const key = addressKey(address);
      const old = table.get(key) ?? [];
      const merged = mergeLease(old, pod.toLowerCase(), event.occurredAt);
      if (merged === old) return;
      table.put(key, merged);
      if (table.size > addressesMax) evicted += evictOldest(table, addressesMax);
    },
    podsAt(address, time) {
      const leases = table.get(addressKey(address)) ?? [];
      const before = leases.filter((lease) => lease.from <= time);
      const after = leases.filter((lease) => lease.from > time);
      // The pod seen last before the time still had it, unless the next one did already.
      return [...before.slice(-1), ...after.slice(0, 1)].map((lease) => lease.pod);
    },
    get evicted() {
      return evicted;
    },
  };
}

/** The least and the greatest time each pod was seen; `leases` itself when nothing changes. */
function mergeLease(leases: readonly Lease[], pod: string, at: EpochMs): readonly Lease[] {
  const old = leases.find((lease) => lease.pod === pod);
  if (old !== undefined && old.from <= at && at <= old.to) return leases;
  const lease = { pod, from: Math.min(old?.from ?? at, at), to: Math.max(old?.to ?? at, at) };
  const others = leases.filter((other) => other !== old);
  return [...others, lease]
    .sort((a, b) => a.from - b.from || (a.pod < b.pod ? -1 : 1))
    .slice(-podsPerAddress);
}

/** A tenth at once, so that the sort is paid rarely. */
function evictOldest(table: StateTable<readonly Lease[]>, max: number): number {
  const ages = [...table.entries()].map(([key, leases]): [string, number] => {
    return [key, leases.reduce((latest, lease) => Math.max(latest, lease.to), 0)];
  });
  ages.sort(([, a], [, b]) => a - b);
  const over = ages.slice(0, Math.max(1, table.size - Math.floor(max * 0.9)));
  for (const [key] of over) table.delete(key);
  return over.length;
}
