// A real Kafka broker for tests: one process, on loopback, with its data in a folder of its own.

import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type FaultyProxy, startProxy } from "./proxy.ts";

export interface KafkaService {
  /** `host:port`; the same after each start. */
  readonly brokers: readonly string[];
  /** The way in with TLS and SASL. */
  readonly secure: KafkaSecure;
  /** Ends the broker as a crash would. */
  kill(): Promise<void>;
  /** After `kill`: on the data that the disk holds. */
  start(): Promise<void>;
  /** A way to the broker that can be disturbed; one at a time. */
  proxy(): Promise<FaultyProxy>;
  /** Ends the broker and takes its data away. */
  stop(): Promise<void>;
}

export interface KafkaSecure {
  readonly broker: string;
  /** File with the authority of the broker's certificate, which is for kafka.example too. */
  readonly ca: string;
  /** For PLAIN and SCRAM; tokens of OAUTHBEARER are unsigned JWTs. */
  readonly username: string;
  readonly password: string;
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
  const brokers = [await start()];
  const portsOf = async () => {
    return (await readFile(join(data, "ports"), "utf8")).trim().split(" ").map(Number);
  };
  const secure = {
    broker: `127.0.0.1:${(await portsOf())[3]}`,
    ca: join(data, "ca.crt"),
    ...{ username: "pipewarden", password: "test-password" },
  };
  return {
    ...{ brokers, secure },
    kill: () => stop("--kill"),
    start: async () => void (await start()),
    proxy: async () => {
      const ports = await portsOf();
      return startProxy(ports[2]!, ports[1]!);
    },
    stop: async () => {
      await stop("--kill");
      await rm(data, { recursive: true });
    },
  };
}

export interface KafkaCluster {
  readonly brokers: readonly string[];
  /** Ends one broker as a crash would; nodes are 1, 2 and 3. */
  kill(node: number): Promise<void>;
  start(node: number): Promise<void>;
  stop(): Promise<void>;
}

/** A controller and three brokers, each a process of its own. */
export async function startKafkaCluster(): Promise<KafkaCluster> {
  const root = await mkdtemp(join(tmpdir(), "kafka-"));
  const port = await freePort();
  const start = async (node: number) => {
    const environment = {
      ...{ KAFKA_NODE: String(node), KAFKA_VOTERS: `9@127.0.0.1:${port}`, KAFKA_REPLICAS: "3" },
      KAFKA_ROLES: node === 9 ? "controller" : "broker",
    };
    const options = { env: { ...process.env, ...environment } };
    return (await run(join(scripts, "start"), [join(root, String(node))], options)).stdout.trim();
  };
  const kill = async (node: number) => {
    await run(join(scripts, "stop"), [join(root, String(node)), "--kill"]);
  };
  const [, ...brokers] = await Promise.all([9, 1, 2, 3].map(start));
  return {
    ...{ brokers, kill },
    start: async (node) => void (await start(node)),
    stop: async () => {
      await Promise.all([1, 2, 3, 9].map(kill));
      await rm(root, { recursive: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
