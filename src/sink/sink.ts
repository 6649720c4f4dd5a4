/**
 * @module Front door of the sinks: where notices go, the chain that takes them there, and what came
 * of it.
 */

export { createDelivery, type DeliveryChain, type DeliverySettings } from "./deliver.ts";
export type { Delivery, DeliveryStatus, Sink } from "./model.ts";
export { createSinks, type SinkConfig, type SinkParts, SinksConfig } from "./sinks.ts";
