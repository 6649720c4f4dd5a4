// From settings to what reaches the brokers: files, credentials, tokens, and no secret in an error.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { KafkaConfig } from "../../src/bus/kafka-config.ts";
import { kafkaInstallation } from "../../src/bus/kafka-connection.ts";
import { VirtualClock } from "../../src/clock.ts";
import { readConfig } from "../../src/config/config.ts";
import { ServiceError } from "../../src/error.ts";

const secret = "s3cr3t-of-the-test";
const clock = new VirtualClock(Date.UTC(2026, 0, 2));
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "kafka-connection-"));
  for (const name of ["one", "two"]) {
    const files = ["-keyout", at(`${name}.key`), "-out", at(`${name}.crt`)];
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    execFileSync("openssl", ["req", "-x509", "-subj", `/CN=${name}`, ...key, ...files], {
      stdio: "ignore",
    });
  }
  writeFileSync(at("text"), secret);
});

afterAll(() => rmSync(directory, { recursive: true }));

function at(name: string): string {
  return join(directory, name);
}

/** Settings as they come from the environment. */
function configOf(variables: Readonly<Record<string, string>>): KafkaConfig {
  const environment = Object.fromEntries(
    Object.entries(variables).map(([name, value]) => [`PW_BUS__KAFKA__${name}`, value]),
  );
  return readConfig({ environment }).bus.kafka;
}

function installationOf(variables: Readonly<Record<string, string>>) {
  return kafkaInstallation(configOf({ BROKERS: "127.0.0.1:9092", ...variables }), clock);
}

function problemOf(act: () => unknown): string {
  try {
    act();
    return "none";
  } catch (error) {
    return error instanceof ServiceError ? error.message : String(error);
  }
}

describe("kafka settings", () => {
  it("are no Kafka without brokers", () => {
    expect(kafkaInstallation(configOf({}), clock)).toBeUndefined();
  });

  it("have defaults, and leave out what the brokers decide", () => {
    expect(installationOf({ BROKERS: "kafka-1.example:9092, [2001:db8::1]:9092" })).toEqual({
      brokers: ["kafka-1.example:9092", "[2001:db8::1]:9092"],
      ...{ topicPrefix: "pipewarden.", sessionMs: 10_000, clientId: "pipewarden" },
    });
  });

  it("all come from the environment too", () => {
    const found = installationOf({
      ...{ TOPIC_PREFIX: "pw-", PARTITIONS: "12", REPLICATION_FACTOR: "3", CLIENT_ID: "detect-1" },
      ...{ SESSION_MS: "20000", TLS__CA: at("one.crt"), TLS__SERVER_NAME: "kafka.example" },
      ...{
        SASL__MECHANISM: "scram-sha-512",
        SASL__USERNAME: "pw",
        SASL__PASSWORD_FILE: at("text"),
      },
    });
    expect(found).toMatchObject({
      ...{ topicPrefix: "pw-", partitions: 12, replicationFactor: 3, clientId: "detect-1" },
      ...{ sessionMs: 20_000, ssl: { servername: "kafka.example" } },
      sasl: { mechanism: "scram-sha-512", username: "pw", password: secret },
    });
  });

  it.each([
    [{ TLS__ENABLED: "true" }, true],
    [{ TLS__ENABLED: "false", TLS__CA: "/nowhere" }, undefined],
  ])("say whether to speak TLS: %j", (variables, expected) => {
    expect(installationOf(variables as Record<string, string>)?.ssl).toBe(expected);
  });

  it("take a certificate with its key", () => {
    const found = installationOf({ TLS__CERT: at("one.crt"), TLS__KEY: at("one.key") });
    expect(found?.ssl).toMatchObject({ cert: expect.any(String), key: expect.any(String) });
  });

  const plain = { SASL__MECHANISM: "plain", SASL__USERNAME: "pw", SASL__PASSWORD: secret };
  const oauth = { SASL__MECHANISM: "oauthbearer" };
  const grant = { ...oauth, SASL__CLIENT_ID: "pw", SASL__CLIENT_SECRET: secret };
  it.each<[Record<string, string>, string]>([
    [{ BROKERS: "broker.example" }, "bus.kafka.brokers: config-invalid: expected host:port"],
    [{ BROKERS: `sasl://pw:${secret}@b.example:1` }, "expected host:port"],
    [{ TLS__CA: "/nowhere/ca.pem" }, "bus.kafka.tls.ca: config-invalid"],
    [{ TLS__CA: "/nowhere/ca.pem" }, "ENOENT"],
    [{ TLS__CA: "text" }, "bus.kafka.tls.ca: config-invalid: expected a file in PEM"],
    [{ TLS__CERT: "one.crt" }, "bus.kafka.tls.key: config-invalid"],
    [{ TLS__KEY: "one.key" }, "bus.kafka.tls.cert: config-invalid"],
    [{ TLS__CERT: "one.crt", TLS__KEY: "two.key" }, "a key that go together"],
    [{ SASL__MECHANISM: "gssapi" }, "SASL__MECHANISM: config-invalid"],
    [{ ...plain, SASL__PASSWORD: "" }, "SASL__PASSWORD: config-invalid"],
    [{ SASL__MECHANISM: "plain", SASL__USERNAME: "pw" }, "bus.kafka.sasl.password"],
    [{ ...plain, BROKERS: "b.example:9092" }, "bus.kafka.tls: config-invalid: expected a section"],
    [oauth, "bus.kafka.sasl: config-invalid: expected either tokenFile or tokenUrl"],
    [{ ...grant, SASL__TOKEN_FILE: "text", SASL__TOKEN_URL: "https://a.example" }, "found both"],
    [{ ...oauth, SASL__TOKEN_URL: "https://a.example" }, "bus.kafka.sasl.clientId"],
    [{ ...grant, SASL__TOKEN_URL: "http://a.example/token" }, "expected an https address"],
    [{ ...grant, SASL__TOKEN_URL: `https://pw:${secret}@a.example/` }, "expected an https address"],
  ])("are refused where they cannot work: %j", (given, expected) => {
    const files = /^(text|one\.\w+|two\.\w+)$/;
    const variables = Object.fromEntries(
      Object.entries(given).map(([name, value]) => [name, files.test(value) ? at(value) : value]),
    );
    const problem = problemOf(() => installationOf(variables));
    expect(problem).toContain(expected);
    if (!("BROKERS" in given)) expect(problem).not.toContain(secret);
  });

  it("may send a password in the clear where that is said", () => {
    const trusted = { ...plain, BROKERS: "b.example:9092", TLS__ENABLED: "false" };
    expect(installationOf(trusted)?.sasl).toMatchObject({ mechanism: "plain" });
  });
});

