/** @module The API people and programs read: incidents, alerts, events, health, metrics. Read only. */

import { createHash, timingSafeEqual } from "node:crypto";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type Static, Type } from "typebox";
import type { Store } from "../store/store.ts";
import type { Telemetry } from "../telemetry.ts";

export const ApiConfig = Type.Object(
  {
    tokens: Type.Array(Type.String({ minLength: 16 }), {
      default: [],
      description: "Bearer tokens of the API. None: only for an installation on loopback.",
    }),
  },
  { additionalProperties: false },
);
export type ApiConfig = Static<typeof ApiConfig>;

export interface ApiSettings {
  readonly config: ApiConfig;
  readonly store: Store;
  readonly telemetry: Telemetry;
  /** What keeps the service from doing its work; [] when ready. */
  readonly unready: () => readonly string[];
  /** Records that some stage has yet to apply, by stage. */
  readonly backlog: () => Promise<Readonly<Record<string, number>>>;
  /** Each notice promised for an incident and what became of it. */
  readonly deliveriesOf: (incidentId: string) => readonly unknown[];
}

const IdParams = Type.Object({ id: Type.String({ maxLength: 200 }) });
const ListQuery = Type.Object({
  limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
  cursor: Type.Optional(Type.String({ maxLength: 500 })),
});

export async function registerApi(app: FastifyInstance, settings: ApiSettings): Promise<void> {
  const { store, telemetry } = settings;
  app.get("/livez", async () => ({ status: "alive" }));
  app.get("/readyz", async (_request, reply) => {
    const reasons = settings.unready();
    if (reasons.length === 0) return { status: "ready", backlog: await settings.backlog() };
    return reply.code(503).send({ status: "unready", reasons });
  });
  app.get("/metrics", async (_request, reply) =>
    reply.type("text/plain; version=0.0.4").send(await telemetry.metrics()),
  );
  await app.register(
    async (scope) => {
      scope.addHook("onRequest", async (request, reply) => authorise(request, reply, settings));
      scope.get<{ Querystring: Static<typeof ListQuery> }>(
        "/incidents",
        { schema: { querystring: ListQuery } },
        async ({ query: { limit, cursor } }) =>
          store.incidents(cursor === undefined ? { limit } : { limit, cursor }),
      );
      one(scope, "/incidents/:id", async (id) => {
        const incident = await store.incident(id);
        if (incident === undefined) return undefined;
        const alerts = await Promise.all(incident.alertIds.map((alert) => store.alert(alert)));
        return {
          ...incident,
          alerts: alerts.filter((alert) => alert !== undefined),
          deliveries: settings.deliveriesOf(incident.id),
        };
      });
      one(scope, "/alerts/:id", (id) => store.alert(id));
      one(scope, "/events/:id", (id) => store.event(id));
    },
    { prefix: "/api/v1" },
  );
}

function one(scope: FastifyInstance, path: string, find: (id: string) => Promise<unknown>): void {
  scope.get<{ Params: Static<typeof IdParams> }>(
    path,
    { schema: { params: IdParams } },
    async ({ params: { id } }, reply) =>
      (await find(id)) ??
      reply
        .code(404)
        .type("application/problem+json")
        .send(JSON.stringify({ title: "no such document", status: 404 })),
  );
}

async function authorise(
  request: FastifyRequest,
  reply: FastifyReply,
  { config }: ApiSettings,
): Promise<void> {
  if (config.tokens.length === 0) return;
  const given = request.headers.authorization?.replace(/^Bearer\s+/i, "") ?? "";
  const digest = (text: string) => createHash("sha256").update(text).digest();
  let known = false;
  for (const token of config.tokens) {
    if (timingSafeEqual(digest(given), digest(token))) known = true;
  }
  if (!known) await reply.code(401).send({ title: "token not accepted", status: 401 });
}
