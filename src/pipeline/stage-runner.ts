/** @module StageRunner: one stage in one process, a task for each partition that comes to it. */

import type { Bus, Consumer } from "../bus/bus.ts";
import type { Clock } from "../clock.ts";
import type { StateStore } from "../state/state.ts";
import type { Telemetry } from "../telemetry.ts";
import type { StageDefinition } from "./stage.ts";
import { Task } from "./task.ts";

export interface StageRunnerSettings {
  readonly definition: StageDefinition;
  readonly bus: Bus;
  readonly states: StateStore;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

const batchMax = 500;

export class StageRunner {
  readonly #settings: StageRunnerSettings;
  readonly #tasks = new Map<number, Task>();
  #consumer: Consumer | undefined;

  constructor(settings: StageRunnerSettings) {
    this.#settings = settings;
  }

  get name(): string {
    return this.#settings.definition.name;
  }

  get whole(): boolean {
    return this.#settings.definition.whole === true;
  }

  async start(): Promise<void> {
    const { bus, definition } = this.#settings;
    this.#consumer = await bus.consume(
      { group: this.name, topics: [definition.topic], whole: this.whole, batchMax },
      {
        assigned: async (_topic, partition) => (await this.#taskOf(partition)).position,
        revoked: (_topic, partition) => this.#revoked(partition),
        batch: async (_topic, partition, records) => {
          await (await this.#taskOf(partition)).batch(records);
        },
      },
    );
  }

  /** Runs what is due now; for a clock that is moved by hand. */
  async tick(): Promise<void> {
    for (const task of this.#tasks.values()) await task.tick();
  }

  /** Partitions that this process has and whose state is open. */
  get partitions(): number {
    return this.#tasks.size;
  }

  /** Records known to wait for this process, and decisions not yet on the bus. */
  backlog(): number {
    let count = 0;
    for (const [partition, task] of this.#tasks) {
      count += (this.#behind(partition) ?? 0) + task.owed;
    }
    return count;
  }

  /** Resolves when all partitions, whoever has them, are handled as far as the bus goes now. */
  async drained(): Promise<void> {
    await this.#consumer?.drained();
    for (const task of this.#tasks.values()) await task.settled();
  }

  async stop(): Promise<void> {
    await this.#consumer?.stop();
    for (const task of this.#tasks.values()) await task.stop();
    this.#tasks.clear();
  }

  #behind(partition: number): number | undefined {
    const consumer = this.#consumer;
    // A consumer knows of nothing that waits before it was told where to begin.
    if (consumer === undefined || !this.#tasks.has(partition)) return undefined;
    return consumer.behind(this.#settings.definition.topic, partition);
  }

  async #taskOf(partition: number): Promise<Task> {
    const open = this.#tasks.get(partition);
    if (open !== undefined) return open;
    const behind = () => this.#behind(partition);
    const task = await Task.open({ ...this.#settings, partition, behind });
    this.#tasks.set(partition, task);
    return task;
  }

  /** Nobody else takes on a partition of one that reads all: its task stays as it is. */
  async #revoked(partition: number): Promise<void> {
    const task = this.#tasks.get(partition);
    if (task === undefined) return;
    if (this.whole) return task.settled();
    this.#tasks.delete(partition);
    await task.stop();
  }
}
