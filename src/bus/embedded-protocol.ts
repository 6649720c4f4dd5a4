/** @module What the embedded bus and its thread say to each other. */

import { type Problem, ServiceError, shown } from "../error.ts";
import type { FileRange, FileTrim, StreamExtent } from "./embedded-file.ts";
import type { Chunk } from "./frame.ts";

/** To the thread. It answers every request once, in order. */
export type ThreadRequest =
  | { readonly kind: "append"; readonly id: number; readonly chunks: readonly Chunk[] }
  | { readonly kind: "read"; readonly id: number; readonly range: FileRange }
  | { readonly kind: "trim"; readonly id: number; readonly trim: FileTrim }
  | { readonly kind: "close"; readonly id: number };

/** From the thread. `opened`, or `failed` with id 0, comes first. */
export type ThreadAnswer =
  | {
      readonly kind: "opened";
      readonly partitions: number;
      readonly streams: readonly StreamExtent[];
    }
  | {
      readonly kind: "appended";
      readonly id: number;
      readonly grown: readonly (readonly [number, StreamExtent])[];
    }
  | { readonly kind: "trimmed"; readonly id: number; readonly extent: StreamExtent }
  | { readonly kind: "records"; readonly id: number; readonly chunks: readonly Chunk[] }
  | { readonly kind: "closed"; readonly id: number }
  | { readonly kind: "failed"; readonly id: number; readonly problem: Problem };

/** The problem of anything thrown: errors do not travel between threads with their class. */
export function problemOf(error: unknown, place: string): Problem {
  if (error instanceof ServiceError) return error.problem;
  const found = shown(error instanceof Error ? (error.stack ?? error.message) : error, 400);
  return { code: "bus-unavailable", place, expected: "the thread of the bus to work", found };
}
