/** @module When a refused attempt is tried again, and when no more. Pure. */

import { createHash } from "node:crypto";
import { hourMs, minuteMs, secondMs } from "../clock.ts";

/** Waits after the first, second, … failed try; the last one repeats. */
const backoffMs = [
  secondMs,
  5 * secondMs,
  30 * secondMs,
  2 * minuteMs,
  10 * minuteMs,
  30 * minuteMs,
  hourMs,
];
export const waitMsMax: number = hourMs;

/** A promise older than this is not tried again. */
export const giveUpMs: number = 24 * hourMs;

/**
 * How long to wait after try number `tries` (1 for the first) of `key`: the schedule spread by ± 20
 * %, never less than the service asked for (`afterMs`), and never more than an hour, whoever asks.
 * The spread comes from the key, so that a burst of notices does not come back as a burst and a
 * test can foresee it.
 */
export function waitMs(key: string, tries: number, afterMs = 0): number {
  const step = backoffMs[Math.min(tries, backoffMs.length) - 1] ?? secondMs;
  const hash = createHash("sha256").update(`${key}\u0000${tries}`).digest().readUInt32BE(0);
  const spread = 0.8 + 0.4 * (hash / 0xffff_ffff);
  const asked = Number.isFinite(afterMs) ? afterMs : waitMsMax;
  return Math.min(waitMsMax, Math.max(Math.round(step * spread), asked));
}
