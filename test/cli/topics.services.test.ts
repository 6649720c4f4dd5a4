// `pipewarden topics` on a real broker.

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Admin, ConfigResourceTypes } from "kafkajs";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openKafkaBus } from "../../src/bus/kafka.ts";
import { KafkaClient } from "../../src/bus/kafka-client.ts";
import { realClock } from "../../src/clock.ts";
import { codeOf } from "../contract/bus.ts";
import { type KafkaService, startKafka } from "../services/kafka.ts";
import { run as runCli } from "./streams.ts";

let kafka: KafkaService;
let admin: Admin;
let directory: string;
let places = 0;
let prefix: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "topics-"));
  kafka = await startKafka();
  admin = new KafkaClient({ brokers: kafka.brokers, clientId: "test" }).kafka.admin();
  await admin.connect();
});

afterAll(async () => {
  await admin?.disconnect();
  await kafka?.stop();
  rmSync(directory, { recursive: true });
});

beforeEach(() => {
  prefix = `topics-${places++}.`;
});

async function run(args: readonly string[], settings: readonly string[] = ["partitions: 2"]) {
  const path = join(directory, "config.yml");
  const kafkaLines = [`brokers: ["${kafka.brokers[0]}"]`, `topicPrefix: ${prefix}`, ...settings];
  const lines = ["bus:", "  kafka:", ...kafkaLines.map((line) => `    ${line}`)];
  const retention = ["  retention:", "    events:", "      maxAgeHours: 12"];
  writeFileSync(path, [...lines, ...retention].join("\n"));
  return runCli(["topics", "--config", path, ...args]);
}

async function alter(topic: string, entries: Record<string, string>): Promise<void> {
  const configEntries = Object.entries(entries).map(([name, value]) => ({ name, value }));
  const resource = { type: ConfigResourceTypes.TOPIC, name: `${prefix}${topic}`, configEntries };
  await admin.alterConfigs({ validateOnly: false, resources: [resource] });
  // Brokers do it a little later than they say.
  for (let done = false; !done; ) {
    const now = await configsOf(topic);
    done = Object.entries(entries).every(([name, value]) => now.get(name) === value);
  }
}

async function configsOf(topic: string): Promise<ReadonlyMap<string, string>> {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: `${prefix}${topic}` }],
  });
  const [found] = resources;
  return new Map(found?.configEntries.map((one) => [one.configName, one.configValue]));
}

describe("pipewarden topics", () => {
  it("tells what is missing, makes it, and has nothing more to say", async () => {
    const before = await run([]);
    expect(before.code).toBe(1);
    expect(before.out).toMatch(/topics-\d+\.events +none of 2 +missing/);
    expect((await admin.listTopics()).filter((name) => name.startsWith(prefix))).toEqual([]);

    const made = await run(["--create"]);
    expect(made).toMatchObject({ code: 0 });
    expect(made.err).toContain(`done: ${prefix}events made with 2 partitions\n`);
    expect(made.err).toContain(`done: ${prefix}state.notify made with 1 partition\n`);
    expect(made.err.split("\n").length).toBe(12);
    expect(made.out).toMatch(/\.events +2 +delete +12 h +1, 1 in sync +as needed/);
    expect(made.out).toMatch(/\.builds +1 +compact,delete +7 d +1, 1 in sync +as needed/);
    expect(made.out).toMatch(/\.state\.detect +2 +compact +1, 1 in sync +as needed/);

    const again = await run(["--create"]);
    expect(again).toMatchObject({ code: 0, err: "" });
    const lines = (await run(["--json"])).out.trim().split("\n");
    expect(lines.length).toBe(11);
    expect(JSON.parse(lines[0]!)).toEqual({
      topic: `${prefix}events`,
      partitions: { found: 2, expected: 2 },
      ...{ replicas: 1, policy: "delete", retentionMs: 43_200_000, minInsyncReplicas: 1 },
      wrong: [],
    });
    const bus = await openKafkaBus({
      ...{ brokers: kafka.brokers, clientId: "test", topicPrefix: prefix, clock: realClock },
    });
    expect(bus.partitions("events")).toBe(2);
    await bus.close();
  });

  it("corrects configs, and leaves alone what else a topic has of its own", async () => {
    await run(["--create"]);
    await alter("events", {
      ...{ "retention.ms": "1000", "max.message.bytes": "2000", "file.delete.delay.ms": "1234" },
    });
    await alter("state.detect", { "cleanup.policy": "delete" });
    const wrong = await run([]);
    expect(wrong.code).toBe(1);
    expect(wrong.out).toContain(
      `${prefix}events: retention.ms: expected 43200000 but found 1000` +
        " (the service starts all the same)\n",
    );
    expect(wrong.out).toContain(
      `${prefix}events: max.message.bytes: expected at least 17825792 but found 2000\n`,
    );
    expect(wrong.out).toContain(
      `${prefix}state.detect: cleanup.policy: expected compact but found delete`,
    );
    const mended = await run(["--create"]);
    expect(mended.code).toBe(0);
    expect(mended.err).toContain(`done: ${prefix}events retention.ms set to 43200000, was 1000\n`);
    const configs = await configsOf("events");
    expect(configs.get("retention.ms")).toBe("43200000");
    expect(configs.get("file.delete.delay.ms")).toBe("1234");
    expect(configs.get("message.timestamp.after.max.ms")).toBe("9223372036854775807");
  });

  it("raises the partitions of keyed topics only when forced, and never lowers them", async () => {
    await run(["--create"]);
    const raised = await run(["--create"], ["partitions: 3"]);
    expect(raised.code).toBe(1);
    expect(raised.err).toContain(`left alone: ${prefix}events has 2 partitions, not 3: more of`);
    expect(raised.out).toMatch(/\.events +2 of 3 /);
    const options = { brokers: kafka.brokers, clientId: "test", topicPrefix: prefix };
    const opened = openKafkaBus({ ...options, partitions: 3, clock: realClock });
    expect(await codeOf(opened)).toBe("config-invalid");
    const forced = await run(["--create", "--force"], ["partitions: 3"]);
    expect(forced).toMatchObject({ code: 0 });
    expect(forced.err).toContain(`done: ${prefix}state.detect raised from 2 to 3 partitions\n`);
    expect(forced.err).not.toContain("state.notify");
    const lowered = await run(["--create", "--force"], ["partitions: 1"]);
    expect(lowered.code).toBe(1);
    expect(lowered.err).toContain("has 3 partitions: Kafka cannot take partitions away\n");
  });

  it("runs as people run it", async () => {
    // Not through the loader of the tests, which finds more names in a package than Node does.
    const environment = { PW_BUS__KAFKA__BROKERS: kafka.brokers[0], PATH: process.env["PATH"] };
    const args = ["src/main.ts", "topics", "--json"];
    const ran = promisify(execFile)(process.execPath, args, { env: environment });
    await expect(ran).rejects.toMatchObject({ code: 1, stdout: expect.stringContaining("wrong") });
  });

  it("refuses without brokers, and what it cannot do", async () => {
    const path = join(directory, "none.yml");
    writeFileSync(path, "");
    const none = await runCli(["topics", "--config", path]);
    expect(none.code).toBe(3);
    expect(none.err).toContain("bus.kafka.brokers: config-invalid");
    expect((await run(["--force"])).code).toBe(2);
    const far = await run([], ["replicationFactor: 5"]);
    expect(far.code).toBe(1);
    expect((await run(["--create"], ["replicationFactor: 5"])).err).toContain("bus-unavailable");
  });
});
