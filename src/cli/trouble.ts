/**
 * @module What goes wrong on the bus while the service runs: logged, shown by /readyz, and in the
 * end a reason to restart.
 */

import type { BusTrouble } from "../bus/bus.ts";
import { type Clock, type EpochMs, minuteMs } from "../clock.ts";
import { ServiceError, shown, UnavailableError } from "../error.ts";
import type { Telemetry } from "../telemetry.ts";

export interface TroubleSettings {
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  /** A bus in files that has failed does not come back; brokers do. */
  readonly fatal: boolean;
}

/** A broker that comes up, or a partition that moves, is told of by every partition there is. */
const passingMs = minuteMs;

export class Trouble {
  readonly #settings: TroubleSettings;
  readonly #standing = new Set<string>();
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
    const { telemetry, fatal } = this.#settings;
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
    if (retryAfterMs === undefined) this.#standing.add(`${place} stands still: ${reason}`);
    if (fatal && codeOf(error) === "bus-unavailable") this.#break(reason);
  }

  /** What keeps the service from doing its work; [] when nothing does. */
  reasons(): readonly string[] {
    return [...this.#standing, ...this.#losses.values()];
  }

  /** One warning tells of what all partitions meet; the others are there to be looked for. */
  #passing(): "warn" | "debug" {
    const now = this.#settings.clock.now();
    if (this.#passingAt !== undefined && now - this.#passingAt < passingMs) return "debug";
    this.#passingAt = now;
    return "warn";
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof ServiceError ? error.problem.code : undefined;
}

/** Of what the service stands on, and nothing that is wrong with a record or with us. */
function isPassing(error: unknown): boolean {
  const code = codeOf(error);
  const unavailable = code === "bus-unavailable" || code === "state-unavailable";
  return unavailable || error instanceof UnavailableError;
}
