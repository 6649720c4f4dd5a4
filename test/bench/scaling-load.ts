/**
 * @module The events that the scaling bench gives to every installation: taken in once by a process
 * with the role collect alone, then read back from its bus.
 */

import { performance } from "node:perf_hooks";
import type { Bus, BusRecord, NewRecord, Topic } from "../../src/bus/bus.ts";
import { openKafkaBus } from "../../src/bus/kafka.ts";
import { realClock } from "../../src/clock.ts";
import { decodeEvent, encodeEvent, isProblem } from "../../src/event/codec.ts";
import { serviceProcess, webhookSecret } from "../pipeline/service-process.ts";
import { inventoryOf, Load, type LoadPost, type LoadSettings } from "./e2e-feeds.ts";
import { Sender } from "./e2e-sender.ts";

export const partitions = 8;
/** Where nobody listens: no process of this bench delivers anything. */
export const noSink = "http://127.0.0.1:9/";

const connections = 64;
/** As the bench of the whole way has it: so many machines as a company of 2,000 jobs at once. */
const rate = 20_000;
const pagesPerSecond = 20;

export interface ScalingLoad {
  /** The webhooks that make the first jobs known. */
  readonly jobs: readonly NewRecord[];
  /** What follows. */
  readonly events: readonly NewRecord[];
  /** For `enrichment.runners`. */
  readonly runners: readonly object[];
  /** What collecting cost, without what it took to make the jobs known. */
  readonly collect: { readonly events: number; readonly cpuSeconds: number };
  /** Of a record's key and value, on average. */
  readonly bytesPerEvent: number;
}

export function openBus(brokers: readonly string[], topicPrefix: string): Promise<Bus> {
  const shape = { partitions, replicationFactor: 1 };
  return openKafkaBus({ brokers, clientId: "bench", topicPrefix, ...shape, clock: realClock });
}

/** The settings of a process over this installation. */
export function kafkaSettings(brokers: readonly string[], topicPrefix: string): object {
  return { bus: { kafka: { brokers, topicPrefix, partitions, replicationFactor: 1 } } };
}

/** Everything that a topic holds, in the order of its arrival. */
export async function readAll(bus: Bus, topic: Topic): Promise<readonly BusRecord[]> {
  const records: BusRecord[] = [];
  const consumer = await bus.consume(
    { group: "bench", whole: true, topics: [topic] },
    {
      assigned: async () => 0,
      revoked: async () => undefined,
      batch: async (_topic, _partition, batch) => void records.push(...batch),
    },
  );
  await consumer.drained();
  await consumer.stop();
  return records.sort((a, b) => a.appendedAt - b.appendedAt);
}

export async function cpuSecondsOf(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^process_cpu_seconds_total (\S+)$/m.exec(text)?.[1]);
}

async function send(port: number, posts: readonly LoadPost[]): Promise<number> {
  const sender = new Sender(port, connections);
  const answers = await Promise.all(posts.map(({ request }) => sender.send(request)));
  sender.close();
  const wrong = answers.find((answer) => answer?.status !== 200);
  if (wrong !== undefined) throw new Error(`a request was answered ${wrong.status}`);
  return posts.reduce((sum, { events }) => sum + events, 0);
}

/** `seconds` of a feed of 20,000 events/s, however long the taking in takes. */
export async function takeIn(brokers: readonly string[], seconds: number): Promise<ScalingLoad> {
  const settings: LoadSettings = { rate, seconds, pagesPerSecond, webhookSecret };
  const topicPrefix = "scaling.source.";
  const runners = inventoryOf(settings);
  const bus = await openBus(brokers, topicPrefix);
  const service = await serviceProcess({
    sinkUrl: noSink,
    settings: {
      roles: ["collect"],
      enrichment: { runners },
      ...kafkaSettings(brokers, topicPrefix),
    },
  });
  try {
    await service.start();
    const port = Number(new URL(service.url).port);
    const start = Math.floor(performance.timeOrigin + performance.now()) - seconds * 1_000;
    const load = new Load(settings, start);
    await send(port, load.setup());
    const jobCount = await countOf(bus, "events");
    const posts = load.posts(start);
    const before = await cpuSecondsOf(service.url);
    const events = await send(port, posts);
    const collect = { events, cpuSeconds: (await cpuSecondsOf(service.url)) - before };
    const records = (await readAll(bus, "events")).map(again);
    const [jobs, followed] = [records.slice(0, jobCount), records.slice(jobCount)];
    const bytesPerEvent = followed.reduce((sum, at) => sum + bytesOf(at), 0) / followed.length;
    return { jobs, events: followed, runners, collect, bytesPerEvent };
  } finally {
    await service.stop();
    await service.remove();
    await bus.close();
  }
}

function again({ topic, key, value }: BusRecord): NewRecord {
  return { topic, key, value };
}

/**
 * The same event under another id, as if as much had happened once more at the same time: a load
 * of any length for what taking in one part of it costs.
 */
export function copyOf(record: NewRecord, copy: number): NewRecord {
  const event = decodeEvent(record.value, "bench");
  if (isProblem(event)) throw new Error(event.found);
  return { ...record, value: encodeEvent({ ...event, id: `${event.id}:${copy}` }) };
}

function bytesOf({ key, value }: NewRecord): number {
  return Buffer.byteLength(key) + value.byteLength;
}

export async function countOf(bus: Bus, topic: Topic): Promise<number> {
  let sum = 0;
  for (let partition = 0; partition < bus.partitions(topic); partition += 1) {
    sum += await bus.end(topic, partition);
  }
  return sum;
}
