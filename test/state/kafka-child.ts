/**
 * @module Commits a counter and its position together, over and over, and prints each number that
 * was committed.
 */

import { writeSync } from "node:fs";
import { openKafkaState } from "../../src/state/kafka.ts";
import { counterOwner, step } from "./counter.ts";

const [broker = "", topicPrefix = ""] = process.argv.slice(2);
const store = await openKafkaState({ brokers: [broker], clientId: "child", topicPrefix });
const state = await store.open(counterOwner);
for (;;) {
  const number = step(state);
  await state.commit();
  writeSync(1, `${number}\n`);
}
