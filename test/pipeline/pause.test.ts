import { describe, expect, it } from "vitest";
import { hourMs, minuteMs, secondMs } from "../../src/clock.ts";
import type { Role } from "../../src/config/config.ts";
import { nightlyJob } from "../../src/demo/company.ts";
import type { Post } from "../../src/demo/feeds.ts";
import { blobPost, environmentRead, imagePulls } from "../../src/demo/midnight-commit.ts";
import {
  composition,
  inStore,
  night,
  openRig,
  pagesOf,
  type Rig,
  shortHistory,
} from "./company.ts";

const endAt = night + 10 * minuteMs;
const tonightsRun = String(nightlyJob(night - 13 * minuteMs, 0).runId);

function story(): readonly Post[] {
  const pulledAt = night + 4 * minuteMs;
  return [...shortHistory(), environmentRead(night), blobPost(night), ...imagePulls(pulledAt)];
}

/** Tonight's webhooks and audit events come so much later than they would have. */
function delayed(posts: readonly Post[], delayMs: number): readonly Post[] {
  return posts
    .map((post) => {
      const tonight = post.door.startsWith("/v1/github") && post.body.includes(tonightsRun);
      return tonight ? { ...post, at: post.at + delayMs } : post;
    })
    .toSorted((a, b) => a.at - b.at);
}

interface Outcome {
  readonly incidents: unknown;
  readonly ids: readonly string[];
  readonly pages: readonly string[];
}

async function outcomeOf(rig: Rig): Promise<Outcome> {
  const found = await inStore(rig.store);
  return {
    incidents: composition(found),
    ids: [...found.incidents, ...found.alerts].map(({ id }) => id).sort(),
    pages: pagesOf(rig).map(({ key }) => key),
  };
}

/** The feeds go on while nobody but the doors is there; then the others come back. */
async function pausedFor(posts: readonly Post[], pauses: readonly Role[]): Promise<Outcome> {
  const all: readonly Role[] = ["collect", "detect", "correlate", "notify", "api"];
  const running = all.filter((role) => !pauses.includes(role));
  const rig = await openRig({ roles: running });
  await rig.send(posts, secondMs);
  await rig.moveTo(endAt);
  // Long after the wait for a build, and after a page would have been too old.
  await rig.moveTo(endAt + 30 * hourMs);
  await rig.join(pauses);
  await rig.moveTo(endAt + 30 * hourMs + minuteMs);
  await rig.moveTo(endAt + 31 * hourMs);
  const outcome = await outcomeOf(rig);
  await rig.stop();
  return outcome;
}

async function unpaused(posts: readonly Post[]): Promise<Outcome> {
  const rig = await openRig();
  await rig.send(posts, secondMs);
  await rig.moveTo(endAt);
  await rig.moveTo(endAt + 31 * hourMs);
  const outcome = await outcomeOf(rig);
  await rig.stop();
  return outcome;
}

describe("a processor that was paused for thirty hours and catches up", () => {
  it.each([
    ["every feed on time", 0],
    ["tonight's webhooks after ten seconds", 10 * secondMs],
    ["tonight's webhooks after forty seconds", 40 * secondMs],
  ])("raises the alerts and pages of one that never paused: %s", async (_name, delayMs) => {
    const posts = delayed(story(), delayMs).filter(({ at }) => at > night - 3 * hourMs);
    const straight = await unpaused(posts);
    expect(straight.pages).toHaveLength(1);
    const paused: readonly (readonly Role[])[] = [
      ["detect"],
      ["correlate"],
      ["notify"],
      ["detect", "correlate", "notify", "api"],
    ];
    for (const roles of paused) expect(await pausedFor(posts, roles)).toEqual(straight);
  });
});
