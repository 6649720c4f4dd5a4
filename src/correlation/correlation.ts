/** @module Correlation: matches over a timespan per group; the stateful half. Its front door. */

import { createCorrelation } from "./correlate.ts";
import { createRouter } from "./group-key.ts";
import { createProgress } from "./progress.ts";
import { latenessOf, pageAgeMaxOf, TimeConfig } from "./time-config.ts";
import { createWatermarks } from "./watermarks.ts";

export type {
  CorrelatedMatch,
  Correlation,
  CorrelationSettings,
  EvictedFact,
  WindowedCorrelation,
} from "./correlate-contract.ts";
export type { RoutedMatch, Router } from "./group-key.ts";
export type { Progress, ProgressSettings } from "./progress.ts";
export type { Watermarks, WatermarksSettings } from "./watermarks.ts";
export {
  createCorrelation,
  createProgress,
  createRouter,
  createWatermarks,
  latenessOf,
  pageAgeMaxOf,
  TimeConfig,
};
