import { createHash } from "node:crypto";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Notice } from "../../src/alert/alert.ts";
import { VirtualClock } from "../../src/clock.ts";
import { ServiceError } from "../../src/error.ts";
import type { Sink } from "../../src/sink/sink.ts";
import {
  createWebhookSink,
  retryAfterMs,
  signatures,
  signingKey,
  webhookId,
} from "../../src/sink/webhook.ts";
import { bodyBytesMax, webhookBody } from "../../src/sink/webhook-body.ts";
import { sinkContract } from "../contract/sink.ts";
import { noticeOf, start } from "./fakes.ts";
import { startReceiver, type WebhookReceiver } from "./receiver.ts";

const never = new AbortController().signal;
const secretOf = (text: string) => `whsec_${createHash("sha256").update(text).digest("base64")}`;
const secret = secretOf("one");

function makeSink(url: string, secrets = [secret], clock = new VirtualClock(start)): Sink {
  const config = { type: "webhook" as const, url, secrets };
  return createWebhookSink({ name: "soc", config, clock });
}

sinkContract({
  name: "webhook",
  make: async () => {
    const receiver = await startReceiver({ secret, now: () => start });
    return {
      sink: makeSink(receiver.url),
      held: async () => [...receiver.accepted.values()].map(({ body }) => body),
      refuse: (how) => {
        const status = { temporarily: 503, permanently: 400 };
        receiver.answerAll(how === "no more" ? undefined : { status: status[how] });
      },
      hang: () => receiver.answerAll("hang"),
      cleanUp: () => receiver.close(),
    };
  },
});

