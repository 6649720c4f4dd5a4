/** @module One whole service in one process: data directory, pipeline, HTTP doors and API. */

import fastify, { type FastifyInstance } from "fastify";
import { registerApi } from "../api/api.ts";
import { type Clock, secondMs } from "../clock.ts";
import { collectors } from "../collector/collectors.ts";
import { registerDoors } from "../collector/receiver.ts";
import { type Config, roles } from "../config/config.ts";
import { problemLine, ServiceError, shown } from "../error.ts";
import { isLoopback } from "../loopback.ts";
import { Pipeline } from "../pipeline/pipeline.ts";
import { createSinks } from "../sink/sinks.ts";
import type { Store } from "../store/store.ts";
import type { Telemetry } from "../telemetry.ts";
import { openBacking } from "./backing.ts";
import { loadRules } from "./rules-loading.ts";
import { errorCode } from "./terminal.ts";
import { Trouble } from "./trouble.ts";

export interface ServiceSettings {
  readonly config: Config;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Where the terminal sink prints. */
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

export interface Service {
  /** `http://127.0.0.1:8480` */
  readonly url: string;
  readonly ruleCount: number;
  /**
   * Resolves with the reason when the service can no longer do its work and must be started again.
   */
  readonly broken: Promise<string>;
  /** Refuses new deliveries, finishes what it holds, saves, closes. Safe to call twice. */
  stop(): Promise<void>;
}

/** Starts everything, or throws a ServiceError and leaves nothing open. */
export async function startService(settings: ServiceSettings): Promise<Service> {
  const { config, clock, telemetry, stdout } = settings;
  refuseOpenDoors(config);
  refusePartOfOne(config);
  const { ruleset, problems, lists } = loadRules(config);
  for (const problem of problems) telemetry.log.warn(problemLine(problem));
  if (ruleset.byId.size === 0) {
    const found = "none that loads";
    const place = config.rulesDirs.join(", ");
    throw new ServiceError({ code: "rule-invalid", place, expected: "at least one rule", found });
  }
  const closers: (() => Promise<void> | void)[] = [];
  try {
    const trouble = new Trouble({
      ...{ telemetry, clock },
      fatal: config.bus.kafka.brokers === undefined,
    });
    const backing = await openBacking({
      ...{ config, clock, telemetry },
      onTrouble: (heard) => trouble.hear(heard),
      closing: (close) => closers.push(close),
    });
    const notifies = config.roles.includes("notify");
    const sinks = notifies ? createSinks(config.sinks, { stdout, clock, ...linksOf(config) }) : [];
    const pipeline = new Pipeline({
      ...{ ...backing, sinks, ruleset, clock, telemetry },
      roles: config.roles,
      enrichment: config.enrichment,
      lineage: { ...config.lineage, cacheHosts: lists.get("cache_hosts") ?? [] },
      time: config.time,
    });
    closers.push(() => pipeline.stop());
    await pipeline.start();
    const app = await openHttp({ ...settings, pipeline, store: backing.store, trouble });
    closers.push(() => app.close());
    const url = await listen(app, config.listen);
    telemetry.log.info({ url, rules: ruleset.byId.size, roles: config.roles }, "listening");
    const broken = Promise.race([trouble.broken, neverBegun(pipeline)]);
    return { url, ruleCount: ruleset.byId.size, broken, stop: () => closeAll(closers) };
  } catch (error) {
    await closeAll(closers);
    throw error;
  }
}

/** Resolves with the reason when detection cannot begin, and the process only looks alive. */
function neverBegun({ begun }: Pipeline): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  begun.catch((error: unknown) => resolve(shown(String(error), 300)));
  return promise;
}

/**
 * Where pages link to: as configured, else this service itself, unless its port is yet to be
 * chosen.
 */
function linksOf({ consoleUrl, listen }: Config): { readonly consoleUrl?: string } {
  if (consoleUrl !== undefined) return { consoleUrl };
  const host = listen.host.includes(":") ? `[${listen.host}]` : listen.host;
  return listen.port === 0 ? {} : { consoleUrl: `http://${host}:${listen.port}` };
}

