/**
 * @module One attempt, and the small wrappers around it: guard, timeout, count. The sink itself
 * stays innermost.
 */

import { type Clock, type EpochMs, secondMs } from "../clock.ts";
import { shown } from "../error.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Delivery, Sink } from "./model.ts";
import type { PendingRow } from "./outbox.ts";

/** Tries one row once. Never rejects. */
export type Attempt = (row: PendingRow, signal: AbortSignal) => Promise<Delivery>;

/**
 * The sink's own send; a sink that throws has a fault of its own, and the notice is tried again.
 */
export function guarded(sink: Sink): Attempt {
  return async (row, signal) => {
    try {
      return await sink.send(row.notice, signal);
    } catch (error) {
      return { kind: "retry", reason: `the sink failed: ${shown(String(error), 200)}` };
    }
  };
}

/**
 * Ends an attempt after `timeoutMs`, or when `signal` aborts, even when the sink does not listen to
 * its signal.
 */
export function timed(attempt: Attempt, clock: Clock, timeoutMs: number): Attempt {
  return (row, signal) => {
    const { promise, resolve } = Promise.withResolvers<Delivery>();
    const controller = new AbortController();
    const end = (delivery: Delivery) => {
      cancelTimer();
      signal.removeEventListener("abort", stopped);
      resolve(delivery);
    };
    const cut = (reason: string) => {
      end({ kind: "retry", reason });
      controller.abort();
    };
    const stopped = () => cut("the service stopped");
    const cancelTimer = clock.after(timeoutMs, () => cut(`no answer within ${timeoutMs} ms`));
    if (signal.aborted) stopped();
    else signal.addEventListener("abort", stopped);
    void attempt(row, controller.signal).then(end);
    return promise;
  };
}

/** Counts each try and how long it took. */
export function counted(attempt: Attempt, clock: Clock, telemetry: Telemetry): Attempt {
  const secondsSince = (start: EpochMs) => (clock.now() - start) / secondMs;
  return async (row, signal) => {
    const start = clock.now();
    const delivery = await attempt(row, signal);
    const { sink } = row;
    telemetry.emit.deliverySeconds({ sink, seconds: secondsSince(start) });
    if (delivery.kind === "retry") telemetry.emit.deliveries({ sink, outcome: "retry" });
    if (delivery.kind === "delivered" && row.kind === "page") {
      const receivedAt = row.notice.createdAt - row.notice.latencyMs;
      telemetry.emit.receiveToDeliverySeconds({ sink, seconds: secondsSince(receivedAt) });
    }
    return delivery;
  };
}
