/** @module What begins behind the start, once what it stands on is there. */

import { type Clock, secondMs } from "../clock.ts";
import { isPassing, shown } from "../error.ts";
import type { Telemetry } from "../telemetry.ts";

export interface BeginningSettings {
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** What is waited for, as people read it: "builds are being read". */
  readonly waitsFor: string;
  /** May take for ever. */
  readonly ready: () => Promise<void>;
  readonly begin: () => Promise<void>;
}

/** Brokers that did not answer are asked again. */
const againMs = secondMs;

export class Beginning {
  readonly #settings: BeginningSettings;
  readonly #stopped = Promise.withResolvers<void>();
  #stopping = false;
  #waiting: string | undefined;
  /** Resolves once it has begun, or was stopped before; rejects when it never will. */
  readonly done: Promise<void>;

  constructor(settings: BeginningSettings) {
    this.#settings = settings;
    this.#waiting = settings.waitsFor;
    this.done = this.#run();
    // For those who ask; `waiting` tells of it too.
    this.done.catch(() => undefined);
  }

  /** What it waits for, or why it will never begin; undefined once it has. */
  get waiting(): string | undefined {
    return this.#waiting;
  }

  /** Resolves when it has begun or never will. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#stopped.resolve();
    await this.done.catch(() => undefined);
  }

  async #run(): Promise<void> {
    const { telemetry, ready, begin } = this.#settings;
    while (!this.#stopping) {
      try {
        await Promise.race([ready(), this.#stopped.promise]);
        if (this.#stopping) return;
        await begin();
        this.#waiting = undefined;
        return;
      } catch (error) {
        const reason = shown(error instanceof Error ? error.message : String(error), 300);
        telemetry.log.error({ reason }, "a stage could not begin");
        this.#waiting = `${this.#settings.waitsFor}: ${reason}`;
        if (!isPassing(error)) throw error;
        await this.#pause();
      }
    }
  }

  async #pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#settings.clock.after(againMs, resolve);
    await Promise.race([promise, this.#stopped.promise]);
    cancel();
  }
}
