// States on a real Kafka broker: the contract, and what is particular to a log that others can
// write to.

import { type Admin, Kafka, logLevel } from "kafkajs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type KafkaStateOpened,
  type KafkaStateSettings,
  openKafkaState,
} from "../../src/state/kafka.ts";
import type { StateOwner, StateStore } from "../../src/state/state.ts";
import { codeOf, contents, stateContract } from "../contract/state.ts";
import { type KafkaService, startKafka } from "../services/kafka.ts";

let kafka: KafkaService;
let admin: Admin;
let places = 0;

beforeAll(async () => {
  kafka = await startKafka();
  admin = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
});

afterAll(async () => {
  await admin?.disconnect();
  await kafka?.stop();
});

/** Makes the state topics of an installation of its own; gives its prefix. */
async function installation(configs: Record<string, string> = {}): Promise<string> {
  const topicPrefix = `place-${places++}.`;
  const entries = {
    "cleanup.policy": "compact",
    "max.message.bytes": String(32 * 1024 * 1024),
    "min.compaction.lag.ms": "600000",
    ...configs,
  };
  await admin.createTopics({
    waitForLeaders: false,
    topics: ["correlate", "alert", "detect"].map((stage) => ({
      topic: `${topicPrefix}state.${stage}`,
      numPartitions: stage === "detect" ? 8 : 2,
      configEntries: Object.entries(entries).map(([name, value]) => ({ name, value })),
    })),
  });
  return topicPrefix;
}

stateContract(
  "kafka",
  () => {
    let topicPrefix = "";
    const open = () => openKafkaState({ brokers: kafka.brokers, clientId: "test", topicPrefix });
    return {
      open: async () => {
        topicPrefix = await installation();
        return open();
      },
      // The one before is a process that has not noticed that it is dead.
      reopen: async (store) => {
        forgotten.push(store);
        return open();
      },
      remove: async () => {
        await Promise.all(forgotten.splice(0).map((store) => store.close()));
      },
    };
  },
  15,
);
const forgotten: StateStore[] = [];
