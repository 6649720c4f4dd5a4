/**
 * @module The HTTP doors: authenticate, limit, hand the body to its collector, and answer 2xx only
 * after what came of it is durable. Nothing of a body that failed its check is kept or logged.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type Static, Type } from "typebox";
import type { Clock } from "../clock.ts";
import type { Problem } from "../error.ts";
import type { Feed } from "../event/event.ts";
import type { Telemetry } from "../telemetry.ts";
import { decoded, headerText } from "./body.ts";
import type { Collector, Delivery, Intake } from "./collector.ts";
import { githubSignatureValid, givenTokens, tokenAccepted } from "./credentials.ts";
import { IntakeLimiter, RecentIds } from "./intake-limits.ts";

const Tokens = Type.Array(Type.String({ minLength: 16 }), {
  default: [],
  description: "Accepted tokens; two allow rotation. None: only for an installation on loopback.",
});

export const DoorsConfig = Type.Object(
  {
    githubWebhookSecrets: Type.Array(Type.String({ minLength: 16 }), {
      default: [],
      description: "Secrets of the GitHub webhooks; without one the door stays shut.",
    }),
    githubAuditTokens: Tokens,
    falcoTokens: Tokens,
    egressTokens: Tokens,
    trivyTokens: Tokens,
    registryTokens: Tokens,
    bodyBytesMax: Type.Integer({
      default: 25 * 1024 * 1024,
      minimum: 1024,
      description: "Largest body, also after decompression. GitHub's own limit is 25 MB.",
    }),
    inFlightBytesMax: Type.Integer({
      default: 256 * 1024 * 1024,
      minimum: 1024,
      description: "Bodies being read at once, all doors together; above it a door answers 503.",
    }),
  },
  { additionalProperties: false },
);
export type DoorsConfig = Static<typeof DoorsConfig>;

export interface DoorsSettings {
  readonly config: DoorsConfig;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly collectors: ReadonlyMap<Feed, Collector>;
  /**
   * Resolves once events and rejections are durable. Rejects with `intake-full` when there is no
   * room.
   */
  readonly accept: (intake: Intake, feed: Feed, delivery: Delivery) => Promise<void>;
}

interface Door {
  readonly feed: Feed;
  readonly paths: readonly string[];
  /**
   * The last path segment may be the secret (Falco), or facts about the delivery (Harden-Runner).
   */
  readonly rest?: "secret" | "facts";
  readonly permits: (request: FastifyRequest<{ Body: Buffer }>, rest: string) => boolean;
  /** What this feed's senders expect to read on success and on a wrong credential. */
  readonly success?: object;
  readonly refusal?: { readonly status: number; readonly body: object };
}

const hecSuccess = { text: "Success", code: 0 };
const hecRefusal = { status: 403, body: { text: "Invalid token", code: 4 } };

function doors(config: DoorsConfig): readonly Door[] {
  const byToken =
    (tokens: readonly string[]): Door["permits"] =>
    (request, pathSecret) =>
      tokenAccepted(givenTokens(request.headers, pathSecret), tokens);
  return [
    { feed: "falco", paths: ["/v1/falco"], rest: "secret", permits: byToken(config.falcoTokens) },
    {
      feed: "github-webhook",
      paths: ["/v1/github/webhook"],
      permits: (request) => {
        const signature = request.headers["x-hub-signature-256"];
        const given = Array.isArray(signature) ? signature[0] : signature;
        return githubSignatureValid(request.body, given, config.githubWebhookSecrets);
      },
    },
    {
      feed: "github-audit",
      paths: ["/v1/github/audit", "/services/collector", "/services/collector/event"],
      permits: byToken(config.githubAuditTokens),
      success: hecSuccess,
      refusal: hecRefusal,
    },
    { feed: "egress", paths: ["/v1/egress"], rest: "facts", permits: byToken(config.egressTokens) },
    { feed: "trivy", paths: ["/v1/trivy"], rest: "facts", permits: byToken(config.trivyTokens) },
    { feed: "registry", paths: ["/v1/registry"], permits: byToken(config.registryTokens) },
  ];
}

/**
 * Adds the doors to the app. They read bodies as bytes: a signature is over bytes, and JSON is the
 * collector's task.
 */
