/**
 * @module The build join: adds to each event the CI run that caused it. Adds known facts, never
 * removes or decides.
 */

// biome-ignore-start lint/performance/noBarrelFile: the front door of the folder
export {
  type BuildFact,
  type BuildStep,
  factKey,
  type LeaseFact,
  type RunFact,
} from "./build-fact.ts";
export {
  type BuildTable,
  type BuildTableCounts,
  type BuildTableSettings,
  createBuildTable,
} from "./build-table.ts";
export type { Changes } from "./changes.ts";
export { createInventory, EnrichmentConfig, type RunnerInventory } from "./inventory.ts";
export {
  createJoiner,
  type Joined,
  type Joiner,
  type JoinerCounts,
  type JoinerSettings,
} from "./joiner.ts";
export { createPlaceKey, type PlaceKey } from "./place-key.ts";
export { withBuild } from "./with-build.ts";
// biome-ignore-end lint/performance/noBarrelFile: the front door of the folder
