/**
 * @module Waiting for a log to answer: attempts with growing pauses until the time is up or the
 * store closes, and what to say then.
 */

import { type Clock, growingMs, secondMs } from "../clock.ts";
import { ServiceError, shown } from "../error.ts";
import type { PartitionLog } from "./kafka-batch.ts";

export interface OwnerSettings {
  readonly log: PartitionLog;
  /** Names the log in problems. */
  readonly place: string;
  /** Says in the log, for people, who owns it. */
  readonly owner: string;
  readonly clock: Clock;
  /** How long an answer of the log is waited for, over all attempts. */
  readonly answerMsMax: number;
  /** Aborted when the store closes. */
  readonly closing: AbortSignal;
}

const pauseMs = { min: 50, max: 2 * secondMs };

/** Calls until it succeeds or the time is up; what is corrupt is not asked for again. */
export async function insisted<T>(settings: OwnerSettings, act: () => Promise<T>): Promise<T> {
  const until = settings.clock.now() + settings.answerMsMax;
  for (let attempt = 0; ; attempt++) {
    try {
      return await act();
    } catch (error) {
      if (error instanceof ServiceError) throw error;
      if (settings.closing.aborted || settings.clock.now() >= until) {
        throw unanswered(settings.place, error);
      }
    }
    await pause(settings, attempt);
  }
}

/** Growing with the attempts; ends at once when the store closes. */
export async function pause({ clock, closing }: OwnerSettings, attempt: number): Promise<void> {
  if (closing.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = () => resolve();
  const cancel = clock.after(growingMs(attempt, pauseMs), end);
  closing.addEventListener("abort", end);
  await promise;
  closing.removeEventListener("abort", end);
  cancel();
}

export function unavailable(
  place: string,
  expected: string,
  found: string,
  cause?: unknown,
): ServiceError {
  const problem = { code: "state-unavailable", place, expected, found } as const;
  return new ServiceError(problem, { cause });
}

export function textOf(error: unknown): string {
  return shown(error instanceof Error ? error.message : String(error), 200);
}

/** For an error of the client: no broker has answered, or not as one should. */
export function unanswered(place: string, error: unknown): ServiceError {
  if (error instanceof ServiceError) return error;
  return unavailable(place, "brokers that answer", textOf(error), error);
}
