/**
 * @module The only place that knows what time it is. Everything else is given a time or a Clock.
 */

/** Milliseconds since 1970-01-01T00:00:00Z. */
export type EpochMs = number;

export const secondMs = 1_000;
export const minuteMs = 60 * secondMs;
export const hourMs = 60 * minuteMs;
export const dayMs = 24 * hourMs;

/** Before attempt 0, 1, 2, …: `min`, twice as long each time, and `max` in the end. */
export function growingMs(
  attempt: number,
  { min, max }: { readonly min: number; readonly max: number },
): number {
  return Math.min(max, min * 2 ** Math.min(attempt, 10));
}

/** Tells the time and wakes callers later. Every timer of the service goes through one of these. */
export interface Clock {
  now(): EpochMs;
  /** Calls `act` once after `delayMs`; the returned function takes the promise back. */
  after(delayMs: number, act: () => void): () => void;
}

/** The machine's clock. Its timers do not keep the process alive. */
export const realClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, act) => {
    const timer = setTimeout(act, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** A clock that moves only when told: for tests and for `replay`. */
export class VirtualClock implements Clock {
  #now: EpochMs;
  #next = 0;
  readonly #timers = new Map<number, { at: EpochMs; act: () => void }>();

  constructor(start: EpochMs = 0) {
    this.#now = start;
  }

  now(): EpochMs {
    return this.#now;
  }

  after(delayMs: number, act: () => void): () => void {
    const id = this.#next++;
    this.#timers.set(id, { at: this.#now + Math.max(0, delayMs), act });
    return () => this.#timers.delete(id);
  }

  /** Moves to `time` (never back), running the timers due on the way in order of their time. */
  advanceTo(time: EpochMs): void {
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= time);
      due.sort(([a, left], [b, right]) => left.at - right.at || a - b);
      const first = due[0];
      if (first === undefined) break;
      const [id, timer] = first;
      this.#timers.delete(id);
      this.#now = Math.max(this.#now, timer.at);
      timer.act();
    }
    this.#now = Math.max(this.#now, time);
  }

  advance(durationMs: number): void {
    this.advanceTo(this.#now + durationMs);
  }
}
