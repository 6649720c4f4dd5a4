/** @module One measured number, as every bench reports it, and how it is printed. */

import { cpus, loadavg } from "node:os";

export interface BenchLine {
  /** What was measured, in words that stay the same from run to run. */
  readonly metric: string;
  readonly value: number;
  /** `events/s`, `ms`, `bytes`, … */
  readonly unit: string;
  /** What the number is to be held against: a goal, or the same on another system. */
  readonly against?: string;
}

/** `line` for people, its metric `width` columns wide. */
export function lineText({ metric, value, unit, against }: BenchLine, width: number): string {
  const shown = value >= 100 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3);
  const beside = against === undefined ? "" : `  (against ${against})`;
  return `${metric.padEnd(width)} ${shown.padStart(12)} ${unit}${beside}`;
}

/** What figures are to be read with: the version of Node and the processors. */
export function machineText(): string {
  const [cpu] = cpus();
  return `Node ${process.version}, ${cpus().length} × ${cpu?.model ?? "unknown processor"}`;
}

/** How busy the machine is with other things. */
export function loadText(): string {
  return `Load of the machine before the run: ${loadavg()[0]?.toFixed(2)}`;
}
