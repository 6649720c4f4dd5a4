/** @module Handing over an intake of which a part may be larger than the bus takes at once. */

import { type Problem, ServiceError } from "../error.ts";
import type { Intake, Rejection } from "./collector.ts";

/** Of what is too large, the dead letters keep this many characters at most. */
export const rawKeptMax = 65_536;

export interface Acceptance {
  /** Resolves when the part is durable; rejects with `body-too-large` if a record is too large. */
  readonly accept: (part: Intake) => Promise<void>;
  /** Where the delivery came in, for the problem of what does not fit. */
  readonly place: string;
}

/**
 * Accepts what fits. What does not becomes a rejection with the beginning of its raw text. Returns
 * the intake as it was accepted; rejects as `accept` does for all other reasons.
 */
export async function acceptWhatFits(intake: Intake, to: Acceptance): Promise<Intake> {
  try {
    await to.accept(intake);
    return intake;
  } catch (error) {
    if (!(error instanceof ServiceError) || error.problem.code !== "body-too-large") throw error;
    const [first, second] = halves(intake);
    if (second === undefined) {
      const cut = { ...intake, events: [], rejections: [cutRejection(first, to, error.problem)] };
      await to.accept(cut);
      return cut;
    }
    const parts = [await acceptWhatFits(first, to), await acceptWhatFits(second, to)];
    const events = parts.flatMap((part) => part.events);
    return { ...intake, events, rejections: parts.flatMap((part) => part.rejections) };
  }
}

/** Events and rejections apart, else the half of them: mostly one is too large among many. */
function halves(intake: Intake): readonly [Intake, Intake?] {
  const { events, rejections } = intake;
  if (events.length + rejections.length < 2) return [intake];
  if (events.length > 0 && rejections.length > 0) {
    return [
      { ...intake, rejections: [] },
      { ...intake, events: [] },
    ];
  }
  const half = Math.ceil(Math.max(events.length, rejections.length) / 2);
  return [
    { ...intake, events: events.slice(0, half), rejections: rejections.slice(0, half) },
    { ...intake, events: events.slice(half), rejections: rejections.slice(half) },
  ];
}

function cutRejection(
  { events, rejections }: Intake,
  { place }: Acceptance,
  { expected }: Problem,
): Rejection {
  const raw = events[0]?.raw ?? rejections[0]?.raw ?? "";
  const kept = raw.slice(0, rawKeptMax).toWellFormed();
  const found = `one that is larger; ${kept.length} of its ${raw.length} characters are kept`;
  const at = rejections[0]?.problem.place ?? place;
  return { problem: { code: "body-too-large", place: at, expected, found }, raw: kept };
}
