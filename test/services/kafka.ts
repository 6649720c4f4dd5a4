// A real Kafka broker for tests: one process, on loopback, with its data in a folder of its own.

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type FaultyProxy, startProxy } from "./proxy.ts";

export interface KafkaService {
  /** `host:port`; the same after each start. */
  readonly brokers: readonly string[];
  /** Where its data is; `pid` there names its process. */
  readonly folder: string;
  /** Ends the broker as a crash would. */
  kill(): Promise<void>;
  /** After `kill`: on the data that the disk holds. */
  start(): Promise<void>;
  /** A way to the broker that can be disturbed; one at a time. */
  proxy(): Promise<FaultyProxy>;
  /** Ends the broker and takes its data away. */
  stop(): Promise<void>;
}

const run = promisify(execFile);
const scripts = join(import.meta.dirname, "kafka");

/** Resolves once the broker serves; the first time on a machine, Maven fetches the jars. */
export async function startKafka(): Promise<KafkaService> {
  const data = await mkdtemp(join(tmpdir(), "kafka-"));
  const start = async () => (await run(join(scripts, "start"), [data])).stdout.trim();
  const stop = async (...options: string[]) => {
    await run(join(scripts, "stop"), [data, ...options]);
  };
  return {
    brokers: [await start()],
    folder: data,
    kill: () => stop("--kill"),
    start: async () => void (await start()),
    proxy: async () => {
      const ports = (await readFile(join(data, "ports"), "utf8")).trim().split(" ").map(Number);
      return startProxy(ports[2]!, ports[1]!);
    },
    stop: async () => {
      await stop("--kill");
      await rm(data, { recursive: true });
    },
  };
}
