/**
 * @module The real pipeline over what outlives a process. The only file of the simulator that knows
 * how a Pipeline and its states are made.
 */

import type { Bus, topics } from "../../src/bus/bus.ts";
import { openMemoryBus } from "../../src/bus/memory.ts";
import { type EpochMs, VirtualClock } from "../../src/clock.ts";
import type { Intake } from "../../src/collector/collector.ts";
import { collectors } from "../../src/collector/collectors.ts";
import { readConfig } from "../../src/config/config.ts";
import type { TimeConfig } from "../../src/correlation/correlation.ts";
import type { DemoRunner, Post } from "../../src/demo/feeds.ts";
import type { Ruleset } from "../../src/detection/detection.ts";
import type { EnrichmentConfig } from "../../src/enrichment/enrichment.ts";
import type { Feed } from "../../src/event/event.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import { openMemoryState } from "../../src/state/memory.ts";
import type { StateStore } from "../../src/state/state.ts";
import { openMemoryStore } from "../../src/store/embedded.ts";
import type { Store } from "../../src/store/store.ts";
import { silentTelemetry } from "../../src/telemetry.ts";
import { replacing } from "../contract/replacing.ts";
import type { Faults } from "./faults.ts";
import type { Life } from "./life.ts";
import { Receiver } from "./receiver.ts";
import { cacheHost, simulationRules } from "./rules.ts";

/** How long an event waits for its build: longer than any fault may hold a fact up. */
export const waitSeconds = 300;

const config = readConfig({ path: "deploy/demo/pipewarden.yml", environment: {} });
const ruleset = simulationRules();

/** More patience than any fault may ask for. */
const time: TimeConfig = {
  ...config.time,
  latenessSeconds: everyFeed(config.time.latenessSeconds, 15 * 60),
  pageAgeMaxMinutes: everyFeed(config.time.pageAgeMaxMinutes, 24 * 60),
};

function everyFeed<T extends Record<string, number>>(keyed: T, value: number): T {
  return Object.fromEntries(Object.keys(keyed).map((key) => [key, value])) as T;
}

const feedOfDoor = new Map<string, Feed>([
  ["/v1/falco", "falco"],
  ["/v1/github/webhook", "github-webhook"],
  ["/v1/egress", "egress"],
  ["/v1/github/audit", "github-audit"],
  ["/v1/registry", "registry"],
]);

/** What is left when a process dies. */
export interface Durable {
  readonly clock: VirtualClock;
  readonly bus: Bus;
  readonly states: StateStore;
  readonly store: Store;
  readonly receiver: Receiver;
  close(): Promise<void>;
}

export interface DurableSettings {
  readonly startAt: EpochMs;
  /** Of each topic; 4 when absent. */
  readonly partitions?: number;
  /** The most records a stage is given at once; as the pipeline asks when absent. */
  readonly batchMax?: number;
}

export function openDurable(faults: Faults, settings: DurableSettings): Durable {
  const { startAt, partitions = 4, batchMax } = settings;
  const clock = new VirtualClock(startAt);
  const whole = openMemoryBus({ clock, partitions });
  const bus = replacing(whole, {
    consume: (asked, handler) => {
      return whole.consume(batchMax === undefined ? asked : { ...asked, batchMax }, handler);
    },
  });
  const states = openMemoryState();
  const store = openMemoryStore();
  const receiver = new Receiver(faults, () => clock.now());
  return {
    ...{ clock, bus, states, store, receiver },
    close: async () => {
      await bus.close();
      await states.close();
      await store.close();
    },
  };
}

/** One process. Its calls reject, or never end, once its life is over. */
export interface Service {
  /** Resolves once the post is durable, as the door's 2xx says. */
  accept(post: Post): Promise<Intake>;
  tick(): Promise<void>;
  drained(): Promise<void>;
  /** Records yet to be applied, of all stages together. */
  backlog(): Promise<number>;
  stop(): Promise<void>;
}

/** What the operator has set. */
export interface Setup {
  readonly ruleset: Ruleset;
  readonly enrichment: EnrichmentConfig;
  readonly cacheHosts: readonly string[];
}

/** The simulator's rules, over the machines of a world. */
export function simulationSetup({ runners }: { readonly runners: readonly DemoRunner[] }): Setup {
  const machines = runners.map(({ name, address }) => {
    return { name, hosts: [name], addresses: [address] };
  });
  const enrichment = { ...config.enrichment, waitSeconds, runners: machines };
  return { ruleset, enrichment, cacheHosts: [cacheHost] };
}

export interface ServiceSettings {
  readonly durable: Durable;
  readonly life: Life;
  readonly setup: Setup;
}

export async function startService(settings: ServiceSettings): Promise<Service> {
  const { durable, life, setup } = settings;
  const clock = life.clock(durable.clock);
  const pipeline = new Pipeline({
    bus: life.bus(durable.bus),
    states: life.states(durable.states),
    store: life.store(durable.store),
    sinks: [life.sink(durable.receiver.sink())],
    ...{ clock, telemetry: silentTelemetry() },
    ruleset: setup.ruleset,
    enrichment: setup.enrichment,
    lineage: { ...config.lineage, cacheHosts: setup.cacheHosts },
    time,
  });
  await pipeline.start();
  return {
    accept: async (post) => {
      const { intake, feed } = intakeOf(post, clock.now());
      await pipeline.accept(intake, feed);
      return intake;
    },
    tick: () => pipeline.tick(),
    drained: () => pipeline.drained(),
    backlog: async () => {
      return Object.values(pipeline.backlog()).reduce((sum, count) => sum + count, 0);
    },
    stop: () => pipeline.stop(),
  };
}

/** The groups that read the bus, and a topic of each. */
export const stageTopics = [
  ["detect", ["events"]],
  ["correlate", ["matches"]],
  ["notify", ["alerts"]],
  ["deliver", ["pages"]],
  ["store", ["documents"]],
] as const;

export function intakeOf(post: Post, receivedAt: EpochMs): { intake: Intake; feed: Feed } {
  const feed = feedOfDoor.get(post.door);
  const collector = feed === undefined ? undefined : collectors.get(feed);
  if (feed === undefined || collector === undefined) throw new Error(`no feed for ${post.door}`);
  const delivery = { receivedAt, headers: post.headers, place: `${post.door} door` };
  return { intake: collector.read(Buffer.from(post.body), delivery), feed };
}

/** Everything on the bus of one topic, as text. */
export async function onBus(bus: Bus, topic: (typeof topics)[number]): Promise<string[]> {
  const found: string[] = [];
  for (let partition = 0; partition < bus.partitions(topic); partition += 1) {
    const end = await bus.end(topic, partition);
    for (let offset = await bus.first(topic, partition); offset < end; offset += 1) {
      const record = await bus.find(topic, partition, offset);
      if (record !== undefined) found.push(Buffer.from(record.value).toString("utf8"));
    }
  }
  return found;
}
