/** @module What kafkajs 2.2.4 gets wrong inside its connections, put right from outside. */

import { AsyncLocalStorage } from "node:async_hooks";
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
  watchedProduces(load("kafkajs/src/broker/index.js"));
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
  const connecting = new WeakMap<Connection, Promise<boolean>>();
  prototype.connect = function (this: Connection): Promise<boolean> {
    // Each request that finds its connection down connects it: those at once would open a socket
    // each, and whichever gave up would disconnect the one that serves.
    const begun = connecting.get(this);
    if (begun !== undefined) return begun;
    if (!this.isConnected()) {
      this.socket?.removeAllListeners("data");
      this.socket?.destroy();
      this.chunks = [];
      this.bytesBuffered = 0;
      this.bytesNeeded = lengthBytes;
    }
    const end = () => connecting.delete(this);
    const connected = connect.call(this).finally(end);
    connecting.set(this, connected);
    // A handshake that is broken off settles nothing.
    this.socket?.once("close", end);
    return connected;
  };
}

/** What became of the requests of one send. */
export interface SendWatch {
  /** `topic/partition` whose records a broker has acknowledged. */
  readonly acknowledged: Set<string>;
  readonly requests: Promise<unknown>[];
}

/** Whose send it is that a request belongs to. */
const watches = new AsyncLocalStorage<SendWatch>();

/**
 * Runs one send of kafkajs, and settles when each of its requests has: kafkajs rejects with the
 * first that fails, and its next send would meet those that are still on their way. A send that
 * kafkajs calls done is done only where `acknowledged` says so: it counts an answer by its broker,
 * and leaves out the records of a partition that has moved to a broker that has answered before.
 */
export async function watchSend(watch: SendWatch, send: () => Promise<unknown>): Promise<void> {
  try {
    await watches.run(watch, send);
  } finally {
    await Promise.allSettled(watch.requests);
  }
}

/** The part of kafkajs's Broker that sends records. */
interface Broker {
  produce(request: ProduceRequest): Promise<unknown>;
}

interface ProduceRequest {
  readonly topicData: readonly {
    readonly topic: string;
    readonly partitions: readonly { readonly partition: number | string }[];
  }[];
}

function watchedProduces({ prototype }: { readonly prototype: Broker }): void {
  const produce = prototype.produce;
  prototype.produce = function (this: Broker, request: ProduceRequest): Promise<unknown> {
    const watch = watches.getStore();
    const answer = produce.call(this, request).then((response) => {
      for (const { topic, partitions } of request.topicData) {
        for (const { partition } of partitions) watch?.acknowledged.add(`${topic}/${partition}`);
      }
      return response;
    });
    watch?.requests.push(answer);
    return answer;
  };
}
