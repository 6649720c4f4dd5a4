/**
 * @module Sends posts to a service's doors as the feeds would, and knows which were acknowledged.
 */

import { createHmac } from "node:crypto";
import { type Dispatcher, Pool } from "undici";
import { type Clock, secondMs } from "../clock.ts";
import type { Post } from "./feeds.ts";

export interface PlayerSettings {
  readonly url: string;
  readonly webhookSecret: string;
  readonly clock: Clock;
  /** How long an unreachable or full service is tried again. Default 30 s. */
  readonly patienceMs?: number;
}

export interface Player {
  /** Resolves when every post was answered 2xx; rejects on any other final answer. */
  send(posts: readonly Post[], onSent?: (post: Post) => void): Promise<void>;
  close(): Promise<void>;
}

const concurrency = 8;

export function createPlayer({ url, webhookSecret, clock, ...rest }: PlayerSettings): Player {
  const pool = new Pool(url, { connections: concurrency });
  const patienceMs = rest.patienceMs ?? 30 * secondMs;

  async function sendOne(post: Post): Promise<void> {
    const until = clock.now() + patienceMs;
    for (;;) {
      const answer = await attempt(pool, post, webhookSecret);
      if (answer.status >= 200 && answer.status < 300) return;
      const again = answer.status === 0 || answer.status === 503;
      if (!again || clock.now() > until) {
        throw new Error(`${post.door} answered ${answer.status || "nothing"}: ${answer.text}`);
      }
      await new Promise<void>((resolve) => {
        // Kept alive on purpose: a timer of the clock would let the process end while it waits.
        const timer = setTimeout(resolve, 100);
        timer.ref();
      });
    }
  }

  return {
    send: async (posts, onSent) => {
      let next = 0;
      const lane = async (): Promise<void> => {
        for (let post = posts[next++]; post !== undefined; post = posts[next++]) {
          await sendOne(post);
          onSent?.(post);
        }
      };
      await Promise.all(Array.from({ length: concurrency }, lane));
    },
    close: () => pool.close(),
  };
}

/** One try. Status 0 stands for "nobody there". */
async function attempt(
  pool: Dispatcher,
  post: Post,
  webhookSecret: string,
): Promise<{ status: number; text: string }> {
  const signature = createHmac("sha256", webhookSecret).update(post.body).digest("hex");
  const signed = post.door === "/v1/github/webhook";
  const headers = signed
    ? { ...post.headers, "x-hub-signature-256": `sha256=${signature}` }
    : post.headers;
  try {
    const answer = await pool.request({
      path: post.door,
      method: "POST",
      headers,
      body: post.body,
    });
    return { status: answer.statusCode, text: (await answer.body.text()).slice(0, 300) };
  } catch (error) {
    return { status: 0, text: String(error) };
  }
}
