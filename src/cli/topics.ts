/** @module `pipewarden topics`: the topics on Kafka: list and check them, make and mend them. */

import type { Command } from "commander";
import { kafkaInstallation } from "../bus/kafka-connection.ts";
import type { TopicState } from "../bus/kafka-topic-check.ts";
import type { TopicMending } from "../bus/kafka-topic-tool.ts";
import { retentionOf } from "../bus/retention.ts";
import { dayMs, hourMs, minuteMs, realClock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { ServiceError } from "../error.ts";
import {
  type CliStreams,
  type CommandParts,
  jsonLine,
  paint,
  shownLines,
  table,
} from "./terminal.ts";

interface Options {
  readonly config?: string;
  readonly create?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Adds `topics`. Exit code: 0; 1 when a topic is not as it must be. */
export function addTopicsCommand(program: Command, parts: CommandParts): void {
  program
    .command("topics")
    .description("check the topics on Kafka against what the service needs")
    .option("--config <file>", "settings file (YAML)")
    .option("--create", "make missing ones, correct what can be corrected")
    .option("--force", "with --create: raise partitions although keys move between them")
    .option("--json", "one topic a line")
    .action(async (options: Options, command: Command) => {
      if (options.force === true && options.create !== true) {
        command.error("error: --force goes with --create");
      }
      const config = parts.configOf(options);
      parts.answer(await checkTopics(config, options, parts.streams));
    });
}

async function checkTopics(
  { bus }: Config,
  { create = false, force = false, json = false }: Options,
  { stdout, stderr }: CliStreams,
): Promise<number> {
  const connection = kafkaInstallation(bus.kafka, realClock);
  if (connection === undefined) {
    const [expected, found] = ["brokers: there are topics on Kafka only", "none"];
    throw new ServiceError({ code: "config-invalid", place: "bus.kafka.brokers", expected, found });
  }
  // Only here: the client takes its time to load, and no other command needs it.
  const { openTopicTool } = await import("../bus/kafka-topic-tool.ts");
  const tool = await openTopicTool({ ...connection, connection, retention: retentionOf(bus) });
  try {
    if (create) {
      for (const mending of await tool.mend({ force })) stderr.write(mendingLine(mending));
    }
    const states = await tool.inspect();
    if (json) for (const state of states) stdout.write(jsonLine(jsonOf(state)));
    else stdout.write(`${tableOf(states, stdout)}\n`);
    return states.every(({ faults }) => faults.length === 0) ? 0 : 1;
  } finally {
    await tool.close();
  }
}

function mendingLine({ name, text, refused }: TopicMending): string {
  return `${shownLines(`${refused ? "left alone" : "done"}: ${name} ${text}`)}\n`;
}

function jsonOf({ spec, partitions, replicas, configs, faults }: TopicState): unknown {
  return {
    topic: spec.name,
    partitions: { found: partitions ?? null, expected: spec.partitions },
    replicas: partitions === undefined ? null : replicas,
    policy: configs.get("cleanup.policy") ?? null,
    retentionMs: partitions === undefined ? null : Number(configs.get("retention.ms")),
    minInsyncReplicas: partitions === undefined ? null : Number(configs.get("min.insync.replicas")),
    wrong: faults.map(({ what, expected, found, needed }) => ({ what, expected, found, needed })),
  };
}

function tableOf(states: readonly TopicState[], stdout: CliStreams["stdout"]): string {
  const rows = states.map(({ spec, partitions, replicas, configs, faults }) => {
    if (partitions === undefined) {
      return [spec.name, `none of ${spec.partitions}`, "", "", "", "missing"];
    }
    const policy = configs.get("cleanup.policy") ?? "";
    const insync = configs.get("min.insync.replicas") ?? "?";
    return [
      spec.name,
      partitions === spec.partitions ? `${partitions}` : `${partitions} of ${spec.partitions}`,
      policy,
      // What is only compacted is not let go by age.
      policy.includes("delete") ? spanText(Number(configs.get("retention.ms"))) : "",
      `${replicas}, ${insync} in sync`,
      faults.length === 0 ? "as needed" : counted(faults.length),
    ];
  });
  const head = ["TOPIC", "PARTITIONS", "POLICY", "RETENTION", "REPLICAS", "STATE"];
  const wrong = states.flatMap(({ spec, partitions, faults }) => {
    if (partitions === undefined) return [];
    return faults.map(({ what, expected, found, needed }) => {
      const mark = needed ? "" : " (the service starts all the same)";
      return shownLines(`${spec.name}: ${what}: expected ${expected} but found ${found}${mark}`);
    });
  });
  const lines = wrong.map((line) => paint(stdout, "yellow", line));
  return [table(head, rows), ...(lines.length === 0 ? [] : ["", ...lines])].join("\n");
}

function counted(faults: number): string {
  return faults === 1 ? "1 thing wrong" : `${faults} things wrong`;
}

/** `7 d`, `12 h`, `90 min`; "for ever" for -1. */
function spanText(spanMs: number): string {
  if (spanMs < 0) return "for ever";
  const unit = [
    { ms: dayMs, name: "d" },
    { ms: hourMs, name: "h" },
    { ms: minuteMs, name: "min" },
  ].find(({ ms }) => spanMs % ms === 0 && spanMs > 0);
  return unit === undefined ? `${spanMs} ms` : `${spanMs / unit.ms} ${unit.name}`;
}
