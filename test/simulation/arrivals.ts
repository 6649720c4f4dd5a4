/** @module When each post reaches the door: held up, overtaken, sent twice, as the seed has it. */

import { type EpochMs, secondMs } from "../../src/clock.ts";
import type { Post } from "../../src/demo/feeds.ts";
import type { Faults } from "./faults.ts";
import type { Plan } from "./plan.ts";
import { startAt } from "./world.ts";

export interface Arrival {
  readonly at: EpochMs;
  readonly post: Post;
}

/** Events wait much longer than this for their build. */
const shuffleMsMax = 20 * secondMs;

/** In order of arrival. */
export function arrivalsOf(plan: Plan, faults: Faults): Arrival[] {
  const arrivals: Arrival[] = [];
  for (const { post, lateMs } of plan.sendings) {
    let at = Math.max(post.at, startAt) + lateMs;
    const delayMs = faults.random("shuffle").between(1, shuffleMsMax);
    if (faults.strikes("shuffle")) at += delayMs;
    arrivals.push({ at, post });
    const againMs = faults.random("duplicate").between(0, 90 * secondMs);
    if (faults.strikes("duplicate")) arrivals.push({ at: at + againMs, post });
  }
  return arrivals.sort((a, b) => a.at - b.at);
}
