/** @module The service behind the sink: it honours keys, and is not always well. */

import type { Notice } from "../../src/alert/alert.ts";
import { type EpochMs, secondMs } from "../../src/clock.ts";
import type { Delivery, Sink } from "../../src/sink/sink.ts";
import type { Faults } from "./faults.ts";

export interface Try {
  readonly at: EpochMs;
  readonly key: string;
  readonly kind: Notice["kind"];
  readonly incidentId: string;
}

export class Receiver {
  /** Every request that reached it. */
  readonly tries: Try[] = [];
  /** What it shows people: one for each key, as it came first. */
  readonly taken = new Map<string, Notice>();
  readonly #faults: Faults;
  readonly #now: () => EpochMs;

  constructor(faults: Faults, now: () => EpochMs) {
    this.#faults = faults;
    this.#now = now;
  }

  get pages(): readonly Notice[] {
    return [...this.taken.values()].filter(({ kind }) => kind === "page");
  }

  sink(): Sink {
    return {
      name: "receiver",
      wants: () => true,
      send: (notice, signal) => this.#receive(notice, signal),
      close: async () => undefined,
    };
  }

  #receive(notice: Notice, signal: AbortSignal): Promise<Delivery> {
    const { key, kind } = notice;
    this.tries.push({ at: this.#now(), key, kind, incidentId: notice.incident.id });
    if (!this.#faults.strikes("sink")) return this.#take(notice);
    const random = this.#faults.random("sink");
    const answer = random.pick(["busy", "broken", "silent", "lost", "lost"] as const);
    this.#faults.note(`sink: ${answer} ${kind} ${key}`);
    switch (answer) {
      case "busy": {
        const afterMs = random.between(1, 40) * secondMs;
        return Promise.resolve({ kind: "retry", afterMs, reason: "HTTP 429" });
      }
      case "broken":
        return Promise.resolve({ kind: "retry", reason: "HTTP 500" });
      case "lost":
        void this.#take(notice);
        return silence(signal);
      case "silent":
        return silence(signal);
      default:
        return answer satisfies never;
    }
  }

  async #take(notice: Notice): Promise<Delivery> {
    if (!this.taken.has(notice.key)) this.taken.set(notice.key, notice);
    return { kind: "delivered" };
  }
}

/** No answer until the caller gives up. */
function silence(signal: AbortSignal): Promise<Delivery> {
  return new Promise((resolve) => {
    const end = () => resolve({ kind: "retry", reason: "no answer" });
    if (signal.aborted) end();
    else signal.addEventListener("abort", end);
  });
}