async function listen(app: FastifyInstance, { host, port }: Config["listen"]): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    const found = `${shown(host)}:${port}: ${errorCode(error)}`;
    const expected = "an address and port that are free";
    throw new ServiceError({ code: "config-invalid", place: "listen", expected, found });
  }
}

/**
 * Last opened, first closed; each closer runs once, and one that fails does not keep the others
 * open.
 */
async function closeAll(closers: (() => Promise<void> | void)[]): Promise<void> {
  const errors: unknown[] = [];
  for (let close = closers.pop(); close !== undefined; close = closers.pop()) {
    try {
      await close();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw new AggregateError(errors, "the service did not close cleanly");
}

interface HttpParts extends ServiceSettings {
  readonly pipeline: Pipeline;
  readonly store: Store;
  readonly trouble: Trouble;
}

async function openHttp({
  config,
  clock,
  telemetry,
  pipeline,
  store,
  trouble,
}: HttpParts): Promise<FastifyInstance> {
  const app = fastify({
    logger: false,
    // Fastify's own default is no limit: a slow sender would hold its connection forever.
    requestTimeout: 30 * secondMs,
    connectionTimeout: 60 * secondMs,
    forceCloseConnections: "idle",
    bodyLimit: 1024 * 1024,
  });
  let stopping = false;
  app.addHook("preClose", async () => {
    stopping = true;
  });
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
    const status = error.statusCode ?? 500;
    if (status >= 500) telemetry.log.error({ error: error.message }, "a request failed");
    const title = status >= 500 ? "the request failed; try again" : error.message;
    return reply
      .code(status)
      .type("application/problem+json")
      .send(JSON.stringify({ title, status }));
  });
  if (config.roles.includes("collect")) {
    const accept: Pipeline["accept"] = (...given) => pipeline.accept(...given);
    await registerDoors(app, { config: config.doors, clock, telemetry, collectors, accept });
  }
  const { deadLetters } = pipeline;
  await registerApi(app, {
    ...{ config: config.api, telemetry },
    unready: () => (stopping ? ["stopping"] : [...pipeline.unready(), ...trouble.reasons()]),
    backlog: async () => pipeline.backlog(),
    partitions: () => pipeline.partitions(),
    ...(config.roles.includes("api") ? { documents: { store, deadLetters } } : {}),
  });
  return app;
}

/** Without credentials the service answers to this machine alone. */
function refuseOpenDoors({ listen, doors, api, roles }: Config): void {
  if (isLoopback(listen.host)) return;
  const ofDoors: [string, readonly string[]][] = [
    ["doors.falcoTokens", doors.falcoTokens],
    ["doors.githubAuditTokens", doors.githubAuditTokens],
    ["doors.egressTokens", doors.egressTokens],
    ["doors.trivyTokens", doors.trivyTokens],
    ["doors.registryTokens", doors.registryTokens],
  ];
  const open = [
    ...(roles.includes("collect") ? ofDoors : []),
    // Health and metrics too are told to those who have a token alone.
    ["api.tokens", api.tokens] as const,
  ].find(([, tokens]) => tokens?.length === 0);
  if (open === undefined) return;
  throw new ServiceError({
    code: "config-invalid",
    place: `listen.host ${listen.host}`,
    expected: "credentials for every door and the API when listening beyond loopback",
    found: `no ${String(open[0])}`,
  });
}

/** A bus in files is open in one process: what that one leaves out, nobody does. */
function refusePartOfOne({ roles: own, bus }: Config): void {
  const missing = roles.filter((role) => !own.includes(role));
  if (bus.kafka.brokers !== undefined || missing.length === 0) return;
  throw new ServiceError({
    code: "config-invalid",
    place: "roles",
    expected: `all of ${roles.join(", ")} where bus.kafka.brokers is absent`,
    found: `no ${missing.join(", ")}`,
  });
}
