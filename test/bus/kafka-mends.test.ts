import { createRequire } from "node:module";
import { createServer, type Server } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { KafkaClient } from "../../src/bus/kafka-client.ts";

interface Connection {
  connect(): Promise<boolean>;
  disconnect(): Promise<void>;
}

const load = createRequire(import.meta.url);
const Connection = load("kafkajs/src/network/connection.js") as new (given: object) => Connection;
const silent = () => undefined;
const logger: object = {
  namespace: () => logger,
  debug: silent,
  info: silent,
  warn: silent,
  error: silent,
};
const socketFactory = (load("kafkajs/src/network/socketFactory.js") as () => unknown)();

describe("connections of kafkajs, mended", () => {
  let server: Server;
  let accepted: number;

  beforeEach(async () => {
    // Mends are made with the first client.
    new KafkaClient({ brokers: ["192.0.2.1:9092"], clientId: "test" });
    accepted = 0;
    server = createServer(() => void accepted++);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });

  afterEach(() => {
    server.close();
  });

  it("open one socket however many requests find them down, and again after each end", async () => {
    const { port } = server.address() as { port: number };
    const given = {
      host: "127.0.0.1",
      port,
      logger,
      socketFactory,
      connectionTimeout: 1_000,
      requestTimeout: 1_000,
    };
    const connection = new Connection({ ...given, clientId: "test" });
    for (const count of [1, 2]) {
      const connects = Array.from({ length: 8 }, () => connection.connect());
      expect(await Promise.all(connects)).toEqual(Array(8).fill(true));
      expect(accepted).toBe(count);
      await connection.disconnect();
    }
    server.close();
    const refused = await Promise.allSettled([connection.connect(), connection.connect()]);
    expect(refused.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  });
});
