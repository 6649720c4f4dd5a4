/** @module Lineage: run → cache entry → run, run → artifact, run → token. Taint flows along it. */

// biome-ignore-start lint/performance/noBarrelFile: the front door of the folder
export { LineageConfig, type LineageSettings, lineageFacts } from "./facts.ts";
export { createLineage, type LineageGraphSettings } from "./graph.ts";
export type {
  Lineage,
  LineageCounts,
  LineageFact,
  LineageKind,
  Taint,
} from "./lineage-fact.ts";
// biome-ignore-end lint/performance/noBarrelFile: the front door of the folder
