/**
 * @module The positions a Kafka consumer tells the brokers, one request at a time: for those who
 * watch its lag, and for `drained` of others in its group.
 */

import type { Offset } from "./bus.ts";
import type { KafkaLink, Place } from "./kafka-link.ts";

export class KafkaCommits {
  readonly #link: () => KafkaLink | undefined;
  readonly #waiting = new Map<string, Place & { readonly offset: Offset }>();
  #running: Promise<void> | undefined;

  constructor(link: () => KafkaLink | undefined) {
    this.#link = link;
  }

  /** Only the newest position of a partition is told. */
  add({ topic, partition }: Place, offset: Offset): void {
    this.#waiting.set(`${topic}/${partition}`, { topic, partition, offset });
    this.#running ??= this.#run();
  }

  /** The partitions are no longer ours to tell of. */
  forget(): void {
    this.#waiting.clear();
  }

  /** Resolves when nothing is being told. Never rejects. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // Later in this turn: what one turn of handlers brings goes into one request.
    await Promise.resolve();
    while (this.#waiting.size > 0) {
      const told = new Map(this.#waiting);
      this.#waiting.clear();
      try {
        await this.#link()?.commit([...told.values()]);
      } catch {
        // Goes with the next; after a new join each position is told afresh.
        for (const [key, position] of told) {
          if (!this.#waiting.has(key)) this.#waiting.set(key, position);
        }
        break;
      }
    }
    this.#running = undefined;
  }
}