export async function registerDoors(app: FastifyInstance, settings: DoorsSettings): Promise<void> {
  const intake = new IntakeLimiter(settings.config.inFlightBytesMax);
  const seen = new RecentIds(50_000);
  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser(
      "*",
      { parseAs: "buffer", bodyLimit: settings.config.bodyBytesMax },
      (_request, body, done) => done(null, body),
    );
    for (const door of doors(settings.config)) {
      const handle = (request: FastifyRequest<{ Body: Buffer }>, reply: FastifyReply) =>
        intake.hold(request, reply, () => receive({ door, settings, seen, request, reply }));
      for (const path of door.paths) {
        scope.post(path, handle);
        if (door.rest !== undefined) scope.post(`${path}/*`, handle);
      }
    }
    // GitHub and HEC senders ask this when the stream is set up.
    scope.get("/services/collector/health", async () => hecSuccess);
  });
}

interface Received {
  readonly door: Door;
  readonly settings: DoorsSettings;
  readonly seen: RecentIds;
  readonly request: FastifyRequest<{ Body: Buffer }>;
  readonly reply: FastifyReply;
}

async function receive({ door, settings, seen, request, reply }: Received): Promise<unknown> {
  const { secret, facts } = pathParts((request.params as Record<string, string>)["*"] ?? "", door);
  request.body ??= Buffer.alloc(0);
  if (!door.permits(request, secret)) {
    settings.telemetry.emit.recordsRejected({
      feed: door.feed,
      code: "signature-invalid",
      count: 1,
    });
    return reply
      .code(door.refusal?.status ?? 401)
      .send(door.refusal?.body ?? { title: "credential not accepted", status: 401 });
  }
  const id = headerText(request, "x-github-delivery");
  if (id !== undefined && seen.has(id)) {
    settings.telemetry.emit.duplicatesDropped({ feed: door.feed, count: 1 });
    return reply.send({ accepted: 0, duplicate: true });
  }
  const body = await decoded(request, settings.config.bodyBytesMax);
  if (!Buffer.isBuffer(body)) return problemReply(reply, 400, [body]);
  if (door.success !== undefined && body.length === 0) return reply.send(door.success);
  const collector = settings.collectors.get(door.feed);
  if (collector === undefined) throw new Error(`no collector for ${door.feed}`);
  const delivery: Delivery = {
    receivedAt: settings.clock.now(),
    headers: flatHeaders(request),
    place: `${door.feed} door`,
    ...(facts === "" ? {} : { path: facts }),
  };
  const intake = collector.read(body, delivery);
  await settings.accept(intake, door.feed, delivery);
  if (id !== undefined) seen.add(id);
  count(settings.telemetry, door.feed, intake);
  const problems = intake.rejections.slice(0, 20).map(({ problem }) => problem);
  if (intake.events.length === 0 && problems.length > 0) return problemReply(reply, 400, problems);
  const answer = { accepted: intake.events.length, rejected: intake.rejections.length, problems };
  return reply.send({ ...door.success, ...answer });
}

/**
 * What follows a door's path: a token (Falco), or facts about the delivery (Harden-Runner), before
 * which `token/<token>/` may stand, because that agent can send no header of ours.
 */
function pathParts(rest: string, door: Door): { readonly secret: string; readonly facts: string } {
  if (door.rest === "secret") return { secret: rest, facts: "" };
  const [, secret = "", facts = rest] = /^token\/([^/]+)\/?(.*)$/s.exec(rest) ?? [];
  return { secret, facts };
}

function count(telemetry: Telemetry, feed: Feed, { events, rejections }: Intake): void {
  const occurredAt = events.reduce((latest, event) => Math.max(latest, event.occurredAt), 0);
  telemetry.emit.eventsAccepted({ feed, count: events.length, occurredAt });
  for (const { problem } of rejections) {
    telemetry.emit.recordsRejected({ feed, code: problem.code, count: 1 });
  }
}

function problemReply(reply: FastifyReply, status: number, problems: readonly Problem[]): unknown {
  return reply
    .code(status)
    .type("application/problem+json")
    .send(JSON.stringify({ title: "nothing in the body could be read", status, problems }));
}

function flatHeaders(request: FastifyRequest): Record<string, string> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (typeof value === "string" && name !== "authorization") flat[name] = value;
  }
  return flat;
}
