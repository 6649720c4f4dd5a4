// TLS and each way of SASL against a real broker, from settings as an operator writes them.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openKafkaBus } from "../../src/bus/kafka.ts";
import { kafkaInstallation } from "../../src/bus/kafka-connection.ts";
import { realClock } from "../../src/clock.ts";
import { readConfig } from "../../src/config/config.ts";
import { record, Watcher } from "../contract/bus.ts";
import { type KafkaService, startKafka } from "../services/kafka.ts";

let kafka: KafkaService;
let tokens: Server;
let directory: string;
let places = 0;

/** Not signed (RFC 7519, section 6): the broker of the tests takes such. */
function unsignedToken(seconds: number): string {
  const now = Math.floor(realClock.now() / 1_000);
  const parts = [{ alg: "none" }, { sub: "pipewarden", iat: now, exp: now + seconds }];
  return `${parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".")}.`;
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "kafka-secure-"));
  tokens = createServer((request, response) => {
    const known = request.headers.authorization === `Basic ${btoa("pipewarden:client-secret")}`;
    const answer = known
      ? { access_token: unsignedToken(600), expires_in: 600 }
      : { error: "invalid_client" };
    response.writeHead(known ? 200 : 401).end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => tokens.listen(0, "127.0.0.1", resolve));
  kafka = await startKafka();
});

afterAll(async () => {
  tokens.close();
  rmSync(directory, { recursive: true });
  await kafka?.stop();
});

function open(settings: Readonly<Record<string, string>>) {
  const environment = {
    ...{ BROKERS: kafka.secure.broker, TLS__CA: kafka.secure.ca, PARTITIONS: "1" },
    ...{ TOPIC_PREFIX: `secure-${places++}.`, ...settings },
  };
  const config = readConfig({
    environment: Object.fromEntries(
      Object.entries(environment).map(([name, value]) => [`PW_BUS__KAFKA__${name}`, value]),
    ),
  });
  return openKafkaBus({ ...kafkaInstallation(config.bus.kafka, realClock)!, clock: realClock });
}

const user = () => {
  const { username, password } = kafka.secure;
  return { SASL__USERNAME: username, SASL__PASSWORD: password };
};

function tokenFile(text: string): string {
  const path = join(directory, `token-${places++}`);
  writeFileSync(path, text);
  return path;
}

const tokenUrl = () => `http://127.0.0.1:${(tokens.address() as AddressInfo).port}/`;

describe("kafka bus over TLS", () => {
  it.each<[string, () => Record<string, string>]>([
    ["PLAIN", () => ({ ...user(), SASL__MECHANISM: "plain" })],
    ["SCRAM-SHA-256", () => ({ ...user(), SASL__MECHANISM: "scram-sha-256" })],
    ["SCRAM-SHA-512", () => ({ ...user(), SASL__MECHANISM: "scram-sha-512" })],
    [
      "OAUTHBEARER, token from a file",
      () => {
        const SASL__TOKEN_FILE = tokenFile(unsignedToken(600));
        return { SASL__MECHANISM: "oauthbearer", SASL__TOKEN_FILE };
      },
    ],
    [
      "OAUTHBEARER, token from a server",
      () => ({
        ...{ SASL__MECHANISM: "oauthbearer", SASL__TOKEN_URL: tokenUrl() },
        ...{ SASL__CLIENT_ID: "pipewarden", SASL__CLIENT_SECRET: "client-secret" },
      }),
    ],
    [
      "PLAIN, certificate of another name",
      () => ({ ...user(), SASL__MECHANISM: "plain", TLS__SERVER_NAME: "kafka.example" }),
    ],
  ])("appends and consumes with %s", async (_, settings) => {
    const bus = await open(settings());
    try {
      const seen = new Watcher();
      const consumer = await bus.consume({ group: "stage", topics: ["events"] }, seen);
      await bus.append(["0", "1", "2"].map((value) => record("k", value)));
      await consumer.drained();
      expect(seen.texts).toEqual(["k=0", "k=1", "k=2"]);
      expect((await bus.find("events", 0, 1))?.offset).toBe(1);
    } finally {
      await bus.close();
    }
  });

  it.each<[string, () => Record<string, string>, RegExp]>([
    [
      "another password with PLAIN",
      () => ({ ...user(), SASL__MECHANISM: "plain", SASL__PASSWORD: "wrong-password" }),
      /brokers that take our credentials but found .*Invalid username or password/,
    ],
    [
      "another password with SCRAM",
      () => ({ ...user(), SASL__MECHANISM: "scram-sha-512", SASL__PASSWORD: "wrong-password" }),
      /brokers that take our credentials/,
    ],
    [
      "a token that is over",
      () => {
        const SASL__TOKEN_FILE = tokenFile(unsignedToken(-600));
        return { SASL__MECHANISM: "oauthbearer", SASL__TOKEN_FILE };
      },
      /brokers that take our credentials/,
    ],
    [
      "another client secret",
      () => ({
        ...{ SASL__MECHANISM: "oauthbearer", SASL__TOKEN_URL: tokenUrl() },
        ...{ SASL__CLIENT_ID: "pipewarden", SASL__CLIENT_SECRET: "wrong-password" },
      }),
      /expected a token but found status 401, error invalid_client/,
    ],
    [
      "an authority that the broker's certificate is not of",
      () => ({ ...user(), SASL__MECHANISM: "plain", TLS__CA: otherAuthority() }),
      /brokers that answer but found .*certificate/,
    ],
    [
      "a name that is not in the broker's certificate",
      () => ({ ...user(), SASL__MECHANISM: "plain", TLS__SERVER_NAME: "other.example" }),
      /brokers that answer but found .*altnames/,
    ],
  ])("says what is wrong: %s", async (_, settings, expected) => {
    const problem = await open(settings()).then(() => "opened", String);
    expect(problem).toMatch(/bus-unavailable/);
    expect(problem).toMatch(expected);
    expect(problem).not.toContain("wrong-password");
  });
});

function otherAuthority(): string {
  const files = ["-keyout", join(directory, "other.key"), "-out", join(directory, "other.crt")];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  execFileSync("openssl", ["req", "-x509", "-subj", "/CN=other", ...key, ...files], {
    stdio: "ignore",
  });
  return join(directory, "other.crt");
}
