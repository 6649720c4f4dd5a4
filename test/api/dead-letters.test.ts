import fastify, { type FastifyInstance, type LightMyRequestResponse } from "fastify";
import { afterEach, describe, expect, it } from "vitest";
import { type DocumentSource, registerApi } from "../../src/api/api.ts";
import { ServiceError, UnavailableError } from "../../src/error.ts";
import { openMemoryStore } from "../../src/store/embedded.ts";
import { silentTelemetry } from "../../src/telemetry.ts";

const token = "a-token-of-the-api-1";
const problem = {
  code: "json-invalid",
  place: "falco door",
  expected: "JSON",
  found: "x",
} as const;
const open: { close(): Promise<unknown> }[] = [];

afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});

interface Api {
  readonly app: FastifyInstance;
  /** Everything asked of the letters, as `call argument`. */
  readonly asked: string[];
  send(
    method: "GET" | "POST" | "DELETE",
    path: string,
    headers?: Record<string, string>,
  ): Promise<LightMyRequestResponse>;
}

type Letters = DocumentSource["deadLetters"];

async function apiOver(tokens: string[] = [], letters: Partial<Letters> = {}): Promise<Api> {
  const asked: string[] = [];
  const app = fastify({ logger: false });
  const store = openMemoryStore();
  open.push(store, app);
  const known = (id: string) => id === "dl-0-1";
  await registerApi(app, {
    ...{ config: { tokens }, telemetry: silentTelemetry(), unready: () => [] },
    backlog: async () => ({}),
    documents: {
      store,
      deadLetters: {
        list: async (query) => {
          asked.push(`list ${JSON.stringify(query)}`);
          return { items: [{ id: "dl-0-1" }], open: 1 };
        },
        find: async (id) => {
          asked.push(`find ${id}`);
          return known(id) ? { id, raw: "{" } : undefined;
        },
        retry: async (id) => {
          asked.push(`retry ${id}`);
          return known(id) ? { kind: "done", events: 2, rejected: 1 } : undefined;
        },
        drop: async (id) => {
          asked.push(`drop ${id}`);
          return known(id);
        },
        ...letters,
      },
    },
  });
  const send: Api["send"] = async (method, path, headers = {}) =>
    await app.inject({ method, url: `/api/v1/dead-letters${path}`, headers });
  return { app, asked, send };
}

const everything = [
  ["GET", ""],
  ["GET", "/dl-0-1"],
  ["POST", "/dl-0-1/retry"],
  ["DELETE", "/dl-0-1"],
] as const;

describe("dead letters over the API", () => {
  it("are listed, shown, read again and dropped", async () => {
    const { send, asked } = await apiOver();
    expect((await send("GET", "?limit=7&cursor=c")).json()).toEqual({
      ...{ items: [{ id: "dl-0-1" }], open: 1 },
    });
    expect((await send("GET", "/dl-0-1")).json()).toEqual({ id: "dl-0-1", raw: "{" });
    const retried = await send("POST", "/dl-0-1/retry");
    expect([retried.statusCode, retried.json()]).toEqual([200, { events: 2, rejected: 1 }]);
    const dropped = await send("DELETE", "/dl-0-1");
    expect([dropped.statusCode, dropped.body]).toEqual([204, ""]);
    expect(asked).toEqual([
      ...['list {"limit":7,"cursor":"c"}', "find dl-0-1", "retry dl-0-1", "drop dl-0-1"],
    ]);
  });

  it.each([
    ["GET", "/dl-0-2", 404],
    ["POST", "/dl-0-2/retry", 404],
    ["DELETE", "/dl-0-2", 404],
    ["GET", "?limit=0", 400],
    ["GET", "?limit=201", 400],
    ["POST", "/dl-0-1", 404],
    ["DELETE", "", 404],
  ] as const)("answer %s %s with %i and a problem", async (method, path, status) => {
    const { send } = await apiOver();
    const answer = await send(method, path);
    expect(answer.statusCode).toBe(status);
    expect(answer.headers["content-type"]).toMatch(/^application\/problem\+json/);
    expect(answer.json()).toMatchObject({ status });
  });

  it("answer 422 with the problems of what still cannot be read, 20 at most", async () => {
    const problems = Array.from({ length: 30 }, () => problem);
    const { send } = await apiOver([], { retry: async () => ({ kind: "rejected", problems }) });
    const answer = await send("POST", "/dl-0-1/retry");
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({ status: 422, title: "it still cannot be read" });
    expect(answer.json<{ problems: unknown[] }>().problems).toHaveLength(20);
  });

  it.each([
    ["a full bus", new ServiceError({ ...problem, code: "intake-full" }), 503],
    ["a full disk", new ServiceError({ ...problem, code: "state-unavailable" }), 503],
    ["something away", new UnavailableError("away"), 503],
    ["a bug", new TypeError("secret detail"), 500],
    ["a wrong cursor", new ServiceError({ ...problem, code: "cursor-invalid" }), 400],
  ])("answer %s with its status", async (_, error, status) => {
    const fail = async () => {
      throw error;
    };
    const { send } = await apiOver([], { list: fail, retry: fail, drop: fail });
    for (const [method, path] of [everything[0], everything[2], everything[3]]) {
      const answer = await send(method, path);
      expect(answer.statusCode).toBe(status);
      expect(answer.body).not.toContain("secret detail");
    }
  });
});

describe("without the token", () => {
  it.each(everything)("%s %s is refused and does nothing", async (method, path) => {
    const { send, asked } = await apiOver([token]);
    const wrong = [{}, { authorization: "Bearer nonsense" }, { authorization: `Basic ${token}x` }];
    for (const headers of wrong) {
      const answer = await send(method, path, headers as Record<string, string>);
      expect([answer.statusCode, answer.headers["www-authenticate"]]).toEqual([401, "Bearer"]);
    }
    expect(asked).toEqual([]);
    const right = await send(method, path, { authorization: `Bearer ${token}` });
    expect(right.statusCode).toBeLessThan(300);
    expect(asked).toHaveLength(1);
  });
});

describe("from a page of another site", () => {
  it.each([
    ["http://evil.example", 403],
    ["null", 403],
    ["http://127.0.0.1:8481", 403],
    ["http://127.0.0.1:8480", 200],
    [undefined, 200],
  ])("a write of the origin %s is answered with %i", async (origin, status) => {
    const { send, asked } = await apiOver();
    const headers = { host: "127.0.0.1:8480", ...(origin === undefined ? {} : { origin }) };
    expect((await send("POST", "/dl-0-1/retry", headers)).statusCode).toBe(status);
    expect((await send("DELETE", "/dl-0-1", headers)).statusCode).toBe(status === 200 ? 204 : 403);
    expect(asked).toHaveLength(status === 200 ? 2 : 0);
    expect((await send("GET", "", headers)).statusCode).toBe(200);
  });
});
