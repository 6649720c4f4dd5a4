/**
 * @module The builds that a process knows: one table for all its detect tasks, fed by the topic and
 * at once by their own events.
 */

import type { Clock, EpochMs } from "../clock.ts";
import type { BuildFact, BuildTable, Changes } from "../enrichment/enrichment.ts";
import { isProblem } from "../event/codec.ts";
import type { State } from "../state/state.ts";
import type { Emit } from "../telemetry.ts";
import { evictionTeller } from "./evictions.ts";
import { Pace } from "./pace.ts";
import { readRecord, setAsideRecord } from "./records.ts";
import type { Stage, StageDefinition } from "./stage.ts";

/** What the table learned elsewhere and one detect task has not looked at yet. */
export interface BuildNews {
  /**
   * The changes since the last call, oldest first; "many" when there were too many to keep, and
   * everything that waits is to be looked at.
   */
  take(): readonly Changes[] | "many";
  close(): void;
}

const newsMax = 1_000;

class Queue implements BuildNews {
  readonly wake: () => void;
  readonly close: () => void;
  #changes: Changes[] = [];
  #many = false;

  constructor(wake: () => void, close: (queue: Queue) => void) {
    this.wake = wake;
    this.close = () => close(this);
  }

  /** Everything may be another than before. */
  addAll(): void {
    this.#many = true;
    this.wake();
  }

  add(changes: Changes): void {
    if (this.#changes.length < newsMax) this.#changes.push(changes);
    else this.#many = true;
    this.wake();
  }

  take(): readonly Changes[] | "many" {
    const taken = this.#many ? "many" : this.#changes;
    this.#changes = [];
    this.#many = false;
    return taken;
  }
}

export interface SharedBuildsSettings {
  readonly make: (state: State) => BuildTable;
  readonly emit: Emit;
  readonly clock: Clock;
}

/** One per process. Its stage must be started, and have caught up, before those that join. */
export class SharedBuilds {
  readonly #settings: SharedBuildsSettings;
  readonly #queues = new Set<Queue>();
  readonly #loaded = Promise.withResolvers<void>();
  /** Of the tasks that bring facts: those that detect, and the one that reads the topic. */
  readonly pace: Pace;
  #table: BuildTable | undefined;

  constructor(settings: SharedBuildsSettings) {
    this.#settings = settings;
    this.pace = new Pace(settings.clock);
  }

  /**
   * A stage over the table: made again when that is another one, so that it does not go on asking
   * one that learns nothing any more.
   */
  over(make: (table: BuildTable) => Stage): Stage {
    let table = this.table;
    let stage = make(table);
    const current = (): Stage => {
      if (table === this.table) return stage;
      table = this.table;
      stage = make(table);
      return stage;
    };
    return {
      apply: (records) => current().apply(records),
      tick: (now) => current().tick?.(now) ?? [],
      nextTick: () => current().nextTick?.(),
    };
  }

  get table(): BuildTable {
    if (this.#table === undefined) throw new TypeError("the builds are not loaded yet");
    return this.#table;
  }

  /** Resolves once the table is there, as it was saved. */
  get loaded(): Promise<void> {
    return this.#loaded.promise;
  }

  subscribe(wake: () => void): BuildNews {
    const queue = new Queue(wake, (closed) => this.#queues.delete(closed));
    this.#queues.add(queue);
    return queue;
  }

  /** Takes a fact in; answers what changed. All tasks but the one that asks hear of it. */
  learn(fact: BuildFact, now: EpochMs, asking?: BuildNews): Changes {
    const changes = this.table.learn(fact, now);
    if (changes.empty) return changes;
    for (const queue of this.#queues) if (queue !== asking) queue.add(changes);
    return changes;
  }

  /**
   * Reads all of `builds`, in every process. A batch that fails is not taken back: what it told is
   * true all the same, and learned again it changes nothing.
   */
  definition(): StageDefinition {
    const { make, emit } = this.#settings;
    const { pace } = this;
    return {
      name: "builds",
      topic: "builds",
      whole: true,
      open: ({ state, time }) => {
        const table = make(state);
        const unfollow = pace.follow(time);
        this.#table = table;
        this.#loaded.resolve();
        // Opened again, after another opening or a save of which nobody knows the outcome.
        for (const queue of this.#queues) queue.addAll();
        const tellEvicted = evictionTeller(emit, () => table.counts());
        const stage: Stage = {
          apply: (records) => {
            const out = records.flatMap((record) => {
              const fact = readRecord("builds", record);
              if (isProblem(fact)) return [setAsideRecord(record, fact)];
              this.learn(fact, record.appendedAt);
              return [];
            });
            tellEvicted();
            return out;
          },
        };
        return { make: () => stage, stop: async () => void unfollow() };
      },
      keepsFailed: true,
    };
  }
}
