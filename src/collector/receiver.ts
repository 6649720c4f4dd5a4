/**
 * @module The HTTP doors: authenticate, limit, hand the body to its collector, and answer 2xx only
 * after what came of it is durable. Nothing of a body that failed its check is kept or logged.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type Static, Type } from "typebox";
import type { Clock } from "../clock.ts";
import type { Problem } from "../error.ts";
import { type Event, type Feed, fieldOf } from "../event/event.ts";
import { asksLoopback, isFromOtherSite } from "../loopback.ts";
import type { Telemetry } from "../telemetry.ts";
import { acceptWhatFits } from "./acceptance.ts";
import { decoded, headerText } from "./body.ts";
import type { Collector, Delivery, Intake } from "./collector.ts";
import { githubSignatureValid, givenTokens, tokenAccepted } from "./credentials.ts";
import { IntakeLimiter, RecentIds, unavailable } from "./intake-limits.ts";

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

/** Tokens stand in the headers or the path; a signature is known only with the whole body. */
type Credential =
  | { readonly kind: "token"; readonly tokens: readonly string[] }
  | { readonly kind: "signature"; readonly secrets: readonly string[] };

interface Door {
  readonly feed: Feed;
  readonly paths: readonly string[];
  /**
   * The last path segment may be the secret (Falco), or facts about the delivery (Harden-Runner).
   */
  readonly rest?: "secret" | "facts";
  readonly credential: Credential;
  /** What this feed's senders expect to read on success and on a wrong credential. */
  readonly success?: object;
  readonly refusal?: { readonly status: number; readonly body: object };
}

const hecSuccess = { text: "Success", code: 0 };
const hecRefusal = { status: 403, body: { text: "Invalid token", code: 4 } };

function doors(config: DoorsConfig): readonly Door[] {
  const byToken = (tokens: readonly string[]): Credential => ({ kind: "token", tokens });
  return [
    {
      ...{ feed: "falco", paths: ["/v1/falco"], rest: "secret" },
      credential: byToken(config.falcoTokens),
    },
    {
      ...{ feed: "github-webhook", paths: ["/v1/github/webhook"] },
      credential: { kind: "signature", secrets: config.githubWebhookSecrets },
    },
    {
      feed: "github-audit",
      paths: ["/v1/github/audit", "/services/collector", "/services/collector/event"],
      credential: byToken(config.githubAuditTokens),
      success: hecSuccess,
      refusal: hecRefusal,
    },
    {
      ...{ feed: "egress", paths: ["/v1/egress"], rest: "facts" },
      credential: byToken(config.egressTokens),
    },
    {
      ...{ feed: "trivy", paths: ["/v1/trivy"], rest: "facts" },
      credential: byToken(config.trivyTokens),
    },
    { feed: "registry", paths: ["/v1/registry"], credential: byToken(config.registryTokens) },
  ];
}

/**
 * Adds the doors to the app. They read bodies as bytes: a signature is over bytes, and JSON is the
 * collector's task.
 */
export async function registerDoors(app: FastifyInstance, settings: DoorsSettings): Promise<void> {
  const { bodyBytesMax, inFlightBytesMax: bytesMax, githubAuditTokens } = settings.config;
  const limiter = new IntakeLimiter({ bytesMax, bodyBytesMax });
  const seen = new RecentIds(50_000);
  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser(
      "*",
      { parseAs: "buffer", bodyLimit: bodyBytesMax },
      (_request, body, done) => done(null, body),
    );
    for (const door of doors(settings.config)) {
      const parts = { door, settings, seen, limiter };
      const options = {
        onRequest: async (request: FastifyRequest<{ Body: Buffer }>, reply: FastifyReply) =>
          admit({ ...parts, request, reply }),
      };
      const handle = (request: FastifyRequest<{ Body: Buffer }>, reply: FastifyReply) =>
        limiter.hold(request, reply, () => receive({ ...parts, request, reply }));
      for (const path of door.paths) {
        scope.post<{ Body: Buffer }>(path, options, handle);
        if (door.rest !== undefined) scope.post<{ Body: Buffer }>(`${path}/*`, options, handle);
      }
    }
    // GitHub and HEC senders ask this when the stream is set up.
    scope.get("/services/collector/health", async ({ headers }, reply) =>
      githubAuditTokens.length > 0 || asksLoopback(headers) ? hecSuccess : strange(reply),
    );
  });
}

interface Received {
  readonly door: Door;
  readonly settings: DoorsSettings;
  readonly seen: RecentIds;
  readonly limiter: IntakeLimiter;
  readonly request: FastifyRequest<{ Body: Buffer }>;
  readonly reply: FastifyReply;
}

