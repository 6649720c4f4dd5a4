/** @module The Sink contract: where notices go, and what came of one attempt. */

import type { Notice } from "../alert/alert.ts";

/** The outcome of one attempt. "rejected" is permanent: the same notice would always be refused. */
export type Delivery =
  | { readonly kind: "delivered"; readonly receipt?: string }
  | { readonly kind: "retry"; readonly afterMs?: number; readonly reason: string }
  | { readonly kind: "rejected"; readonly reason: string };

/** One service: encode, send, classify the answer. Timeouts, retries, metrics are the chain's (deliver.ts). */
export interface Sink {
  readonly name: string;
  /** Which notices it takes. */
  readonly wants: (notice: Notice) => boolean;
  /** `signal` ends the attempt. Must honour `notice.key` where the service can. Never throws on a refusal. */
  send(notice: Notice, signal: AbortSignal): Promise<Delivery>;
  close(): Promise<void>;
}
