/**
 * @module The Midnight Commit, played through a running service's doors. It knows the input alone:
 * what comes of it is read from the service's API, as anyone would.
 */

import { request } from "undici";
import type { Clock } from "../clock.ts";
import type { Post } from "./feeds.ts";
import { blobPost, environmentRead, history, imagePulls } from "./midnight-commit.ts";
import { createPlayer } from "./player.ts";

export interface Play {
  /** Three weeks up to tonight's build. Resolves with the number of records sent. */
  history(onSent?: (sent: number, of: number) => void): Promise<number>;
  /** Resolves once the service has worked through what it was sent; rejects after `waitMs`. */
  caughtUp(waitMs: number): Promise<void>;
  /** The environment read and the POST. Resolves with the time at which the POST was sent off. */
  theft(): Promise<number>;
  /** The stolen credential at work. */
  aftermath(): Promise<void>;
  /** Whatever the API answers at this path, as parsed JSON; undefined when it is not there. */
  read(path: string): Promise<unknown>;
  close(): Promise<void>;
}

export interface PlaySettings {
  readonly url: string;
  readonly webhookSecret: string;
  readonly clock: Clock;
}

export function createPlay(settings: PlaySettings): Play {
  const { url, clock } = settings;
  const player = createPlayer(settings);

  async function read(path: string): Promise<unknown> {
    const answer = await request(new URL(path, url));
    const body = await answer.body.text();
    return answer.statusCode === 200 ? JSON.parse(body) : undefined;
  }

  return {
    history: async (onSent) => {
      const posts = history(clock.now());
      const total = countRecords(posts);
      let sent = 0;
      await player.send(posts, ({ records }) => {
        sent += records;
        onSent?.(sent, total);
      });
      return total;
    },
    caughtUp: async (waitMs) => {
      const end = clock.now() + waitMs;
      for (;;) {
        const ready = (await read("/readyz")) as { backlog: Record<string, number> } | undefined;
        const behind = Object.values(ready?.backlog ?? { unready: 1 });
        if (behind.every((count) => count === 0)) return;
        if (clock.now() > end) throw new Error(`the service is still behind: ${behind.join(", ")}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    theft: async () => {
      await player.send([environmentRead(clock.now())]);
      const at = clock.now();
      await player.send([blobPost(at)]);
      return at;
    },
    aftermath: () => player.send(imagePulls(clock.now())),
    read,
    close: () => player.close(),
  };
}

function countRecords(posts: readonly Post[]): number {
  return posts.reduce((sum, { records }) => sum + records, 0);
}
