/** @module Topics on the brokers against what they must be like, and what can be mended of them. */

import kafkajs, { type Admin, type ConfigSource } from "kafkajs";
import { ServiceError } from "../error.ts";
import { brokerCode } from "./kafka-client.ts";
import type { TopicConfig, TopicSpec } from "./kafka-specs.ts";

export interface TopicFault {
  /** `partitions`, `replicas`, `leaders`, or the name of a config. */
  readonly what: string;
  readonly expected: string;
  readonly found: string;
  /** No service starts on it. */
  readonly needed: boolean;
  /** The value that mends a config. */
  readonly value?: string;
}

/** A topic as it is. */
export interface TopicState {
  readonly spec: TopicSpec;
  /** How many; undefined when there is no such topic. */
  readonly partitions: number | undefined;
  /** Of the partition that has fewest. */
  readonly replicas: number;
  readonly configs: ReadonlyMap<string, string>;
  /** Configs that this topic has of its own, as opposed to those of its brokers. */
  readonly own: ReadonlyMap<string, string>;
  readonly faults: readonly TopicFault[];
}

// Node finds only some of kafkajs's names by themselves.
const { ConfigResourceTypes } = kafkajs;
const insync = "min.insync.replicas";
/** `DYNAMIC_TOPIC_CONFIG` of kafkajs, whose enum exists in its types only. */
const topicSource: ConfigSource = 1;

/** How many copies there must be at least before an append counts: two, where there are three. */
function insyncFor(replicas: number): number {
  return replicas >= 3 ? 2 : 1;
}

/** A topic as the brokers have it. */
export type FoundTopic = Pick<TopicState, "replicas" | "configs" | "own"> & {
  readonly partitions: number;
  /** Partitions without a leader. */
  readonly leaderless: number;
};

/** Those that there are, by name. Rejects as kafkajs does. */
export async function foundTopics(
  admin: Admin,
  wanted: readonly string[],
): Promise<ReadonlyMap<string, FoundTopic>> {
  const names = new Set(await admin.listTopics());
  const known = wanted.filter((name) => names.has(name));
  if (known.length === 0) return new Map();
  const { topics } = await admin.fetchTopicMetadata({ topics: known });
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: known.map((name) => ({ type: ConfigResourceTypes.TOPIC, name })),
  });
  const entries = new Map(resources.map((one) => [one.resourceName, one.configEntries]));
  const found = topics.map(({ name, partitions }): [string, FoundTopic] => {
    const all = entries.get(name) ?? [];
    const own = all.filter(({ configSource }) => configSource === topicSource);
    const topic = {
      partitions: partitions.length,
      replicas: Math.min(...partitions.map(({ replicas }) => replicas.length)),
      leaderless: partitions.filter(({ leader }) => leader < 0).length,
      configs: new Map(all.map(({ configName, configValue }) => [configName, configValue])),
      own: new Map(own.map(({ configName, configValue }) => [configName, configValue])),
    };
    return [name, topic];
  });
  return new Map(found);
}

/** Asks for every topic. Rejects as kafkajs does. */
export async function inspectTopics(
  admin: Admin,
  specs: readonly TopicSpec[],
): Promise<readonly TopicState[]> {
  const names = specs.map(({ name }) => name);
  const found = await foundTopics(admin, names);
  return specs.map((spec): TopicState => {
    const topic = found.get(spec.name);
    if (topic === undefined) return missing(spec);
    const { leaderless, ...rest } = topic;
    const state = { spec, ...rest };
    return { ...state, faults: faultsOf(state, leaderless) };
  });
}

function missing(spec: TopicSpec): TopicState {
  const expected = `${spec.partitions} partitions`;
  const fault = { what: "partitions", expected, found: "no such topic", needed: true };
  const none = new Map<string, string>();
  return { spec, partitions: undefined, replicas: 0, configs: none, own: none, faults: [fault] };
}