describe("webhook", () => {
  let receiver: WebhookReceiver;
  let clock: VirtualClock;
  let sink: Sink;
  beforeEach(async () => {
    clock = new VirtualClock(start);
    receiver = await startReceiver({ secret, now: () => clock.now() });
    sink = makeSink(receiver.url, [secret], clock);
  });
  afterEach(async () => {
    await sink.close();
    await receiver.close();
  });

  it("signs as the published vector of Standard Webhooks", () => {
    const key = signingKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "test");
    const signed = {
      id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
      timestamp: "1614265330",
      body: '{"test": 2432232314}',
    };
    expect(signatures([key], signed)).toBe("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
  });

  it("keeps id and bytes over retries and stamps each try anew", async () => {
    receiver.answerNext({ status: 503 }, { status: 429 });
    await sink.send(noticeOf(), never);
    clock.advance(61_000);
    await sink.send(noticeOf(), never);
    clock.advance(3_600_000);
    expect(await sink.send(noticeOf(), never)).toEqual({ kind: "delivered", receipt: "http 204" });
    const { requests } = receiver;
    expect(requests.map(({ verified }) => verified)).toEqual([true, true, true]);
    expect(new Set(requests.map(({ id }) => id))).toEqual(new Set([webhookId(noticeOf().key)]));
    expect(new Set(requests.map(({ body }) => body)).size).toBe(1);
    expect(requests.map(({ timestamp }) => timestamp)).toEqual(
      [0, 61, 3_661].map((seconds) => start / 1_000 + seconds),
    );
    expect(receiver.accepted.size).toBe(1);
  });

  it("signs with both secrets while one replaces the other", async () => {
    const both = makeSink(receiver.url, [secretOf("new"), secret], clock);
    await both.send(noticeOf(), never);
    expect(receiver.requests[0]?.verified).toBe(true);
    expect(receiver.requests[0]?.signature.split(" ")).toHaveLength(2);
    await both.close();
    const other = makeSink(receiver.url, [secretOf("new")], clock);
    expect(await other.send(noticeOf(), never)).toMatchObject({ kind: "retry" });
    await other.close();
  });

  it.each([
    [200, "delivered"],
    [201, "delivered"],
    [202, "delivered"],
    [204, "delivered"],
    [301, "retry"],
    [302, "retry"],
    [307, "retry"],
    [400, "rejected"],
    [401, "retry"],
    [403, "retry"],
    [404, "retry"],
    [405, "retry"],
    [408, "retry"],
    [409, "retry"],
    [410, "rejected"],
    [413, "rejected"],
    [415, "rejected"],
    [422, "rejected"],
    [429, "retry"],
    [500, "retry"],
    [501, "retry"],
    [502, "retry"],
    [503, "retry"],
    [504, "retry"],
  ])("takes %i for %s", async (status, kind) => {
    receiver.answerNext({ status, headers: { location: `${receiver.url}/elsewhere` } });
    expect((await sink.send(noticeOf(), never)).kind).toBe(kind);
    // A redirect that was followed would be a second request.
    expect(receiver.requests).toHaveLength(1);
  });

  it("delivers the page it was refused while the receiver had another secret", async () => {
    receiver.answerNext({ status: 401 });
    expect(await sink.send(noticeOf(), never)).toMatchObject({ kind: "retry" });
    expect(await sink.send(noticeOf(), never)).toMatchObject({ kind: "delivered" });
  });

  it.each(["drop" as const])("tries again when the connection breaks: %s", async (answer) => {
    receiver.answerNext(answer);
    expect(await sink.send(noticeOf(), never)).toMatchObject({ kind: "retry" });
  });

  it("tries again when nobody listens, without naming the address", async () => {
    const { url } = receiver;
    await receiver.close();
    const answer = await sink.send(noticeOf(), never);
    expect(answer).toEqual({ kind: "retry", reason: "no answer: ECONNREFUSED" });
    receiver = await startReceiver({ secret });
    expect(JSON.stringify(answer)).not.toContain(new URL(url).port);
  });

  it("counts an accepted status as delivered although the answer never ends", async () => {
    receiver.answerNext("stall");
    expect(await sink.send(noticeOf(), never)).toMatchObject({ kind: "delivered" });
  });

  it("shows the beginning of a refusal, made safe", async () => {
    receiver.answerNext({ status: 422, body: `no \u001b[31msuch field ${"x".repeat(5_000)}` });
    const answer = await sink.send(noticeOf(), never);
    expect(answer).toMatchObject({
      kind: "rejected",
      reason: expect.stringMatching(/^http 422: no \\u001b\[31msuch field x+…$/),
    });
    expect(JSON.stringify(answer).length).toBeLessThan(300);
  });

  it("asks for the wait the service asks for", async () => {
    receiver.answerNext({ status: 429, headers: { "retry-after": "120" } });
    expect(await sink.send(noticeOf(), never)).toMatchObject({ kind: "retry", afterMs: 120_000 });
    const date = new Date(start + 45_000).toUTCString();
    receiver.answerNext({ status: 503, headers: { "retry-after": date } });
    expect(await sink.send(noticeOf(), never)).toMatchObject({ kind: "retry", afterMs: 45_000 });
  });

  it.each([
    ["120", 120_000],
    ["0", 0],
    [" 5 ", 5_000],
    ["Mon, 23 Nov 2026 09:01:00 GMT", 60_000],
    ["Mon, 23 Nov 2026 08:00:00 GMT", 0],
    ["-5", undefined],
    ["1.5", undefined],
    ["99999999999999999999", undefined],
    ["tomorrow", undefined],
    ["2026-11-23", undefined],
    ["Mon, 99 Xxx 2026 09:01:00 GMT", undefined],
    ["", undefined],
    [undefined, undefined],
  ])("reads Retry-After %j as %s", (header, wanted) => {
    expect(retryAfterMs(header, start)).toBe(wanted);
  });

  it.each([
    ["ftp://hooks.example/x", [secret]],
    ["file:///etc/passwd", [secret]],
    ["hooks.example/x", [secret]],
    ["https://user@hooks.example/x", [secret]],
    ["https://user:hunter2@hooks.example/x", [secret]],
    ["https://hooks.example/x", ["whsec_c2hvcnQ="]],
    ["https://hooks.example/x", ["whsec_not base64 but long enough to be one, surely!"]],
    ["https://hooks.example/x", [secret, `whsec_${Buffer.alloc(65).toString("base64")}`]],
  ])("refuses at start, without showing it: %s", (url, secrets) => {
    const attempt = () => makeSink(url, secrets);
    expect(attempt).toThrow(ServiceError);
    expect(attempt).toThrow(/^sinks\.soc\.(url|secrets): config-invalid/);
    for (const hidden of ["hunter2", "c2hvcnQ", "passwd"]) expect(attempt).not.toThrow(hidden);
  });
});

describe("webhook body", () => {
  const read = (notice: Notice, consoleUrl?: string) =>
    JSON.parse(webhookBody(notice, consoleUrl)) as Record<string, unknown>;

  it("says what happened, where, and what to look at", () => {
    expect(read(noticeOf(), "https://pw.example/")).toMatchObject({
      type: "incident.paged",
      timestamp: "2026-11-23T09:00:00.000Z",
      data: {
        id: "inc_1",
        level: "critical",
        url: "https://pw.example/api/v1/incidents/inc_1",
        pagedAt: "2026-11-23T09:00:00.000Z",
        build: { repository: "acme/api", runId: "9007199254740993" },
        secretsExposed: ["DEPLOY_TOKEN"],
        alerts: [
          {
            rule: { title: "Secret read then egress" },
            events: [{ feed: "falco", fields: { "destination.ip": "203.0.113.9" } }],
          },
        ],
        truncated: false,
      },
    });
    expect(read(noticeOf({ kind: "update" }))).toMatchObject({ type: "incident.updated" });
    expect(read(noticeOf())["data"]).not.toHaveProperty("url");
  });

  it("stays small whatever it is given, and says when it left something off", () => {
    const big = noticeOf({ text: "\u0001".repeat(5_000), alerts: 20, events: 20 });
    const body = webhookBody(big);
    expect(Buffer.byteLength(body)).toBeLessThan(bodyBytesMax);
    expect(JSON.parse(body)).toMatchObject({ data: { id: "inc_1", truncated: true } });
  });

  it("is below its bound for any text and number of things", () => {
    const anything = fc.record({
      text: fc.string({ unit: "binary", maxLength: 3_000 }),
      alerts: fc.integer({ min: 0, max: 20 }),
      events: fc.integer({ min: 0, max: 20 }),
      times: fc.integer({ min: 1, max: 60 }),
    });
    fc.assert(
      fc.property(anything, ({ text, alerts, events, times }) => {
        const notice = noticeOf({ text: text.repeat(times).slice(0, 20_000), alerts, events });
        const origin = { thing: text, origin: notice.incident.build, reason: text };
        const origins = Array.from({ length: 16 }, () => ({
          ...origin,
          savedAt: 1,
          restoredAt: 2,
        }));
        const heavy = { ...notice, incident: { ...notice.incident, origins } } as Notice;
        const body = webhookBody(heavy);
        expect(Buffer.byteLength(body)).toBeLessThan(bodyBytesMax);
        expect(body.isWellFormed()).toBe(true);
        expect(JSON.parse(body)).toMatchObject({ data: { id: "inc_1", level: "critical" } });
      }),
      { seed: 20_261_125, numRuns: 150 },
    );
  });

  it("takes an impossible time for none", () => {
    const notice = { ...noticeOf(), createdAt: Number.NaN };
    expect(read(notice)["timestamp"]).toBeNull();
  });
});
