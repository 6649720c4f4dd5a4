/**
 * @module Which pod had an address when, learned from facts; pod addresses are reused in seconds.
 */

import type { EpochMs } from "../clock.ts";
import type { State, StateTable } from "../state/state.ts";
import type { LeaseFact } from "./build-fact.ts";
import { addressKey } from "./inventory.ts";

/** A pod was seen with an address at `from`, and had it until another pod was seen with it. */
export interface Lease {
  readonly pod: string;
  readonly from: EpochMs;
}

export interface Leases {
  /** Whether the fact changed anything. */
  learn(fact: LeaseFact): boolean;
  /**
   * Pods that may have had the address at `time`, the likeliest first; [] when no pod ever had it.
   */
  podsAt(address: string, time: EpochMs): readonly string[];
  readonly evicted: number;
}

const leasesPerAddress = 8;

/**
 * Keeps the newest 8 leases of each address and at most `addressesMax` addresses. What is kept of
 * an address is the newest of all that was told, so the order of arrival is irrelevant.
 */
export function createLeases(state: State, addressesMax: number): Leases {
  const table: StateTable<readonly Lease[]> = state.table("leases");
  let evicted = 0;

  return {
    learn({ lease: { address, pod }, occurredAt }) {
      const old = table.get(address) ?? [];
      const merged = mergeLease(old, { pod, from: occurredAt });
      if (merged === old) return false;
      table.put(address, merged);
      if (table.size > addressesMax) evicted += evictOldest(table, addressesMax);
      return true;
    },
    podsAt(address, time) {
      const leases = table.get(addressKey(address)) ?? [];
      const next = leases.findIndex((lease) => lease.from > time);
      // The pod seen last before the time still had it, unless the next one did already.
      const around = next < 0 ? leases.slice(-1) : leases.slice(Math.max(0, next - 1), next + 1);
      return [...new Set(around.map((lease) => lease.pod))];
    },
    get evicted() {
      return evicted;
    },
  };
}

/** The newest of all, in order of time; `leases` itself when nothing changes. */
function mergeLease(leases: readonly Lease[], lease: Lease): readonly Lease[] {
  if (leases.some(({ pod, from }) => pod === lease.pod && from === lease.from)) return leases;
  const merged = [...leases, lease]
    .sort((a, b) => a.from - b.from || (a.pod < b.pod ? -1 : 1))
    .slice(-leasesPerAddress);
  return merged.includes(lease) ? merged : leases;
}

/** A tenth at once, so that the sort is paid rarely. */
function evictOldest(table: StateTable<readonly Lease[]>, max: number): number {
  const ages = [...table.entries()].map(([key, leases]): [string, number] => {
    return [key, leases.at(-1)?.from ?? 0];
  });
  ages.sort(([, a], [, b]) => a - b);
  const over = ages.slice(0, Math.max(1, table.size - Math.floor(max * 0.9)));
  for (const [key] of over) table.delete(key);
  return over.length;
}
