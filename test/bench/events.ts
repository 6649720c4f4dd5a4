// The demo company's weeks as input for benches: realistic in shape and mix, and the same every
// time.

import type { Intake } from "../../src/collector/collector.ts";
import { collectors } from "../../src/collector/collectors.ts";
import type { Post } from "../../src/demo/feeds.ts";
import { history } from "../../src/demo/midnight-commit.ts";
import type { Event, Feed } from "../../src/event/event.ts";

const now = Date.UTC(2026, 10, 24, 2, 8);

const feedOfDoor = new Map<string, Feed>([
  ["/v1/falco", "falco"],
  ["/v1/github/webhook", "github-webhook"],
  ["/v1/github/audit", "github-audit"],
  ["/v1/egress", "egress"],
  ["/v1/registry", "registry"],
]);

export const posts: readonly Post[] = history(now);

export function collect(post: Post): Intake {
  const collector = collectors.get(feedOfDoor.get(post.door) ?? "egress");
  if (collector === undefined) throw new Error(`no collector for ${post.door}`);
  const { headers } = post;
  return collector.read(Buffer.from(post.body), { receivedAt: post.at, headers, place: "bench" });
}

export function benchEvents(): Event[] {
  return posts.flatMap((post) => [...collect(post).events]);
}

/** CPU seconds that `act` took, of this process. */
export async function cpuSeconds(act: () => void | Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

/** The best of `runs` measurements: the one least disturbed by others. */
export async function bestOf(runs: number, act: () => void | Promise<void>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < runs; run += 1) best = Math.min(best, await cpuSeconds(act));
  return best;
}
