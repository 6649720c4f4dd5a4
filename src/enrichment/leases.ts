/**
 * @module Which pod had an address when, learned from events that carry both; pod addresses are
 * reused in seconds.
 */

import { type EpochMs, hourMs, minuteMs } from "../clock.ts";
import type { Event } from "../event/event.ts";
import type { State, StateTable } from "../state/state.ts";
import type { LeaseFact } from "./build-fact.ts";
import { addressKey } from "./inventory.ts";

/** A pod was seen with an address at `from`, and had it until another pod was seen with it. */
export interface Lease {
  readonly pod: string;
  readonly from: EpochMs;
}

export interface Leases {
  /** What the event says of a pod's address, if that is news; pure. */
  newsOf(event: Event): LeaseFact | undefined;
  /** Whether the fact changed anything. */
  learn(fact: LeaseFact): boolean;
  /**
   * Pods that may have had the address at `time`, the likeliest first; [] when no pod ever had it.
   */
  podsAt(address: string, time: EpochMs): readonly string[];
  readonly evicted: number;
}

const leasesPerAddress = 16;
/** An earlier sighting by less than this is not worth a fact. */
const earlierMs = minuteMs;
/** How soon a pod is told again with an address that another had since: nodes share theirs. */
const againMs = hourMs;
/** More pods than are kept, each within this time, share an address: it names none of them. */
const sharedMs = 5 * minuteMs;
/** The longest name of a pod, and text of an address with its zone. */
const podLengthMax = 253;
const addressLengthMax = 64;

/**
 * Keeps the newest 16 leases of each address and at most `addressesMax` addresses. What is kept of
 * an address is the newest of all that was told, so the order of arrival is irrelevant.
 */
export function createLeases(state: State, addressesMax: number): Leases {
  const table: StateTable<readonly Lease[]> = state.table("leases");
  let evicted = 0;

  return {
    newsOf({ join, occurredAt }) {
      const { address, pod } = join;
      if (address === undefined || pod === undefined) return undefined;
      if (address.length > addressLengthMax || pod.length > podLengthMax) return undefined;
      const key = addressKey(address);
      const lease = { pod: pod.toLowerCase(), from: occurredAt };
      if (!isNews(table.get(key) ?? [], lease)) return undefined;
      return { run: `lease:${key}`, occurredAt, lease: { address: key, pod: lease.pod } };
    },
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

/** `leases` are in order of time. */
function isNews(leases: readonly Lease[], { pod, from }: Lease): boolean {
  const before = leases.findLast((lease) => lease.from <= from);
  if (before?.pod === pod) return false;
  const told = leases.some((lease) => {
    return lease.pod === pod && lease.from > from - againMs && lease.from < from + earlierMs;
  });
  if (told) return false;
  const [oldest] = leases;
  // One as old as that would be dropped again; one among as many young ones says nothing.
  const full = oldest !== undefined && leases.length >= leasesPerAddress;
  return !full || from - oldest.from >= sharedMs;
}

/** The newest of all; `leases` itself when nothing changes. */
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
