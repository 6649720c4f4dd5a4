/**
 * @module What goes wrong on the bus while the service runs: logged, shown by /readyz, and in the
 * end a reason to restart.
 */

import type { BusTrouble } from "../bus/bus.ts";
import { type Clock, type EpochMs, minuteMs } from "../clock.ts";
import { codeOf, isPassing, type ProblemCode, shown } from "../error.ts";
import type { Telemetry } from "../telemetry.ts";

export interface TroubleSettings {
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  /** A bus in files that has failed does not come back; brokers do. */
  readonly fatal: boolean;
}

/** A broker that comes up, or a partition that moves, is told of by every partition there is. */
const passingMs = minuteMs;

/** Tried again all the same: a file may be put back, a setting of the brokers changed. */
const standingCodes: ReadonlySet<ProblemCode> = new Set([
  "state-corrupt",
  "state-too-large",
  "bus-corrupt",
  "config-invalid",
]);
/** Met again by then, or it is over: a state that is large takes a while to read. */
const metAgainMs = 2 * minuteMs;

export class Trouble {
  readonly #settings: TroubleSettings;
  /** What is met each time something is tried, by place; over at `until`. */
  readonly #standing = new Map<string, { readonly reason: string; readonly until: EpochMs }>();
  /** The latest loss by place, told until the restart: who asks must not take it from others. */
  readonly #losses = new Map<string, string>();
  readonly #break: (reason: string) => void;
  #passingAt: EpochMs | undefined;
  /** Resolves with the reason when the service must be started again. */
  readonly broken: Promise<string>;

  constructor(settings: TroubleSettings) {
    this.#settings = settings;
    const { promise, resolve } = Promise.withResolvers<string>();
    this.broken = promise;
    this.#break = resolve;
  }

  hear({ group, topic, partition, error, retryAfterMs, lost }: BusTrouble): void {
    const { telemetry, clock, fatal } = this.#settings;
    const place = `${group}: ${topic}/${partition}`;
    const reason = shown(error instanceof Error ? error.message : String(error), 300);
    if (lost !== undefined) {
      telemetry.emit.evicted({ what: topic, reason: "retention", count: lost });
      telemetry.log.error({ place, reason, lost }, "records went before they were handled");
      this.#losses.set(place, `${place} lost records to retention: ${reason}`);
      return;
    }
    const level = retryAfterMs !== undefined && isPassing(error) ? this.#passing() : "error";
    telemetry.log[level]({ place, reason, retryAfterMs }, "records could not be handled");
    if (retryAfterMs === undefined || standsStill(error)) {
      const until = clock.now() + (retryAfterMs ?? Number.POSITIVE_INFINITY) + metAgainMs;
      this.#stands(place, { reason: `${place} stands still: ${reason}`, until });
    }
    if (fatal && codeOf(error) === "bus-unavailable") this.#break(reason);
  }

  /** What keeps the service from doing its work; [] when nothing does. */
  reasons(): readonly string[] {
    const now = this.#settings.clock.now();
    for (const [place, { until }] of this.#standing) if (until <= now) this.#standing.delete(place);
    const standing = [...this.#standing.values()].map(({ reason }) => reason);
    return [...standing, ...this.#losses.values()];
  }

  /** What stands until the restart is not over because something else is met after it. */
  #stands(place: string, met: { readonly reason: string; readonly until: EpochMs }): void {
    const earlier = this.#standing.get(place);
    if (earlier === undefined || earlier.until <= met.until) this.#standing.set(place, met);
  }

  /** One warning tells of what all partitions meet; the others are there to be looked for. */
  #passing(): "warn" | "debug" {
    const now = this.#settings.clock.now();
    if (this.#passingAt !== undefined && now - this.#passingAt < passingMs) return "debug";
    this.#passingAt = now;
    return "warn";
  }
}

/** It, or what it comes from, is not put right by trying again. */
function standsStill(error: unknown): boolean {
  const code = codeOf(error);
  if (code !== undefined) return standingCodes.has(code);
  return error instanceof Error && error.cause !== undefined && standsStill(error.cause);
}
