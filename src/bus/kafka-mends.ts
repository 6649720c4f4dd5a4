/** @module What kafkajs 2.2.4 gets wrong inside its connections, put right from outside. */

import { createRequire } from "node:module";
import type { Socket } from "node:net";
import { realClock } from "../clock.ts";

let mended = false;

/** Once for the process: kafkajs offers no hook there. */
export function mendKafkajs(): void {
  if (mended) return;
  mended = true;
  const load = createRequire(import.meta.url);
  quietRequestQueue(load("kafkajs/src/network/requestQueue/index.js"));
  freshConnections(load("kafkajs/src/network/connection.js"));
}

/** The part of kafkajs's RequestQueue that runs its timer. */
interface RequestQueue {
  readonly pending: readonly unknown[];
  readonly throttledUntil: number;
  scheduleCheckPendingRequests(): void;
}

/**
 * It arms a timer of a millisecond, or less than none, for each connection for ever: the larger
 * part of its idle load. With nothing pending and no throttle there is nothing to check; the next
 * request arms it again.
 */
function quietRequestQueue({ prototype }: { readonly prototype: RequestQueue }): void {
  const schedule = prototype.scheduleCheckPendingRequests;
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue): void {
    if (this.pending.length === 0 && this.throttledUntil <= realClock.now()) return;
    schedule.call(this);
  };
}

/** The part of kafkajs's Connection that puts answers together from what arrives. */
interface Connection {
  socket: Socket | undefined;
  chunks: Buffer[];
  bytesBuffered: number;
  bytesNeeded: number;
  isConnected(): boolean;
  connect(): Promise<boolean>;
}

/** Each answer begins with its length. */
const lengthBytes = 4;

/**
 * What has arrived of an answer outlives the socket it came from. Cut in the midst of one, the
 * connection took the first answers of its next socket for the rest of it, and understood nothing
 * from there on, however often it connected.
 */
function freshConnections({ prototype }: { readonly prototype: Connection }): void {
  const connect = prototype.connect;
  prototype.connect = function (this: Connection): Promise<boolean> {
    if (!this.isConnected()) {
      this.socket?.removeAllListeners("data");
      this.socket?.destroy();
      this.chunks = [];
      this.bytesBuffered = 0;
      this.bytesNeeded = lengthBytes;
    }
    return connect.call(this);
  };
}
