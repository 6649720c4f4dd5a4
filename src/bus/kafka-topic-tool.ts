/** @module What `pipewarden topics` does on the brokers: look at the topics, make and mend them. */

import type { Admin } from "kafkajs";
import { unavailable } from "./kafka-client.ts";
import { createMissing, mendConfigs, partsOf, type TopicState } from "./kafka-topic-check.ts";
import { isMade, KafkaTopics, type KafkaTopicsSettings } from "./kafka-topics.ts";

/** What was done to a topic, or why it was left as it is. */
export interface TopicMending {
  readonly name: string;
  readonly text: string;
  readonly refused: boolean;
}

export interface TopicTool {
  /** Every topic of the installation. Rejects with bus-unavailable. */
  inspect(): Promise<readonly TopicState[]>;
  /**
   * Makes what is missing and corrects what can be. With `force` also what tears apart the records
   * of a key. Rejects with bus-unavailable: then some of it may have been done.
   */
  mend(options: { readonly force: boolean }): Promise<readonly TopicMending[]>;
  close(): Promise<void>;
}

/** Rejects with ServiceError: bus-unavailable, or config-invalid. */
export async function openTopicTool(settings: KafkaTopicsSettings): Promise<TopicTool> {
  const topics = new KafkaTopics(settings);
  await topics.connect();
  const told = async <T>(act: () => Promise<T>): Promise<T> => {
    try {
      return await act();
    } catch (error) {
      throw unavailable(topics.place, partsOf(error)[0]);
    }
  };
  return {
    inspect: () => told(() => topics.inspect()),
    mend: ({ force }) =>
      told(async () => {
        const states = await topics.inspect();
        await createMissing(topics.admin, states);
        const mendings: TopicMending[] = [];
        for (const state of states) mendings.push(...(await mended(topics.admin, state, force)));
        const left = new Set(mendings.filter(({ refused }) => refused).map(({ name }) => name));
        await topics.until((now) => {
          const mended = now.filter(({ spec }) => !left.has(spec.name));
          return isMade(now) && mended.every(({ faults }) => faults.length === 0);
        });
        return mendings;
      }),
    close: () => topics.close(),
  };
}

async function mended(admin: Admin, state: TopicState, force: boolean): Promise<TopicMending[]> {
  const { name, partitions, divided } = state.spec;
  const done = (text: string): TopicMending => ({ name, text, refused: false });
  const refused = (text: string): TopicMending => ({ name, text, refused: true });
  const found = state.partitions;
  if (found === undefined) return [done(`made with ${counted(partitions)}`)];
  const mendings: TopicMending[] = [];
  if (found > partitions) {
    mendings.push(refused(`has ${counted(found)}: Kafka cannot take partitions away`));
  } else if (found < partitions && divided && !force) {
    const text =
      `has ${counted(found)}, not ${partitions}: more of them send the later records of a key` +
      " elsewhere, away from the earlier ones and from what is remembered of them. Let every" +
      " process finish and stop first, then give --force";
    mendings.push(refused(text));
  } else if (found < partitions) {
    await admin.createPartitions({ topicPartitions: [{ topic: name, count: partitions }] });
    mendings.push(done(`raised from ${found} to ${counted(partitions)}`));
  }
  const configs = state.faults.filter(({ value }) => value !== undefined);
  if (configs.length > 0) {
    await mendConfigs(admin, state);
    for (const { what, value, found } of configs) {
      mendings.push(done(`${what} set to ${value}, was ${found}`));
    }
  }
  const copies = state.faults.find(({ what }) => what === "replicas");
  if (copies !== undefined) {
    const { found, expected } = copies;
    const text = `has ${found} replicas, not ${expected}: Kafka's own tools move replicas`;
    mendings.push(refused(text));
  }
  return mendings;
}

function counted(partitions: number): string {
  return partitions === 1 ? "1 partition" : `${partitions} partitions`;
}
