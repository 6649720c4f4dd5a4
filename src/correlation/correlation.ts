/** @module Correlation: matches over a timespan per group; the stateful half. Its front door. */

import { createCorrelation } from "./correlate.ts";
import { createRouter } from "./group-key.ts";

export type {
  CorrelatedMatch,
  Correlation,
  CorrelationSettings,
  EvictedFact,
  WindowedCorrelation,
} from "./correlate.ts";
export type { RoutedMatch, Router } from "./group-key.ts";
export { createCorrelation, createRouter };
