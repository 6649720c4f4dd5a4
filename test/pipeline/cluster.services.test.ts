import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { realClock } from "../../src/clock.ts";
import { createPlayer } from "../../src/demo/player.ts";
import { type KafkaService, startKafka } from "../services/kafka.ts";
import { startReceiver, type WebhookReceiver } from "../sink/receiver.ts";
import { type Cluster, type ClusterProcess, openCluster } from "./cluster.ts";
import { type ClusterWatch, watchCluster } from "./cluster-watch.ts";
import { describeIncidents, playWithKills, wholeFeed } from "./kills.ts";
import { sinkSecret, webhookSecret } from "./service-process.ts";

const topicPrefix = "cluster.";
let kafka: KafkaService;
let receiver: WebhookReceiver;
let logDir: string;
let cluster: Cluster;
let watch: ClusterWatch;

beforeAll(async () => {
  logDir = await mkdtemp(join(tmpdir(), "cluster-"));
  [kafka, receiver] = await Promise.all([startKafka(), startReceiver({ secret: sinkSecret })]);
  const { brokers } = kafka;
  cluster = await openCluster({
    ...{ brokers, topicPrefix, logDir, sinkUrl: receiver.url },
    processes: [
      ["collect"],
      ["detect"],
      ["detect"],
      ["correlate"],
      // Its topics have one partition: one of the two works, the other stands by.
      ["notify"],
      ["notify"],
      ["api"],
    ],
  });
  await cluster.start();
  watch = await watchCluster({ brokers, topicPrefix });
});

afterAll(async () => {
  await watch?.close();
  await cluster?.remove();
  await receiver?.close();
  await kafka?.stop();
  if (logDir !== undefined) await rm(logDir, { recursive: true });
});

describe("roles as processes of their own over one Kafka broker", () => {
  it("find what one machine finds, while detect workers and the notifier come and go", async () => {
    const now = realClock.now();
    const alone = await playWithKills(now, 0, 1);
    const [, first, second] = cluster.processes;
    const joining = await cluster.add(["detect"]);
    const posts = wholeFeed(now);
    const attack = posts.length - 4;
    const quarter = Math.floor(attack / 4);
    const player = createPlayer({
      url: cluster.of("collect").url,
      webhookSecret,
      clock: realClock,
    });
    const during = async (from: number, to: number, act: () => Promise<unknown>) => {
      await Promise.all([act(), player.send(posts.slice(from, to))]);
    };
    await during(0, quarter, async () => undefined);
    await during(quarter, 2 * quarter, () => joining.start());
    await during(2 * quarter, 3 * quarter, async () => expect(await first?.stop()).toBe(0));
    await during(3 * quarter, attack, async () => second?.kill());
    const owner = (await watch.ownersOf("deliver")).get("pages/0");
    const struckAt = realClock.now();
    await during(attack, posts.length, () => cluster.named(owner).kill());
    await player.close();

    const { url } = cluster.of("api");
    await expect.poll(pageIds, { timeout: 90_000, interval: 100 }).toHaveLength(1);
    console.info(`paged ${realClock.now() - struckAt} ms after the notifier was killed`);
    await expect
      .poll(() => describeIncidents(url), { timeout: 60_000, interval: 500 })
      .toEqual(alone.incidents);
    const behind = async () => Object.fromEntries(await watch.behind());
    await expect
      .poll(behind, { timeout: 30_000, interval: 500 })
      .toEqual({ detect: 0, correlate: 0, notify: 0, deliver: 0 });
    expect(alone.pageIds).toHaveLength(1);
    expect(pageIds()).toHaveLength(1);
    expect(await describeIncidents(url)).toEqual(alone.incidents);
    const notifier = (await watch.ownersOf("deliver")).get("pages/0");
    expect(notifier).toMatch(/^notify-/);
    expect(notifier).not.toBe(owner);
    expect(await partitionsOf(cluster.named(notifier))).toEqual({ notify: 1, deliver: 1 });
    expect(await partitionsOf(joining)).toMatchObject({ detect: 4 });
  }, 240_000);
});

async function partitionsOf({ url }: ClusterProcess): Promise<unknown> {
  const answer = await fetch(`${url}/readyz`);
  return ((await answer.json()) as { partitions: unknown }).partitions;
}

/** Ids that a receiver which honours keys took as pages. */
function pageIds(): string[] {
  return [...receiver.accepted.values()]
    .filter(({ body }) => (JSON.parse(body) as { type: string }).type === "incident.paged")
    .map(({ id }) => id);
}
