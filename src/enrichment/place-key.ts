/**
 * @module Where an event belongs: events of one machine share a key, and so a partition, and so
 * keep their order. A job's webhook and what the job does must not overtake each other.
 */

import type { Event } from "../event/event.ts";
import { addressKey, type EnrichmentConfig } from "./inventory.ts";
import { podReadings } from "./runner-name.ts";

/** The machine, else the run, else the repository, else the event alone. */
export type PlaceKey = (event: Event) => string;

/** Runners that share a host or an address are one machine; the first by name stands for it. */
export function createPlaceKey(runners: EnrichmentConfig["runners"]): PlaceKey {
  const machines = new Machines();
  for (const { name, hosts = [], addresses = [] } of runners) {
    const runner = `runner ${name.toLowerCase()}`;
    machines.join(runner, runner);
    for (const host of hosts) machines.join(runner, `host ${host.toLowerCase()}`);
    for (const address of addresses) machines.join(runner, `address ${addressKey(address)}`);
  }
  return ({ join, id }) => {
    const { runnerName, pod, host, address, repository, runId } = join;
    const names = [
      runnerName === undefined ? undefined : `runner ${runnerName.toLowerCase()}`,
      pod === undefined ? undefined : `runner ${runnerOfPod(pod)}`,
      host === undefined ? undefined : `host ${host.toLowerCase()}`,
      address === undefined ? undefined : `address ${addressKey(address)}`,
    ].filter((name) => name !== undefined);
    const known = names.find((name) => machines.knows(name));
    if (known !== undefined) return machines.nameOf(known);
    if (runnerName === undefined && runId !== undefined) return `run ${repository ?? ""}#${runId}`;
    return names[0] ?? repository ?? id;
  };
}

/** The runner a pod's name begins with: step and job pods carry their runner's name. */
function runnerOfPod(pod: string): string {
  return podReadings(pod).at(-1)?.key ?? pod.toLowerCase();
}

/** Names that mean the same machine, each leading to the smallest of its set. */
class Machines {
  readonly #parents = new Map<string, string>();

  knows(name: string): boolean {
    return this.#parents.has(name);
  }

  nameOf(name: string): string {
    let at = name;
    for (
      let up = this.#parents.get(at);
      up !== undefined && up !== at;
      up = this.#parents.get(at)
    ) {
      at = up;
    }
    return at;
  }

  join(left: string, right: string): void {
    const [a, b] = [this.nameOf(left), this.nameOf(right)].sort();
    if (a === undefined || b === undefined) return;
    this.#parents.set(a, a);
    this.#parents.set(b, a);
  }
}
