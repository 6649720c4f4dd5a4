/**
 * @module Sink, Delivery, DeliveryStatus: the contract and plain data of this folder. Its front
 * door, sink.ts, re-exports them.
 */

import type { Notice } from "../alert/alert.ts";
import type { EpochMs } from "../clock.ts";

/** The outcome of one attempt. "rejected" is permanent: the same notice would always be refused. */
export type Delivery =
  | { readonly kind: "delivered"; readonly receipt?: string }
  | { readonly kind: "retry"; readonly afterMs?: number; readonly reason: string }
  | { readonly kind: "rejected"; readonly reason: string };

/**
 * One service: encode, send, classify the answer. Timeouts, retries, metrics are the chain's
 * (deliver.ts).
 */
export interface Sink {
  readonly name: string;
  /** Which notices it takes. */
  readonly wants: (notice: Notice) => boolean;
  /**
   * `signal` ends the attempt. Must honour `notice.key` where the service can. Never throws on a
   * refusal.
   */
  send(notice: Notice, signal: AbortSignal): Promise<Delivery>;
  close(): Promise<void>;
}

/** How far one promised notice has come at one sink: what the API shows of the outbox. */
export interface DeliveryStatus {
  readonly noticeKey: string;
  readonly sink: string;
  readonly incidentId: string;
  readonly kind: Notice["kind"];
  /**
   * "superseded": a newer update of the same incident took its place. "rejected" has its reason.
   */
  readonly status: "pending" | "delivered" | "rejected" | "superseded";
  /** Tries that ended in "retry". */
  readonly retries: number;
  readonly promisedAt: EpochMs;
  /** When a pending one is tried next. */
  readonly dueAt: EpochMs;
  /** When it stopped being pending. */
  readonly settledAt?: EpochMs;
  /** Of the last retry, or why it was rejected or superseded. */
  readonly reason?: string;
  /** What the sink gave as its proof of delivery. */
  readonly receipt?: string;
}
