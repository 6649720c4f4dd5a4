// The Kafka bus against a real broker.

import { afterAll, beforeAll } from "vitest";
import { openKafkaBus } from "../../src/bus/kafka.ts";
import { busContract } from "../contract/bus.ts";
import { type KafkaService, startKafka } from "../services/kafka.ts";

let kafka: KafkaService;
let places = 0;

beforeAll(async () => {
  kafka = await startKafka();
});

afterAll(async () => {
  await kafka?.stop();
});

busContract("kafka", {
  eager: true,
  place: async () => {
    const topicPrefix = `place-${places++}.`;
    return {
      open: (options) =>
        openKafkaBus({
          ...options,
          brokers: kafka.brokers,
          clientId: "test",
          topicPrefix,
          retentionMs: -1, // the virtual clock stamps records of long ago
        }),
      remove: async () => undefined,
    };
  },
});
