/**
 * @module The build join: adds to each event the CI run that caused it. Adds known facts, never
 * removes or decides.
 */

// biome-ignore-start lint/performance/noBarrelFile: the front door of the folder
export type { BuildFact, BuildStep } from "./build-fact.ts";
export {
  type BuildTable,
  type BuildTableCounts,
  type BuildTableSettings,
  createBuildTable,
  type Joined,
} from "./build-table.ts";
export { createInventory, EnrichmentConfig, type RunnerInventory } from "./inventory.ts";
export { createPlaceKey, type PlaceKey } from "./place-key.ts";
export { withBuild } from "./with-build.ts";
// biome-ignore-end lint/performance/noBarrelFile: the front door of the folder
