/**
 * @module The demo's feed sent to a service that is killed again and again, and what is left of it
 * afterwards.
 */

import { join } from "node:path";
import type { Alert, Incident } from "../../src/alert/alert.ts";
import { openEmbeddedBus } from "../../src/bus/embedded.ts";
import { realClock } from "../../src/clock.ts";
import { seeded } from "../../src/demo/company.ts";
import type { Post } from "../../src/demo/feeds.ts";
import { blobPost, environmentRead, history, imagePulls } from "../../src/demo/midnight-commit.ts";
import { createPlayer } from "../../src/demo/player.ts";
import { startReceiver } from "../sink/receiver.ts";
import {
  type ServiceProcess,
  serviceProcess,
  sinkSecret,
  webhookSecret,
} from "./service-process.ts";

export interface Aftermath {
  /** Each incident as its level and its alerts with level, rule, count and run. */
  readonly incidents: readonly string[];
  /** Ids of the notices that a receiver which honours keys took as pages. */
  readonly pageIds: readonly string[];
  /** Sum of the records of acknowledged posts, and how many records the bus holds. */
  readonly acknowledged: number;
  readonly events: number;
  readonly deadLetters: number;
  readonly kills: number;
}

/** Everything the demo sends, the live part included, dated by `now`. */
export function wholeFeed(now: number): readonly Post[] {
  return [...history(now), environmentRead(now), blobPost(now), ...imagePulls(now + 2_000)];
}

/**
 * Sends the feed, killing and restarting the service `kills` times at moments drawn from `seed`.
 */
export async function playWithKills(now: number, kills: number, seed: number): Promise<Aftermath> {
  const receiver = await startReceiver({ secret: sinkSecret });
  const service = await serviceProcess({ sinkUrl: receiver.url });
  try {
    await service.start();
    const acknowledged = await send(
      service,
      wholeFeed(now),
      killPoints(wholeFeed(now).length, kills, seed),
    );
    await caughtUp(service.url);
    const incidents = await describeIncidents(service.url);
    await service.stop();
    const pages = [...receiver.accepted.values()].filter(
      ({ body }) => (JSON.parse(body) as { type: string }).type === "incident.paged",
    );
    return {
      incidents,
      pageIds: pages.map(({ id }) => id),
      acknowledged,
      ...(await onBus(service.dataDir)),
      kills,
    };
  } finally {
    await service.remove();
    await receiver.close();
  }
}

/** Moments over the whole feed, and always the two around the POST that pages. */
function killPoints(length: number, kills: number, seed: number): ReadonlySet<number> {
  const next = seeded(seed);
  const aroundThePost = [length - 4, length - 3];
  const points = new Set<number>(kills === 0 ? [] : aroundThePost);
  while (points.size < kills) points.add(1 + next(length - 1));
  return points;
}

async function send(
  service: ServiceProcess,
  posts: readonly Post[],
  points: ReadonlySet<number>,
): Promise<number> {
  const player = createPlayer({ url: service.url, webhookSecret, clock: realClock });
  let sent = 0;
  let acknowledged = 0;
  let restarting: Promise<void> = Promise.resolve();
  await player.send(posts, ({ records }) => {
    sent += 1;
    acknowledged += records;
    if (!points.has(sent)) return;
    // The lanes go on meanwhile and find nobody there, as a feed would.
    restarting = restarting.then(async () => {
      await service.kill();
      await service.start();
    });
  });
  await restarting;
  await player.close();
  return acknowledged;
}

/** Until every stage has applied everything, and delivered what it owes. */
async function caughtUp(url: string): Promise<void> {
  let calm = 0;
  for (let tries = 0; tries < 1_200 && calm < 5; tries += 1) {
    const ready = (await read(url, "/readyz")) as { backlog?: Record<string, number> } | undefined;
    const behind = Object.values(ready?.backlog ?? { unready: 1 });
    calm = behind.every((count) => count === 0) ? calm + 1 : 0;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  if (calm < 5) throw new Error("the service did not catch up");
}

/**
 * Each incident by its alerts, in order of text. Ids are left out: they come from whichever of two
 * posts that are sent at once arrives first, and that is the network's to say.
 */
export async function describeIncidents(url: string): Promise<string[]> {
  const { items } = (await read(url, "/api/v1/incidents?limit=200")) as { items: Incident[] };
  const incidents: string[] = [];
  for (const { id, level } of items) {
    const whole = (await read(url, `/api/v1/incidents/${id}`)) as { alerts: Alert[] };
    const alerts = whole.alerts.map(({ build, rule, count }) => {
      const run = build === undefined ? "–" : `${build.repository}#${build.runId}`;
      return `${rule.level}: ${rule.title} ×${count} in ${run}`;
    });
    incidents.push([level, ...alerts.sort()].join("\n"));
  }
  return incidents.sort();
}

async function read(url: string, path: string): Promise<unknown> {
  const answer = await fetch(new URL(path, url));
  return answer.ok ? answer.json() : undefined;
}

async function onBus(dataDir: string): Promise<{ events: number; deadLetters: number }> {
  const bus = await openEmbeddedBus({ path: join(dataDir, "bus.db"), clock: realClock });
  const count = async (topic: "events" | "dead-letters") => {
    let sum = 0;
    for (let partition = 0; partition < bus.partitions(topic); partition += 1) {
      sum += await bus.end(topic, partition);
    }
    return sum;
  };
  const counts = { events: await count("events"), deadLetters: await count("dead-letters") };
  await bus.close();
  return counts;
}
