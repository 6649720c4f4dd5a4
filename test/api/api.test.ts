import fastify, { type FastifyInstance, type LightMyRequestResponse } from "fastify";
import { afterEach, describe, expect, it } from "vitest";
import type { Alert, Incident } from "../../src/alert/alert.ts";
import { type ApiSettings, type DocumentSource, registerApi } from "../../src/api/api.ts";
import { UnavailableError } from "../../src/error.ts";
import { openMemoryStore } from "../../src/store/embedded.ts";
import type { Store, StoreDocument } from "../../src/store/store.ts";
import { silentTelemetry } from "../../src/telemetry.ts";
import {
  alertOf,
  deliveryDocument,
  eventOf,
  incidentDocument,
  incidentOf,
} from "../contract/store.ts";

const token = "a-token-of-the-api-1";
const otherToken = "a-token-of-the-api-2";
const start = Date.UTC(2026, 10, 23, 9);
const open: { close(): Promise<unknown> }[] = [];

afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});

const noLetters: DocumentSource["deadLetters"] = {
  list: async () => ({ items: [], open: 0 }),
  find: async () => undefined,
  retry: async () => undefined,
  drop: async () => false,
};

async function apiOver(
  documents: readonly StoreDocument[],
  parts: Partial<ApiSettings & DocumentSource> = {},
): Promise<FastifyInstance> {
  const store = openMemoryStore();
  await store.write(documents);
  const app = fastify({ logger: false });
  open.push(store, app);
  await registerApi(app, {
    config: { tokens: [] },
    telemetry: silentTelemetry(),
    unready: () => [],
    backlog: async () => ({ detect: 0, store: 0 }),
    ...parts,
    documents: { store, deadLetters: noLetters, ...parts },
  });
  return app;
}

function get(app: FastifyInstance, url: string, given?: string): Promise<LightMyRequestResponse> {
  const headers = given === undefined ? {} : { authorization: given };
  return app.inject({ url, headers });
}

/** Status and title, after checking that the answer is a problem as RFC 9457 has it. */
function problemOf(answer: LightMyRequestResponse): string {
  expect(answer.headers["content-type"]).toMatch(/^application\/problem\+json\b/);
  const body = answer.json<{ title: string; status: number }>();
  expect(body.status).toBe(answer.statusCode);
  return `${body.status} ${body.title}`;
}

/** `inc_0`, the oldest, to `inc_<count - 1>`. */
function incidents(count: number): StoreDocument[] {
  return Array.from({ length: count }, (_, index) =>
    incidentDocument(incidentOf(`inc_${index}`, { lastSeen: start + index })),
  );
}

