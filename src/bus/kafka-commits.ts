/**
 * @module The positions a Kafka consumer tells the brokers, one request at a time: for those who
 * watch its lag, and for `drained` of others in its group.
 */

import { realClock, secondMs } from "../clock.ts";
import type { Offset } from "./bus.ts";
import type { KafkaLink, Place } from "./kafka-link.ts";

/** A broker that is away ends the link in the end; one that was busy is asked again. */
const retryMs = secondMs;

export class KafkaCommits {
  readonly #link: () => Pick<KafkaLink, "commit"> | undefined;
  readonly #waiting = new Map<string, Place & { readonly offset: Offset }>();
  /** Grows when the partitions are given up: what is told then is not told again. */
  #round = 0;
  #running: Promise<void> | undefined;
  #cancelRetry: (() => void) | undefined;

  constructor(link: () => Pick<KafkaLink, "commit"> | undefined) {
    this.#link = link;
  }

  /** Only the newest position of a partition is told. */
  add({ topic, partition }: Place, offset: Offset): void {
    this.#waiting.set(`${topic}/${partition}`, { topic, partition, offset });
    this.#start();
  }

  /** The partitions are no longer ours to tell of. */
  forget(): void {
    this.#round++;
    this.#cancelRetry?.();
    this.#waiting.clear();
  }

  /** Resolves when nothing is being told; what could not be told is let go. Never rejects. */
  async settled(): Promise<void> {
    await this.#running;
    this.#cancelRetry?.();
  }

  #start(): void {
    this.#cancelRetry?.();
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    // Later in this turn: what one turn of handlers brings goes into one request.
    await Promise.resolve();
    while (this.#waiting.size > 0) {
      const told = new Map(this.#waiting);
      const round = this.#round;
      this.#waiting.clear();
      try {
        await this.#link()?.commit([...told.values()]);
      } catch {
        // After a new join each position is told afresh.
        if (round !== this.#round) continue;
        for (const [key, position] of told) {
          if (!this.#waiting.has(key)) this.#waiting.set(key, position);
        }
        this.#cancelRetry = realClock.after(retryMs, () => this.#start());
        break;
      }
    }
    this.#running = undefined;
  }
}
