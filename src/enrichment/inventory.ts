/** @module Which runner stands behind a host or an address, as the operator has written it down. */

import ipaddr from "ipaddr.js";
import { type Static, Type } from "typebox";

/** Settings of the build join, under `enrichment:`. */
export const EnrichmentConfig = Type.Object(
  {
    waitSeconds: Type.Integer({
      default: 15,
      minimum: 0,
      maximum: 3_600,
      description:
        "How long an event that names a runner, pod or host waits for its job, in seconds.",
    }),
    slackSeconds: Type.Integer({
      default: 30,
      minimum: 0,
      maximum: 600,
      description: "How far outside a job's start and end its activity may lie, in seconds.",
    }),
    buildsMax: Type.Integer({
      default: 50_000,
      minimum: 100,
      description: "The most runs and jobs kept; beyond it the oldest are forgotten.",
    }),
    parkedMax: Type.Integer({
      default: 20_000,
      minimum: 1,
      description:
        "The most events that wait at once; those beyond it go on and are enriched later. As " +
        "many are kept after they went on, the newest.",
    }),
    keepHours: Type.Integer({
      default: 24,
      minimum: 1,
      maximum: 168,
      description:
        "How long an event that went on without all of its build is kept for a late fact.",
    }),
    openJobHours: Type.Integer({
      default: 6,
      minimum: 1,
      maximum: 720,
      description:
        "How long after its start a job whose end was never told is believed to run; later its " +
        "runner's events wait first.",
    }),
    afterJobMinutes: Type.Integer({
      default: 60,
      minimum: 0,
      maximum: 1_440,
      description:
        "How long after its end a job is blamed for what its runner does; later the job is only " +
        "named as one it could be.",
    }),
    runners: Type.Array(
      Type.Object(
        {
          name: Type.String({ minLength: 1, description: "The runner's name at GitHub." }),
          hosts: Type.Optional(
            Type.Array(Type.String({ minLength: 1 }), {
              description: "Host names that events from this runner's machine bear.",
            }),
          ),
          addresses: Type.Optional(
            Type.Array(Type.String({ minLength: 1 }), {
              description: "Addresses of this runner's machine, IPv4 or IPv6.",
            }),
          ),
        },
        { additionalProperties: false },
      ),
      { default: [], description: "Runners whose host or address differs from their name." },
    ),
  },
  {
    additionalProperties: false,
    description: "How events are joined to the CI run that caused them.",
  },
);
export type EnrichmentConfig = Static<typeof EnrichmentConfig>;

/** The operator's list, by host and by address. */
export interface RunnerInventory {
  /** Runner names, lower case; several when a machine carries several runners; [] when unknown. */
  runnersOfHost(host: string): readonly string[];
  runnersOfAddress(address: string): readonly string[];
}

/** The inventory of the settings. Names and hosts are compared without case, addresses by value. */
export function createInventory(runners: EnrichmentConfig["runners"]): RunnerInventory {
  const hosts = new Map<string, string[]>();
  const addresses = new Map<string, string[]>();
  for (const runner of runners) {
    const name = runner.name.toLowerCase();
    for (const host of runner.hosts ?? []) addTo(hosts, host.toLowerCase(), name);
    for (const address of runner.addresses ?? []) addTo(addresses, addressKey(address), name);
  }
  return {
    runnersOfHost: (host) => hosts.get(host.toLowerCase()) ?? [],
    runnersOfAddress: (address) => addresses.get(addressKey(address)) ?? [],
  };
}

function addTo(map: Map<string, string[]>, key: string, name: string): void {
  const names = map.get(key) ?? [];
  if (!names.includes(name)) map.set(key, [...names, name]);
}

const plainAddress = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/** One spelling per address: an IPv4 address inside IPv6 is the IPv4 address. */
export function addressKey(address: string): string {
  // Most are, and parsing costs more than all the rest of a join.
  if (plainAddress.test(address)) return address;
  const text = address.trim().toLowerCase();
  return ipaddr.isValid(text) ? ipaddr.process(text).toString() : text;
}