describe("the list of incidents", () => {
  it("is empty, without a cursor, when there are none", async () => {
    const app = await apiOver([]);
    const answer = await get(app, "/api/v1/incidents");
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toEqual({ items: [] });
  });

  it("comes latest first, 50 at once, each on one page only", async () => {
    const app = await apiOver(incidents(120));
    const seen: string[] = [];
    const sizes: number[] = [];
    let cursor: string | undefined;
    do {
      const query = cursor === undefined ? "" : `?cursor=${encodeURIComponent(cursor)}`;
      const page = (await get(app, `/api/v1/incidents${query}`)).json<{
        items: Incident[];
        cursor?: string;
      }>();
      seen.push(...page.items.map(({ id }) => id));
      sizes.push(page.items.length);
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(sizes).toEqual([50, 50, 20]);
    expect(seen).toEqual(Array.from({ length: 120 }, (_, index) => `inc_${119 - index}`));
  });

  it.each([
    [1, 1],
    [7, 7],
    [200, 120],
  ])("takes a limit of %i", async (limit, expected) => {
    const app = await apiOver(incidents(120));
    const answer = await get(app, `/api/v1/incidents?limit=${limit}`);
    expect(answer.json<{ items: unknown[] }>().items).toHaveLength(expected);
  });

  it.each(["0", "201", "-1", "1.5", "many", "", "1e9", "NaN"])(
    "refuses a limit of %j",
    async (limit) => {
      const app = await apiOver(incidents(3));
      const answer = await get(app, `/api/v1/incidents?limit=${limit}`);
      expect(problemOf(answer)).toMatch(/^400 .*limit/);
    },
  );

  it.each([
    "nonsense",
    "%00",
    Buffer.from("[1]").toString("base64url"),
    Buffer.from('["x","y"]').toString("base64url"),
    Buffer.from('{"__proto__":1}').toString("base64url"),
    "x".repeat(500),
  ])("refuses the cursor %j", async (cursor) => {
    const app = await apiOver(incidents(3));
    const answer = await get(app, `/api/v1/incidents?cursor=${cursor}`);
    expect(problemOf(answer)).toMatch(/^400 cursor: cursor-invalid/);
  });

  it("refuses a cursor longer than any it gives out", async () => {
    const app = await apiOver(incidents(3));
    const answer = await get(app, `/api/v1/incidents?cursor=${"x".repeat(501)}`);
    expect(problemOf(answer)).toMatch(/^400 .*cursor/);
  });
});

describe("one incident", () => {
  const alert = alertOf("alr_1", { incidentId: "inc_1" });
  const documents: StoreDocument[] = [
    incidentDocument(incidentOf("inc_1", { alertIds: ["alr_1", "alr_not-written-yet"] })),
    { kind: "alert", id: "alr_1", revision: 1, body: alert },
    { kind: "event", id: "falco:1", revision: 0, body: eventOf("falco:1") },
  ];

  it("comes with its alerts and what became of its notices", async () => {
    const app = await apiOver([...documents, deliveryDocument("inc_1", "delivered")]);
    const answer = await get(app, "/api/v1/incidents/inc_1");
    expect(answer.statusCode).toBe(200);
    const body = answer.json<Incident & { alerts: Alert[]; deliveries: unknown[] }>();
    expect(body.id).toBe("inc_1");
    expect(body.alerts.map(({ id }) => id)).toEqual(["alr_1"]);
    expect(body.deliveries).toMatchObject([
      { sink: "pager", incidentId: "inc_1", status: "delivered" },
    ]);
  });

  it("is found under the id of one that was merged into it, deliveries included", async () => {
    const merged = incidentOf("inc_1", { revision: 2, mergedIds: ["inc_2"] });
    const app = await apiOver([
      ...[incidentDocument(incidentOf("inc_2")), incidentDocument(merged)],
      ...[deliveryDocument("inc_2", "delivered"), deliveryDocument("inc_1", "pending")],
    ]);
    const answer = await get(app, "/api/v1/incidents/inc_2");
    const body = answer.json<Incident & { deliveries: { incidentId: string }[] }>();
    expect(body.id).toBe("inc_1");
    expect(body.deliveries.map(({ incidentId }) => incidentId)).toEqual(["inc_1", "inc_2"]);
    const list = (await get(app, "/api/v1/incidents")).json<{ items: Incident[] }>();
    expect(list.items.map(({ id }) => id)).toEqual(["inc_1"]);
  });

  it("and alerts and events are found by their ids", async () => {
    const app = await apiOver(documents);
    expect((await get(app, "/api/v1/alerts/alr_1")).json()).toEqual(
      JSON.parse(JSON.stringify(alert)),
    );
    const event = (await get(app, "/api/v1/events/falco%3A1")).json<{ id: string }>();
    expect(event.id).toBe("falco:1");
  });

  it.each([
    "/api/v1/incidents/inc_9",
    "/api/v1/alerts/inc_1",
    "/api/v1/events/alr_1",
    "/api/v1/incidents/__proto__",
    "/api/v1/incidents/constructor",
    "/api/v1/incidents/%27%20OR%201%3D1",
  ])("%s is not there", async (url) => {
    const app = await apiOver(documents);
    expect(problemOf(await get(app, url))).toBe("404 no such document");
  });

  it("is refused for an id longer than any", async () => {
    const app = await apiOver(documents);
    const answer = await get(app, `/api/v1/alerts/${"x".repeat(101)}`);
    expect(answer.statusCode).toBeGreaterThanOrEqual(400);
    expect(answer.statusCode).toBeLessThan(500);
  });

  it.each(["/api/v1", "/api/v1/", "/api/v1/secrets", "/api/v1/incidents/inc_1/x"])(
    "%s is no path",
    async (url) => {
      const app = await apiOver(documents);
      expect(problemOf(await get(app, url))).toBe("404 no such path");
    },
  );

  it.each(["POST", "PUT", "DELETE", "PATCH"] as const)(
    "cannot be changed by %s",
    async (method) => {
      const app = await apiOver(documents);
      const answer = await app.inject({ method, url: "/api/v1/incidents/inc_1", payload: {} });
      expect(answer.statusCode).toBe(404);
      expect((await get(app, "/api/v1/incidents/inc_1")).statusCode).toBe(200);
    },
  );
});

describe("tokens", () => {
  const config = { tokens: [token, otherToken] };

  it.each([
    undefined,
    "",
    "Bearer",
    "Bearer ",
    `Bearer ${token}x`,
    `Bearer ${token.slice(0, -1)}`,
    `Basic ${token}`,
    `Bearer ${token},${otherToken}`,
  ])("%j is not accepted", async (given) => {
    const app = await apiOver(incidents(1), { config });
    for (const url of ["/api/v1/incidents", "/api/v1/incidents/inc_0", "/api/v1/nothing"]) {
      const answer = await get(app, url, given);
      expect(problemOf(answer)).toBe("401 token not accepted");
      expect(answer.headers["www-authenticate"]).toBe("Bearer");
      expect(answer.body).not.toContain("inc_0");
    }
  });

  it("are each accepted, so that they can be exchanged one by one", async () => {
    const app = await apiOver(incidents(1), { config });
    for (const given of [`Bearer ${token}`, `bearer ${otherToken}`]) {
      expect((await get(app, "/api/v1/incidents", given)).statusCode).toBe(200);
    }
  });

  it("are asked for before anything is looked at", async () => {
    const app = await apiOver(incidents(1), { config });
    expect(problemOf(await get(app, "/api/v1/incidents?limit=many"))).toBe(
      "401 token not accepted",
    );
  });

  it.each(["/livez", "/readyz", "/metrics"])("%s needs none", async (url) => {
    const app = await apiOver([], { config });
    expect((await get(app, url)).statusCode).toBe(200);
  });
});

describe("a name that is not loopback", () => {
  const paths = ["/livez", "/readyz", "/metrics", "/api/v1/incidents", "/api/v1/nothing"];

  it.each([
    ["localhost:8480", false],
    ["127.0.0.1:8480", false],
    ["[::1]:8480", false],
    ["rebound.example:8480", true],
    ["127.0.0.1.example", true],
    ["192.0.2.1:8480", true],
    [":8480", true],
  ])("as %j is refused without tokens: %s", async (host, refused) => {
    const app = await apiOver(incidents(1));
    for (const url of paths) {
      const answer = await app.inject({ url, headers: { host } });
      const status = url.endsWith("nothing") ? 404 : 200;
      expect(answer.statusCode).toBe(refused ? 403 : status);
      if (refused) expect(problemOf(answer)).toMatch(/^403 .*loopback/);
    }
  });

  it("is no matter where tokens are needed", async () => {
    const app = await apiOver(incidents(1), { config: { tokens: [token] } });
    const headers = { host: "pipewarden.example", authorization: `Bearer ${token}` };
    for (const url of paths.slice(0, 4)) {
      expect((await app.inject({ url, headers })).statusCode).toBe(200);
    }
  });
});

describe("readiness", () => {
  it("shows what each stage has yet to do", async () => {
    const app = await apiOver([], { backlog: async () => ({ detect: 12, store: 0 }) });
    const answer = await get(app, "/readyz");
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toEqual({ status: "ready", backlog: { detect: 12, store: 0 } });
  });

  it("is 503 with the reasons, while the process is alive", async () => {
    const reasons = ["notify: alerts/2 stands still: the record is damaged", "stopping"];
    const app = await apiOver([], { unready: () => reasons });
    const answer = await get(app, "/readyz");
    expect(answer.statusCode).toBe(503);
    expect(answer.json()).toEqual({ status: "unready", reasons });
    expect((await get(app, "/livez")).json()).toEqual({ status: "alive" });
  });

  it("is 503 when the backlog cannot be told", async () => {
    const backlog = async () => {
      throw new UnavailableError("the bus is closed");
    };
    const app = await apiOver([], { backlog });
    const answer = await get(app, "/readyz");
    expect(answer.statusCode).toBe(503);
    expect(answer.json()).toEqual({ status: "unready", reasons: ["the bus is closed"] });
  });
});

describe("a store that does not answer", () => {
  function brokenStore(error: Error): Store {
    const fail = () => Promise.reject(error);
    return {
      ...{ write: fail, incident: fail, incidents: fail, alert: fail, event: fail },
      deliveries: fail,
      close: async () => undefined,
    };
  }

  it("makes it 503 while it is locked, and says nothing of files", async () => {
    const store = brokenStore(new UnavailableError("the store /srv/state.db: database is locked"));
    const app = await apiOver([], { store });
    const answer = await get(app, "/api/v1/incidents");
    expect(problemOf(answer)).toBe("503 the request failed; try again");
  });

  it("makes it 500 when something else is wrong", async () => {
    const app = await apiOver([], { store: brokenStore(new TypeError("x of undefined")) });
    expect(problemOf(await get(app, "/api/v1/alerts/alr_1"))).toBe(
      "500 the request failed; try again",
    );
  });
});

describe("metrics", () => {
  it("are in the text format of Prometheus, each line of it", async () => {
    const telemetry = silentTelemetry();
    telemetry.emit.eventsAccepted({ feed: "falco", count: 3, occurredAt: start });
    telemetry.emit.recordsRejected({ feed: 'a"b\\c\nd', code: "json-invalid", count: 2 });
    telemetry.emit.deliverySeconds({ sink: "pager", seconds: 0.3 });
    const app = await apiOver([], { telemetry });
    const answer = await get(app, "/metrics");
    expect(answer.headers["content-type"]).toBe("text/plain; version=0.0.4");
    const samples = samplesOf(answer.body);
    expect(samples.get('pipewarden_events_accepted_total{feed="falco"}')).toBe(3);
    const odd = 'pipewarden_records_rejected_total{feed="a\\"b\\\\c\\nd",code="json-invalid"}';
    expect(samples.get(odd)).toBe(2);
    expect(samples.get('pipewarden_delivery_seconds_count{sink="pager"}')).toBe(1);
    expect(samples.get('pipewarden_feed_last_event_timestamp_seconds{feed="falco"}')).toBe(
      start / 1000,
    );
  });
});

/**
 * Sample by name and labels; throws on a line that is no part of the format, or of a metric without
 * help and type.
 */
function samplesOf(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  const described = new Set<string>();
  for (const line of text.split("\n").filter((each) => each !== "")) {
    const about = /^# (HELP|TYPE) (\w+) (.+)$/.exec(line);
    if (about !== null) {
      described.add(`${about[1]} ${about[2]}`);
      continue;
    }
    const sample =
      /^((\w+?)(?:_bucket|_sum|_count)?(?:\{(?:\w+="(?:[^"\\\n]|\\.)*",?)*\})?) (\S+)$/;
    const [, key = "", name = "", value = ""] = sample.exec(line) ?? [];
    if (key === "" || Number.isNaN(Number(value.replace("+Inf", "Infinity")))) {
      throw new Error(`not a sample: ${line}`);
    }
    for (const kind of ["HELP", "TYPE"]) {
      if (!described.has(`${kind} ${name}`)) throw new Error(`no ${kind} of ${name}`);
    }
    samples.set(key, Number(value));
  }
  return samples;
}

describe("a process that people do not ask", () => {
  it("tells of its health and has no documents", async () => {
    const app = fastify({ logger: false });
    open.push(app);
    await registerApi(app, {
      ...{ config: { tokens: [] }, telemetry: silentTelemetry(), unready: () => [] },
      backlog: async () => ({ detect: 3 }),
    });
    expect((await get(app, "/readyz")).json()).toEqual({ status: "ready", backlog: { detect: 3 } });
    expect((await get(app, "/metrics")).statusCode).toBe(200);
    expect((await get(app, "/api/v1/incidents")).statusCode).toBe(404);
  });
});
