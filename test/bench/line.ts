/** @module One measured number, as every bench reports it. */

export interface BenchLine {
  /** What was measured, in words that stay the same from run to run. */
  readonly metric: string;
  readonly value: number;
  /** `events/s`, `ms`, `bytes`, … */
  readonly unit: string;
  /** What the number is to be held against: a goal, or the same on another system. */
  readonly against?: string;
}
