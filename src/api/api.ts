/**
 * @module The API of people and programs: incidents, alerts, events, dead letters, health, metrics.
 * Nothing is written but what becomes of a dead letter.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type Static, Type } from "typebox";
import { problemLine, ServiceError, shown, UnavailableError } from "../error.ts";
import { asksLoopback, isFromOtherSite } from "../loopback.ts";
import { secretAmong } from "../secret.ts";
import type { Store } from "../store/store.ts";
import type { Telemetry } from "../telemetry.ts";
import { type DeadLettersSource, registerDeadLetters } from "./dead-letters.ts";

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
  readonly telemetry: Telemetry;
  /** What keeps the service from doing its work; [] when ready. */
  readonly unready: () => readonly string[];
  /** Records that some stage has yet to apply, by stage. */
  readonly backlog: () => Promise<Readonly<Record<string, number>>>;
  /** What people ask for; absent in a process that others ask about its health alone. */
  readonly documents?: DocumentSource;
}

export interface DocumentSource {
  readonly store: Store;
  readonly deadLetters: DeadLettersSource;
}

/** As long as the router lets a parameter be. */
const IdParams = Type.Object({ id: Type.String({ maxLength: 100 }) });
const ListQuery = Type.Object({
  limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
  cursor: Type.Optional(Type.String({ maxLength: 500 })),
});

export async function registerApi(app: FastifyInstance, settings: ApiSettings): Promise<void> {
  const { documents, telemetry } = settings;
  const guard = { onRequest: hostGuard(settings) };
  app.get("/livez", guard, async () => ({ status: "alive" }));
  app.get("/readyz", guard, async (_request, reply) => {
    const reasons = settings.unready();
    if (reasons.length > 0) return reply.code(503).send({ status: "unready", reasons });
    try {
      return { status: "ready", backlog: await settings.backlog() };
    } catch (error) {
      const reason = shown(error instanceof Error ? error.message : String(error), 300);
      return reply.code(503).send({ status: "unready", reasons: [reason] });
    }
  });
  app.get("/metrics", guard, async (_request, reply) =>
    reply.type("text/plain; version=0.0.4").send(await telemetry.metrics()),
  );
  if (documents !== undefined) await registerDocuments(app, settings, documents);
}

async function registerDocuments(
  app: FastifyInstance,
  settings: ApiSettings,
  { store, deadLetters }: DocumentSource,
): Promise<void> {
  await app.register(
    async (scope) => {
      scope.addHook("onRequest", hostGuard(settings));
      scope.addHook("onRequest", async (request, reply) => authorise(request, reply, settings));
      scope.addHook("onRequest", refuseOtherSites);
      scope.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) =>
        failure(error, reply, settings.telemetry),
      );
      scope.setNotFoundHandler(async (_request, reply) => problem(reply, 404, "no such path"));
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
          deliveries: await store.deliveries([incident.id, ...incident.mergedIds]),
        };
      });
      one(scope, "/alerts/:id", (id) => store.alert(id));
      one(scope, "/events/:id", (id) => store.event(id));
      registerDeadLetters(scope, deadLetters);
    },
    { prefix: "/api/v1" },
  );
}

function one(scope: FastifyInstance, path: string, find: (id: string) => Promise<unknown>): void {
  scope.get<{ Params: Static<typeof IdParams> }>(
    path,
    { schema: { params: IdParams } },
    async ({ params: { id } }, reply) =>
      (await find(id)) ?? problem(reply, 404, "no such document"),
  );
}

/** Source of the shape: RFC 9457. */
function problem(reply: FastifyReply, status: number, title: string): FastifyReply {
  return reply
    .code(status)
    .type("application/problem+json")
    .send(JSON.stringify({ title, status }));
}

function failure(
  error: Error & { statusCode?: number },
  reply: FastifyReply,
  telemetry: Telemetry,
): FastifyReply {
  if (error instanceof ServiceError && error.problem.code === "cursor-invalid") {
    return problem(reply, 400, problemLine(error.problem));
  }
  const status = error.statusCode ?? (isUnavailable(error) ? 503 : 500);
  if (status < 500) return problem(reply, status, error.message);
  telemetry.log.error({ error: error.message }, "a request failed");
  return problem(reply, status, "the request failed; try again");
}

function isUnavailable(error: Error): boolean {
  if (error instanceof UnavailableError) return true;
  if (!(error instanceof ServiceError)) return false;
  return error.problem.code === "intake-full" || error.problem.code === "state-unavailable";
}

/**
 * A page of another site that a browser on this machine has open could send a POST without a
 * token; browsers say where it comes from.
 */
async function refuseOtherSites(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  if (request.method === "GET" || request.method === "HEAD") return;
  if (isFromOtherSite(request.headers)) await problem(reply, 403, "not from another site");
}

/** Without tokens only this machine is answered, and only by its own names. */
function hostGuard({ config }: ApiSettings) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    if (config.tokens.length > 0 || asksLoopback(request.headers)) return;
    await problem(reply, 403, "without tokens only a loopback Host is answered");
  };
}

async function authorise(
  request: FastifyRequest,
  reply: FastifyReply,
  { config }: ApiSettings,
): Promise<void> {
  if (config.tokens.length === 0) return;
  const given = request.headers.authorization?.replace(/^Bearer\s+/i, "") ?? "";
  if (secretAmong([given], config.tokens)) return;
  await problem(reply.header("www-authenticate", "Bearer"), 401, "token not accepted");
}