function faultsOf(state: Omit<TopicState, "faults">, leaderless: number): readonly TopicFault[] {
  const { spec, partitions, replicas, configs } = state;
  const faults: TopicFault[] = [];
  if (partitions !== spec.partitions) {
    const [expected, found] = [String(spec.partitions), String(partitions)];
    faults.push({ what: "partitions", expected, found, needed: true });
  }
  if (leaderless > 0) {
    const found = `${leaderless} without one`;
    faults.push({ what: "leaders", expected: "one for each partition", found, needed: true });
  }
  if (spec.replicas !== undefined && replicas < spec.replicas) {
    const expected = `at least ${spec.replicas}`;
    faults.push({ what: "replicas", expected, found: String(replicas), needed: false });
  }
  const least = insyncFor(replicas);
  const found = Number(configs.get(insync));
  if (found < least || found > replicas) {
    const expected = `from ${least} to ${replicas}, as there are ${replicas} replicas`;
    const fault = { expected, found: String(found), needed: true, value: String(least) };
    faults.push({ what: insync, ...fault });
  }
  for (const wanted of spec.configs) {
    const value = configs.get(wanted.name);
    // Brokers of another version may not know it.
    if (value === undefined || keeps(wanted, value)) continue;
    const expected = wanted.least === true ? `at least ${wanted.value}` : wanted.value;
    const needed = wanted.needed === true;
    faults.push({ what: wanted.name, expected, found: value, needed, value: wanted.value });
  }
  return faults;
}

function keeps({ value, least, or }: TopicConfig, found: string): boolean {
  if (or?.includes(found) === true) return true;
  if (least === true) return Number(found) >= Number(value);
  const items = (text: string) => text.split(",").toSorted().join();
  return items(found) === items(value);
}

/** What no service starts on, as the problem to tell; undefined when all is as needed. */
export function firstNeeded(states: readonly TopicState[]): ServiceError | undefined {
  for (const { spec, faults } of states) {
    const fault = faults.find(({ needed }) => needed);
    if (fault === undefined) continue;
    const { what, expected, found } = fault;
    const place = `kafka topic ${spec.name}: ${what}`;
    const hint = `${expected} (see \`pipewarden topics\`)`;
    return new ServiceError({ code: "config-invalid", place, expected: hint, found });
  }
  return undefined;
}

/** Makes those that are missing; another process may have been quicker. Rejects as kafkajs does. */
export async function createMissing(admin: Admin, states: readonly TopicState[]): Promise<void> {
  const wanted = states.filter(({ partitions }) => partitions === undefined);
  if (wanted.length === 0) return;
  const { brokers } = await admin.describeCluster();
  const topics = wanted.map(({ spec }) => {
    const replicas = spec.replicas ?? Math.min(3, brokers.length);
    const configs = [...spec.configs, { name: insync, value: String(insyncFor(replicas)) }];
    return {
      topic: spec.name,
      numPartitions: spec.partitions,
      replicationFactor: replicas,
      configEntries: configs.map(({ name, value }) => ({ name, value })),
    };
  });
  try {
    // kafkajs would wait for leaders and may then reject although the topics were made.
    await admin.createTopics({ topics, waitForLeaders: false });
  } catch (error) {
    if (!isExists(error)) throw error;
  }
}

/** Sets the configs that differ; the others keep what they have. Rejects as kafkajs does. */
export async function mendConfigs(admin: Admin, { spec, own, faults }: TopicState): Promise<void> {
  const entries = new Map(own);
  for (const { what, value } of faults) if (value !== undefined) entries.set(what, value);
  const configEntries = [...entries].map(([name, value]) => ({ name, value }));
  // What the request leaves out is reset: hence those of its own that are right go along.
  const resource = { type: ConfigResourceTypes.TOPIC, name: spec.name, configEntries };
  await admin.alterConfigs({ validateOnly: false, resources: [resource] });
}

/** Has kafkajs look afresh which broker leads what: among what else it offers, this does. */
export async function refreshLeaders(admin: Admin, name: string): Promise<void> {
  const resource = { type: ConfigResourceTypes.TOPIC, name, configNames: ["cleanup.policy"] };
  await admin.describeConfigs({ includeSynonyms: false, resources: [resource] });
}

/** Whether nothing was wrong but that topics are there already. */
function isExists(error: unknown): boolean {
  return partsOf(error).every((part) => brokerCode(part) === "TOPIC_ALREADY_EXISTS");
}

/** The errors of single topics that kafkajs has put together. */
export function partsOf(error: unknown): readonly unknown[] {
  if (!(error instanceof Error && "errors" in error && Array.isArray(error.errors))) return [error];
  return error.errors;
}
