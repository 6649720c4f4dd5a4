import { request } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import fastify, { type FastifyInstance, type LightMyRequestResponse } from "fastify";
import { Value } from "typebox/value";
import { afterEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../src/clock.ts";
import type { Intake } from "../../src/collector/collector.ts";
import { collectors } from "../../src/collector/collectors.ts";
import { DoorsConfig, registerDoors } from "../../src/collector/receiver.ts";
import { ServiceError } from "../../src/error.ts";
import type { Feed } from "../../src/event/event.ts";
import { silentTelemetry, type Telemetry } from "../../src/telemetry.ts";
import { githubSigned } from "./signed.ts";

const secret = "It's a Secret to Everybody";
const token = "a-token-of-some-length";
const now = Date.UTC(2026, 10, 24, 2, 8);

interface Opened {
  readonly app: FastifyInstance;
  readonly taken: { readonly intake: Intake; readonly feed: Feed }[];
  readonly telemetry: Telemetry;
  post(
    path: string,
    body: string | Buffer,
    headers?: Record<string, string>,
  ): Promise<LightMyRequestResponse>;
}

const opened: FastifyInstance[] = [];
afterEach(async () => {
  for (const app of opened.splice(0)) await app.close();
});

async function open(
  config: object = {},
  accept?: (intake: Intake) => Promise<void>,
): Promise<Opened> {
  const app = fastify();
  opened.push(app);
  const taken: Opened["taken"] = [];
  const telemetry = silentTelemetry();
  await registerDoors(app, {
    config: Value.Default(DoorsConfig, { ...config }) as DoorsConfig,
    clock: new VirtualClock(now),
    telemetry,
    collectors,
    accept: async (intake, feed) => {
      await accept?.(intake);
      taken.push({ intake, feed });
    },
  });
  return {
    app,
    taken,
    telemetry,
    // Awaited here: an injected request begins only then.
    post: async (path, body, headers = {}) =>
      await app.inject({ method: "POST", url: path, payload: body, headers }),
  };
}

function signed(body: string, key = secret): Record<string, string> {
  return {
    ...githubSigned(body, key),
    "x-github-event": "ping",
    "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "content-type": "application/json",
  };
}

const alert = JSON.stringify({
  time: "2026-11-24T02:07:34.123456789Z",
  rule: "Terminal shell in container",
  priority: "Notice",
  source: "syscall",
  hostname: "build-07",
  output: "shell",
  output_fields: { "proc.name": "bash" },
});
const squidLine = `${now / 1000}.000      2 10.20.0.17 TCP_MISS/200 331 GET http://a.example/ - HIER_DIRECT/192.0.2.1 text/html`;
const ping = JSON.stringify({ zen: "Speak like a human.", hook_id: 1, hook: { id: 1 } });

describe("doors", () => {
  it.each([
    ["/v1/falco", alert, "falco"],
    ["/v1/egress", squidLine, "egress"],
    [
      "/v1/trivy",
      JSON.stringify({ SchemaVersion: 2, ArtifactName: "a", ArtifactType: "filesystem" }),
      "trivy",
    ],
    [
      "/v1/github/audit",
      JSON.stringify({ "@timestamp": now, action: "git.clone", _document_id: "x" }),
      "github-audit",
    ],
  ] as const)("%s hands its body to its collector", async (path, body, feed) => {
    const { post, taken } = await open();
    const answer = await post(path, body);
    expect([answer.statusCode, answer.json()]).toMatchObject([200, { accepted: 1, rejected: 0 }]);
    expect(taken.map((one) => one.feed)).toEqual([feed]);
    expect(taken[0]?.intake.events[0]).toMatchObject({ feed, receivedAt: now });
  });

  it("count the stamps of senders whose clocks are wrong, by feed", async () => {
    const { post, telemetry } = await open();
    const stamped = (time: string) => alert.replace(/"time":"[^"]+"/, `"time":"${time}"`);
    const lines = [
      ...["2026-11-24T02:08:59Z", "2026-11-24T01:08:01Z"].map(stamped),
      ...["2026-11-24T02:09:01Z", "2031-01-01T00:00:00Z", "2026-11-24T01:07:59Z"].map(stamped),
    ];
    await post("/v1/falco", lines.join("\n"));
    const metrics = await telemetry.metrics();
    expect(metrics.match(/^pipewarden_stamps_skewed_total\{.*$/gm)).toEqual([
      'pipewarden_stamps_skewed_total{feed="falco",skew="future"} 2',
      'pipewarden_stamps_skewed_total{feed="falco",skew="past"} 1',
    ]);
  });

  it("answers only after the append", async () => {
    const order: string[] = [];
    const { post } = await open({}, async () => {
      await Promise.resolve();
      order.push("appended");
    });
    await post("/v1/falco", alert);
    order.push("answered");
    expect(order).toEqual(["appended", "answered"]);
  });

  it.each([
    ["the intake is full", "intake-full"],
    ["brokers are away", "bus-unavailable"],
  ] as const)(
    "answers 503 with Retry-After while %s, and takes the same body later",
    async (_, code) => {
      const problem = { code, place: "bus", expected: "room", found: "none" };
      let full = true;
      const { post, taken } = await open({}, async () => {
        if (full) throw new ServiceError(problem);
      });
      const refused = await post("/v1/falco", alert);
      expect([refused.statusCode, refused.headers["retry-after"]]).toEqual([503, "2"]);
      full = false;
      expect((await post("/v1/falco", alert)).statusCode).toBe(200);
      expect(taken).toHaveLength(1);
    },
  );

  it("answers 503 when the bodies in work exceed their bound", async () => {
    let release = () => undefined as undefined;
    const held = new Promise<void>((resolve) => {
      release = () => void resolve();
    });
    const { post } = await open({ inFlightBytesMax: 1_024 }, () => held);
    const body = `${squidLine}\n`.repeat(6);
    const first = post("/v1/egress", body);
    const second = await post("/v1/egress", body);
    expect([second.statusCode, second.headers["retry-after"]]).toEqual([503, "2"]);
    release();
    expect((await first).statusCode).toBe(200);
  });

  it("keeps the good records of a body and names the bad ones", async () => {
    const { post, taken } = await open();
    const answer = await post("/v1/falco", `${alert}\n{"rule": \n`);
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toMatchObject({ accepted: 1, rejected: 1 });
    expect(answer.json().problems[0]).toMatchObject({ code: "json-invalid" });
    expect(taken[0]?.intake.rejections).toHaveLength(1);
  });

  it("answers 400 and still sets the bytes aside when nothing can be read", async () => {
    const { post, taken } = await open();
    const answer = await post("/v1/trivy", "not JSON at all");
    expect(answer.statusCode).toBe(400);
    expect(answer.headers["content-type"]).toContain("application/problem+json");
    expect(answer.json().problems).toHaveLength(1);
    expect(taken[0]?.intake.rejections[0]?.raw).toBe("not JSON at all");
  });

  it("refuses a body over the limit without reading it", async () => {
    const { post, taken } = await open({ bodyBytesMax: 2_048 });
    expect((await post("/v1/egress", `${squidLine}\n`.repeat(40))).statusCode).toBe(413);
    expect(taken).toEqual([]);
  });
});

describe("compression", () => {
  it.each([
    ["with its header", { "content-encoding": "gzip" }],
    ["without one", {}],
  ])("reads gzip %s", async (_name, headers) => {
    const { post } = await open();
    const answer = await post("/v1/falco", gzipSync(alert), headers as Record<string, string>);
    expect(answer.json()).toMatchObject({ accepted: 1 });
  });

  it("stops at the limit of a bomb", async () => {
    const { post, taken } = await open({ bodyBytesMax: 64 * 1024 });
    const bomb = gzipSync(Buffer.alloc(40 * 1024 * 1024));
    const answer = await post("/v1/falco", bomb, { "content-encoding": "gzip" });
    expect([answer.statusCode, answer.json().problems[0].code]).toEqual([400, "body-too-large"]);
    expect(taken).toEqual([]);
  });

  it.each([
    ["torn gzip", gzipSync(alert).subarray(0, 60), { "content-encoding": "gzip" }],
    ["another encoding", Buffer.from(alert), { "content-encoding": "br" }],
  ])("refuses %s", async (_name, body, headers) => {
    const { post, taken } = await open();
    const answer = await post("/v1/falco", body, headers);
    expect([answer.statusCode, answer.json().problems[0].code]).toEqual([
      400,
      "encoding-unsupported",
    ]);
    expect(taken).toEqual([]);
  });
});

describe("what is too large for the bus", () => {
  const kept = 65_536;
  /** Refuses as the bus does, by the raw text of each record. */
  const bus = async ({ events, rejections }: Intake) => {
    const longest = Math.max(0, ...[...events, ...rejections].map(({ raw }) => raw.length));
    if (longest <= kept) return;
    const [expected, found] = ["a record of at most 65536 bytes", `${longest} bytes`];
    throw new ServiceError({ code: "body-too-large", place: "bus.db", expected, found });
  };
  const large = JSON.stringify({ ...JSON.parse(alert), output: "x".repeat(kept) });
  const broken = "{".padEnd(kept + 1, "y");

  it.each([
    ["an event", large, 0, 1, 413],
    ["a rejection", broken, 0, 1, 413],
    ["one of three events", `${alert}\n${large}\n${alert}`, 2, 1, 200],
    ["one event beside a small rejection", `${large}\n{`, 0, 2, 400],
    ["both among others", `${alert}\n${broken}\n${large}\n{\n${alert}`, 2, 3, 200],
  ])("%s", async (_name, body, accepted, rejected, status) => {
    const { post, taken } = await open({}, bus);
    const answer = await post("/v1/falco", body);
    expect(answer.statusCode).toBe(status);
    if (status === 200) expect(answer.json()).toMatchObject({ accepted, rejected });
    expect(answer.body).not.toContain("bus.db");
    const events = taken.flatMap(({ intake }) => intake.events);
    const rejections = taken.flatMap(({ intake }) => intake.rejections);
    expect([events.length, rejections.length]).toEqual([accepted, rejected]);
    const cut = rejections.filter(({ problem }) => problem.code === "body-too-large");
    expect(cut.length).toBeGreaterThan(0);
    for (const { raw, problem } of cut) {
      expect(body).toContain(raw);
      expect(raw).toHaveLength(kept);
      expect(problem.found).toMatch(/^one that is larger; 65536 of its \d+ characters are kept$/);
    }
  });

  it("is nothing that fits exactly, and no other refusal is taken for it", async () => {
    const exact = "{".padEnd(kept, "y");
    const { post, taken } = await open({}, bus);
    expect((await post("/v1/falco", exact)).json().problems[0].code).toBe("json-invalid");
    expect(taken[0]?.intake.rejections[0]?.raw).toBe(exact);
    const failing = await open({}, async () => {
      throw new Error("the disk is gone");
    });
    expect((await failing.post("/v1/falco", alert)).statusCode).toBe(500);
    expect(failing.taken).toEqual([]);
  });

  const longRaw = 4 * 1024 * 1024;
  it.each([
    [kept, 0, undefined],
    [kept + 1, 0, ["pipewarden.falco.output"]],
    [5, longRaw, ["raw"]],
  ])("a value of %i characters and %i of padding", async (length, padding, names) => {
    const { post, taken } = await open();
    const record = { ...JSON.parse(alert), output: "x".repeat(length) };
    const body = JSON.stringify(record).replace("{", `{${" ".repeat(padding)}`);
    expect((await post("/v1/falco", body)).json()).toMatchObject({ accepted: 1 });
    const event = taken[0]?.intake.events[0];
    const told = event?.fields["pipewarden.truncated"];
    if (names === undefined) expect(told).toBeUndefined();
    else expect(told).toEqual(expect.arrayContaining(names));
    expect(event?.fields["pipewarden.falco.output"]).toBe("x".repeat(Math.min(length, kept)));
    expect(event?.raw).toBe(body.slice(0, longRaw));
  });
});

describe("before a body is read", () => {
  const size = 900;
  const config = {
    falcoTokens: [token],
    githubWebhookSecrets: [secret],
    ...{ inFlightBytesMax: 1_024, bodyBytesMax: 1_024 },
  };
  const proof = { authorization: `Bearer ${token}` };

  async function listening(settings: object = config): Promise<Opened & { port: number }> {
    const all = await open(settings);
    await all.app.listen({ host: "127.0.0.1", port: 0 });
    return { ...all, port: (all.app.server.address() as AddressInfo).port };
  }

  /** Sends the head alone: with what the door answers, or once it waits for the body. */
  function head(port: number, path: string, headers: Record<string, string | number>) {
    const sent = request({ port, path, method: "POST", headers, agent: false });
    sent.on("error", () => undefined);
    const answered = new Promise<number>((resolve) => {
      sent.once("response", (response) => resolve(response.statusCode ?? 0));
    });
    const waits = new Promise<void>((resolve) => sent.once("continue", resolve));
    sent.flushHeaders();
    return { sent, answered, waits };
  }

  it.each([
    ["/v1/falco", {}, 401],
    ["/v1/falco", { authorization: `Bearer ${token}x` }, 401],
    ["/v1/github/webhook", {}, 401],
    // Refused for its length alone, whoever sends it.
    ["/v1/falco", { ...proof, "content-length": 1_025 }, 413],
    ["/v1/egress", { host: "rebound.example" }, 403],
  ])("%s with %j is answered %i", async (path, headers, status) => {
    const { port } = await listening();
    const { sent, answered } = head(port, path, { "content-length": size, ...headers });
    expect(await answered).toBe(status);
    sent.destroy();
  });

  it.each([
    ["a length", { "content-length": size }],
    ["no length, as the longest", { "transfer-encoding": "chunked" }],
  ])("room is taken for %s, and given back when the sender goes away", async (_name, length) => {
    const { port, post, taken } = await listening();
    const slow = head(port, "/v1/falco", { ...proof, ...length, expect: "100-continue" });
    await slow.waits;
    expect((await post("/v1/falco", alert, proof)).statusCode).toBe(503);
    // Who has no credential takes no room, and is told so.
    expect((await post("/v1/falco", alert)).statusCode).toBe(401);
    slow.sent.destroy();
    let status = 503;
    for (let tries = 0; status === 503 && tries < 5_000; tries += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      status = (await post("/v1/falco", alert, proof)).statusCode;
    }
    expect([status, taken.length]).toEqual([200, 1]);
  });

  it("strangers at the webhook door leave room for the proven", async () => {
    const { port, post } = await listening({ ...config, inFlightBytesMax: 2_048 });
    const headers = { "content-length": size, "x-hub-signature-256": "sha256=0" };
    const slow = head(port, "/v1/github/webhook", { ...headers, expect: "100-continue" });
    await slow.waits;
    const body = ping.padEnd(size);
    expect((await post("/v1/github/webhook", body, signed(body))).statusCode).toBe(503);
    expect((await post("/v1/falco", alert.padEnd(size), proof)).statusCode).toBe(200);
    slow.sent.destroy();
  });

  it("is given back after every answer", async () => {
    const { post } = await open(config);
    for (const [body, status] of [
      [alert, 200],
      ["{".padEnd(size), 400],
      ["x".repeat(1_025), 413],
    ] as const) {
      for (let time = 0; time < 3; time += 1) {
        expect((await post("/v1/falco", body, proof)).statusCode).toBe(status);
      }
    }
  });

  it("what a body inflates to is counted with it", async () => {
    const { post, taken } = await open({ inFlightBytesMax: 8_192, bodyBytesMax: 65_536 });
    const fits = await post("/v1/egress", gzipSync(`${squidLine}\n`.repeat(40)));
    expect(fits.statusCode).toBe(200);
    const answer = await post("/v1/egress", gzipSync(`${squidLine}\n`.repeat(200)));
    expect([answer.statusCode, answer.headers["retry-after"]]).toEqual([503, "2"]);
    expect(taken).toHaveLength(1);
    expect((await post("/v1/egress", squidLine)).statusCode).toBe(200);
  });
});

describe("a browser", () => {
  it.each([
    ["localhost", 200],
    ["LocalHost:8480", 200],
    ["127.0.0.1:8480", 200],
    ["127.9.9.9", 200],
    ["[::1]:8480", 200],
    ["rebound.example:8480", 403],
    ["127.0.0.1.example", 403],
    ["localhost.example", 403],
    ["localhost:8480:1", 403],
    ["[::2]", 403],
    ["192.0.2.1", 403],
    [":8480", 403],
  ])("asking for %j is answered %i by a door without tokens", async (host, status) => {
    const { app, post, taken } = await open({ egressTokens: [token] });
    expect((await post("/v1/falco", alert, { host })).statusCode).toBe(status);
    expect(taken).toHaveLength(status === 200 ? 1 : 0);
    const health = await app.inject({ url: "/services/collector/health", headers: { host } });
    expect(health.statusCode).toBe(status);
    // Where a token is needed the name does not matter.
    const proof = { host, authorization: `Bearer ${token}` };
    expect((await post("/v1/egress", squidLine, proof)).statusCode).toBe(200);
  });

  it.each([
    ["http://evil.example", 403],
    ["null", 403],
    ["http://127.0.0.1:8481", 403],
    ["http://127.0.0.1:8480", 200],
  ])("on a page of %s is answered %i", async (origin, status) => {
    const { post, taken } = await open({ egressTokens: [token] });
    const headers = { origin, host: "127.0.0.1:8480" };
    expect((await post("/v1/falco", alert, headers)).statusCode).toBe(status);
    const proof = { ...headers, authorization: `Bearer ${token}` };
    expect((await post("/v1/egress", squidLine, proof)).statusCode).toBe(status);
    expect(taken).toHaveLength(status === 200 ? 2 : 0);
  });
});

describe("GitHub webhooks", () => {
  const config = { githubWebhookSecrets: [secret, "the-next-secret-in-rotation"] };

  it.each([
    ["the first secret", signed(ping), 200],
    ["the second secret", signed(ping, "the-next-secret-in-rotation"), 200],
    ["another secret", signed(ping, "a-secret-of-somebody-else"), 401],
    ["a signature of other bytes", signed(`${ping} `), 401],
    ["the signature cut", { ...signed(ping), "x-hub-signature-256": "sha256=75" }, 401],
    ["no signature", { "x-github-event": "ping" }, 401],
    ["the old algorithm", { "x-hub-signature": "sha1=0" }, 401],
  ])("with %s: %i", async (_name, headers, status) => {
    const { post, taken } = await open(config);
    const answer = await post("/v1/github/webhook", ping, headers as Record<string, string>);
    expect(answer.statusCode).toBe(status);
    expect(taken).toHaveLength(status === 200 ? 1 : 0);
  });

  it("accepts GitHub's own test vector", async () => {
    const { post } = await open(config);
    const vector = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    const headers = { "x-hub-signature-256": `sha256=${vector}` };
    // The body is no JSON: it passes the check and fails as a payload.
    const answer = await post("/v1/github/webhook", "Hello, World!", headers);
    expect([answer.statusCode, answer.json().problems[0].code]).toEqual([400, "json-invalid"]);
  });

  it("stays shut without a secret", async () => {
    const { post } = await open();
    expect((await post("/v1/github/webhook", ping, signed(ping))).statusCode).toBe(401);
  });

  it("takes a redelivery once", async () => {
    const { post, taken } = await open(config);
    await post("/v1/github/webhook", ping, signed(ping));
    const again = await post("/v1/github/webhook", ping, signed(ping));
    expect([again.statusCode, again.json()]).toEqual([200, { accepted: 0, duplicate: true }]);
    expect(taken).toHaveLength(1);
  });

  it("remembers no delivery id of another door", async () => {
    const { post, taken } = await open(config);
    const id = { "x-github-delivery": signed(ping)["x-github-delivery"] ?? "" };
    for (let time = 0; time < 2; time += 1) {
      expect((await post("/v1/falco", alert, id)).json()).toMatchObject({ accepted: 1 });
    }
    const answer = await post("/v1/github/webhook", ping, signed(ping));
    expect(answer.json()).toMatchObject({ accepted: 1 });
    expect(taken).toHaveLength(3);
  });

  it("takes a redelivery when the first try could not be stored", async () => {
    let full = true;
    const problem = {
      code: "intake-full",
      place: "bus.db",
      expected: "room",
      found: "none",
    } as const;
    const { post, taken } = await open(config, async () => {
      if (full) throw new ServiceError(problem);
    });
    expect((await post("/v1/github/webhook", ping, signed(ping))).statusCode).toBe(503);
    full = false;
    expect((await post("/v1/github/webhook", ping, signed(ping))).json()).toMatchObject({
      accepted: 1,
    });
    expect(taken).toHaveLength(1);
  });
});

describe("tokens", () => {
  const config = { falcoTokens: [token], githubAuditTokens: [token], egressTokens: [token] };
  const basic = Buffer.from(`falco:${token}`).toString("base64");

  it.each([
    ["/v1/falco", { authorization: `Bearer ${token}` }, 200],
    ["/v1/falco", { authorization: `Basic ${basic}` }, 200],
    [`/v1/falco/${token}`, {}, 200],
    [`/v1/falco/${token}x`, {}, 401],
    ["/v1/falco", {}, 401],
    ["/v1/falco", { authorization: "Bearer " }, 401],
    ["/v1/egress", { authorization: `Bearer ${token}x` }, 401],
    // What follows the egress door's path says where a record comes from, and is no credential.
    [`/v1/egress/${token}`, {}, 401],
    [`/v1/egress/token/${token}`, {}, 200],
    [`/v1/egress/token/${token}/github/acme/api/actions/jobs/j-1/networkconnection`, {}, 200],
    [`/v1/egress/token/${token}x/github/acme/api`, {}, 401],
  ])("%s with %j: %i", async (path, headers, status) => {
    const { post } = await open(config);
    const connection =
      '{"ipAddress":"192.0.2.9","port":"443","domainName":"a.example.","timestamp":"2026-11-24T02:07:00Z","tool":{"name":"curl"},"status":""}';
    const egress = path.endsWith("networkconnection") ? connection : squidLine;
    const body = path.startsWith("/v1/falco") ? alert : egress;
    expect((await post(path, body, headers as Record<string, string>)).statusCode).toBe(status);
  });

  it("speaks as a HEC endpoint to the audit stream", async () => {
    const { app, post, taken } = await open(config);
    const entry = { "@timestamp": now, action: "repo.create", _document_id: "abc" };
    const envelopes = [entry, { ...entry, _document_id: "abd" }]
      .map((event) => JSON.stringify({ event, time: now / 1000 }))
      .join("");
    const headers = { authorization: `Splunk ${token}` };
    const answer = await post("/services/collector", gzipSync(envelopes), headers);
    expect(answer.json()).toMatchObject({ text: "Success", code: 0, accepted: 2 });
    expect(taken[0]?.intake.events).toHaveLength(2);
    const wrong = await post("/services/collector/event", envelopes, {
      authorization: "Splunk no",
    });
    expect([wrong.statusCode, wrong.json()]).toEqual([403, { text: "Invalid token", code: 4 }]);
    const probe = await post("/services/collector", "", headers);
    expect([probe.statusCode, probe.json()]).toEqual([200, { text: "Success", code: 0 }]);
    const health = await app.inject("/services/collector/health");
    expect(health.json()).toEqual({ text: "Success", code: 0 });
  });
});