/** Before the body is read: what the head alone can refuse costs no memory. */
async function admit(parts: Received): Promise<unknown> {
  const { door, limiter, request, reply } = parts;
  const { credential } = door;
  if (isFromOtherSite(request.headers)) return strange(reply);
  if (credential.kind === "token") {
    if (credential.tokens.length === 0 && !asksLoopback(request.headers)) return strange(reply);
    const given = givenTokens(request.headers, partsOf(request, door).secret);
    if (!tokenAccepted(given, credential.tokens)) return refuse(parts);
  } else if (credential.secrets.length === 0 || signatureOf(request) === undefined) {
    return refuse(parts);
  }
  if (!limiter.reserve(request, reply, credential.kind === "signature")) return unavailable(reply);
  return undefined;
}

async function receive(parts: Received): Promise<unknown> {
  const { door, settings, seen, limiter, request, reply } = parts;
  const { credential, feed } = door;
  const body = request.body ?? Buffer.alloc(0);
  request.body = body;
  if (credential.kind === "signature") {
    if (!githubSignatureValid(body, signatureOf(request), credential.secrets)) return refuse(parts);
  }
  // The header is GitHub's: at another door it is the word of whoever sends it.
  const id = feed === "github-webhook" ? headerText(request, "x-github-delivery") : undefined;
  if (id !== undefined && seen.has(id)) {
    settings.telemetry.emit.duplicatesDropped({ feed, count: 1 });
    return reply.send({ accepted: 0, duplicate: true });
  }
  const plain = await decoded(request, {
    bytesMax: settings.config.bodyBytesMax,
    grow: (bytes) => limiter.grow(request, bytes),
  });
  if (!Buffer.isBuffer(plain)) return problemReply(reply, 400, [plain]);
  if (door.success !== undefined && plain.length === 0) return reply.send(door.success);
  const collector = settings.collectors.get(feed);
  if (collector === undefined) throw new Error(`no collector for ${feed}`);
  const { facts } = partsOf(request, door);
  const delivery: Delivery = {
    receivedAt: settings.clock.now(),
    headers: flatHeaders(request),
    place: `${feed} door`,
    ...(facts === "" ? {} : { path: facts }),
  };
  const intake = await acceptWhatFits(collector.read(plain, delivery), {
    place: delivery.place,
    accept: (part) => settings.accept(part, feed, delivery),
  });
  if (id !== undefined) seen.add(id);
  count(settings.telemetry, feed, intake);
  const problems = intake.rejections.slice(0, 20).map(({ problem }) => problem);
  if (intake.events.length === 0 && problems.length > 0) {
    const tooLarge = problems.every(({ code }) => code === "body-too-large");
    return problemReply(reply, tooLarge ? 413 : 400, problems);
  }
  const answer = { accepted: intake.events.length, rejected: intake.rejections.length, problems };
  return reply.send({ ...door.success, ...answer });
}

function refuse({ door, settings, reply }: Received): FastifyReply {
  const refused = { feed: door.feed, code: "signature-invalid", count: 1 } as const;
  settings.telemetry.emit.recordsRejected(refused);
  return reply
    .code(door.refusal?.status ?? 401)
    .send(door.refusal?.body ?? { title: "credential not accepted", status: 401 });
}

/** For what a browser sends on behalf of another site, openly or under another name of ours. */
function strange(reply: FastifyReply): FastifyReply {
  const title = "not from another site, and without tokens only to a loopback Host";
  return reply
    .code(403)
    .type("application/problem+json")
    .send(JSON.stringify({ title, status: 403 }));
}

function signatureOf({ headers }: FastifyRequest): string | undefined {
  const given = headers["x-hub-signature-256"];
  return Array.isArray(given) ? given[0] : given;
}

/**
 * What follows a door's path: a token (Falco), or facts about the delivery (Harden-Runner), before
 * which `token/<token>/` may stand, because that agent can send no header of ours.
 */
function partsOf(
  { params }: FastifyRequest,
  door: Door,
): { readonly secret: string; readonly facts: string } {
  const rest = (params as Record<string, string>)["*"] ?? "";
  if (door.rest === "secret") return { secret: rest, facts: "" };
  const [, secret = "", facts = rest] = /^token\/([^/]+)\/?(.*)$/s.exec(rest) ?? [];
  return { secret, facts };
}

function count(telemetry: Telemetry, feed: Feed, { events, rejections }: Intake): void {
  const occurredAt = events.reduce((latest, event) => Math.max(latest, event.occurredAt), 0);
  telemetry.emit.eventsAccepted({ feed, count: events.length, occurredAt });
  for (const skew of ["future", "past"] as const) {
    const isSkewed = ({ fields }: Event) => fieldOf(fields, "pipewarden.clock.skew") === skew;
    const skewed = events.filter(isSkewed).length;
    if (skewed > 0) telemetry.emit.stampsSkewed({ feed, skew, count: skewed });
  }
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