interface Asked {
  readonly authorization: string | undefined;
  readonly form: Readonly<Record<string, string>>;
}

describe("kafka tokens", () => {
  let server: Server | undefined;

  afterEach(() => {
    server?.close();
    server = undefined;
  });

  /** An authorization server that answers as told. */
  async function serverOf(
    answers: (asked: Asked, count: number) => { status: number; body: string },
  ) {
    const asked: Asked[] = [];
    server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const form = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
        asked.push({ authorization: request.headers.authorization, form });
        const { status, body } = answers(asked.at(-1)!, asked.length);
        response.writeHead(status, { "content-type": "application/json" }).end(body);
      });
    });
    await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    return { asked, url: `http://127.0.0.1:${port}/token` };
  }

  function tokenSource(variables: Readonly<Record<string, string>>): () => Promise<string> {
    const sasl = installationOf({ SASL__MECHANISM: "oauthbearer", ...variables })?.sasl;
    if (sasl?.mechanism !== "oauthbearer") throw new Error("no tokens");
    return sasl.token;
  }

  const grant = { SASL__CLIENT_ID: "pipe warden:1", SASL__CLIENT_SECRET: `${secret}&%` };

  it("come from a file as it is at each connection", async () => {
    writeFileSync(at("token"), "first.token\n");
    const token = tokenSource({ SASL__TOKEN_FILE: at("token") });
    expect(await token()).toBe("first.token");
    writeFileSync(at("token"), "second.token");
    expect(await token()).toBe("second.token");
    for (const text of ["", `${secret} ${secret}`, `${secret}\u0001auth=x`]) {
      writeFileSync(at("token"), text);
      const problem = await token().catch(String);
      expect(problem).toContain("bus-unavailable: expected a token");
      expect(problem).not.toContain(secret);
    }
    rmSync(at("token"));
    await expect(token()).rejects.toThrow("ENOENT");
  });

  it("are asked for with id and secret, once for all who wait, and kept until they go", async () => {
    const { asked, url } = await serverOf((_, count) => ({
      status: 200,
      body: JSON.stringify({ access_token: `token-${count}`, expires_in: 600 }),
    }));
    const token = tokenSource({ ...grant, SASL__TOKEN_URL: url, SASL__SCOPE: "kafka" });
    expect(await Promise.all([token(), token()])).toEqual(["token-1", "token-1"]);
    clock.advance(539_000);
    expect(await token()).toBe("token-1");
    clock.advance(1_000);
    expect(await token()).toBe("token-2");
    const user = Buffer.from(`pipe+warden%3A1:${secret}%26%25`).toString("base64");
    const form = { grant_type: "client_credentials", scope: "kafka" };
    expect(asked).toEqual([1, 2].map(() => ({ authorization: `Basic ${user}`, form })));
  });

  it.each([
    [
      401,
      '{"error":"invalid_client","error_description":"no"}',
      "status 401, error invalid_client",
    ],
    [500, secret, "status 500"],
    [200, "[]", "status 200 without one"],
    [200, `{"access_token":"${secret} with a space"}`, "status 200 without one"],
    [200, `{"access_token":7}`, "status 200 without one"],
  ])("are told to be missing after status %i and %s, and asked for again", async (...given) => {
    const [status, body, expected] = given;
    const { asked, url } = await serverOf(() => ({ status, body }));
    const token = tokenSource({ ...grant, SASL__TOKEN_URL: url });
    const problem = await token().catch(String);
    expect(problem).toContain(expected);
    expect(problem).not.toContain(secret);
    await token().catch(String);
    expect(asked.length).toBe(2);
  });

  it("are not asked for elsewhere, and not where nobody listens", async () => {
    const { asked, url } = await serverOf(() => ({ status: 307, body: "" }));
    const moved = tokenSource({ ...grant, SASL__TOKEN_URL: url });
    await expect(moved()).rejects.toThrow("bus-unavailable");
    expect(asked.length).toBe(1);
    const nobody = tokenSource({ ...grant, SASL__TOKEN_URL: "http://127.0.0.1:1/token" });
    await expect(nobody()).rejects.toThrow("expected a token but found");
  });
});
