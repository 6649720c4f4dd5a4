/**
 * @module How far all the tasks have come that bring facts of builds: one of them that catches up
 * faster than the others must not take a fact for missing that they have yet to read.
 */

import { type Clock, type EpochMs, minuteMs, secondMs } from "../clock.ts";

/** See `TaskParts.time`. */
export type TimeOf = () => EpochMs | undefined;

/** One that stays so long at one time is not waited for: its partition cannot be read, it seems. */
const stillMsMax = 5 * minuteMs;
/**
 * One that has been behind the others for so long is not waited for either, though it moves: what
 * they hold is late enough.
 */
const laggingMsMax = 10 * minuteMs;
/** That much behind the first one is not behind. */
const besideMs = 30 * secondMs;
/** One that has left may be on its way back, with a state opened anew. */
const leavingMs = 10 * secondMs;
/** Between two questions more time may pass than this only when nobody was running. */
const askedMsMax = 10 * secondMs;

interface Source {
  readonly time: TimeOf;
  at: EpochMs | undefined;
  /** For how long it has been at that time, while it was asked for. */
  stillMs: number;
  /** For how long it has been behind the others, while it was asked for. */
  laggingMs: number;
  /** Not waited for after this. */
  until: EpochMs;
}

/** Of the tasks of one process. */
export class Pace {
  readonly #clock: Clock;
  readonly #sources = new Set<Source>();
  #askedAt: EpochMs;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#askedAt = clock.now();
  }

  /** From now on it is waited for, until shortly after the answered function is called. */
  follow(time: TimeOf): () => void {
    const source: Source = {
      ...{ time, at: undefined, stillMs: 0, laggingMs: 0, until: Number.POSITIVE_INFINITY },
    };
    this.#sources.add(source);
    return () => {
      source.until = this.#clock.now() + leavingMs;
    };
  }

  /** The time that all have come to; Infinity when nobody is waited for. */
  reached(): EpochMs {
    const now = this.#clock.now();
    const passedMs = Math.min(askedMsMax, now - this.#askedAt);
    this.#askedAt = now;
    const before = Number.NEGATIVE_INFINITY;
    let first = before;
    for (const source of this.#sources) {
      if (source.until <= now) {
        this.#sources.delete(source);
        continue;
      }
      const at = source.time();
      source.stillMs = at === source.at ? source.stillMs + passedMs : 0;
      source.at = at;
      first = Math.max(first, at ?? before);
    }
    let reached = Number.POSITIVE_INFINITY;
    for (const source of this.#sources) {
      const at = source.at ?? before;
      source.laggingMs = at < first - besideMs ? source.laggingMs + passedMs : 0;
      const isWaitedFor = source.stillMs < stillMsMax && source.laggingMs < laggingMsMax;
      if (isWaitedFor) reached = Math.min(reached, at);
    }
    return reached;
  }
}
