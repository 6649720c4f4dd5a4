/**
 * @module Settings: assembles each component's schema; reads the YAML file and the environment, validates, freezes.
 * An unknown key or a wrong value stops the start, naming the key, what was expected and the nearest known key.
 */

import { existsSync, readFileSync } from "node:fs";
import { type Static, type TSchema, Type } from "typebox";
import Value from "typebox/value";
import { ApiConfig } from "../api/api.ts";
import { DoorsConfig } from "../collector/receiver.ts";
import { EnrichmentConfig } from "../enrichment/enrichment.ts";
import { type Problem, ServiceError, shown } from "../error.ts";
import { LineageConfig } from "../lineage/lineage.ts";
import { nearest } from "../nearest.ts";
import { SinksConfig } from "../sink/sink.ts";
import { readYaml } from "../yaml.ts";

export const Config = Type.Object(
  {
    dataDir: Type.String({
      default: "data",
      description: "Directory of bus.db and state.db: the whole single-machine installation.",
    }),
    listen: Type.Object(
      {
        host: Type.String({ default: "127.0.0.1", description: "Address to listen on." }),
        port: Type.Integer({ default: 8480, minimum: 0, maximum: 65535 }),
      },
      { additionalProperties: false, default: {} },
    ),
    rulesDirs: Type.Array(Type.String(), {
      default: ["rules"],
      description:
        "Directories of Sigma rules, read with everything below; the shipped ones are `rules`.",
    }),
    listsDirs: Type.Array(Type.String(), {
      default: ["rules/lists"],
      description:
        "Directories of operator lists; a list in a later directory replaces one of the same name.",
    }),
    rulesOff: Type.Array(Type.String(), {
      default: [],
      description:
        "Rules to leave out, as `tactic/name`: the path below its directory without `.yml`.",
    }),
    consoleUrl: Type.Optional(
      Type.String({ description: "How people reach this service, for links in pages." }),
    ),
    logLevel: Type.String({ default: "info", description: "pino level of the log on stderr." }),
    pageAgeMaxMs: Type.Integer({
      default: 24 * 3_600_000,
      minimum: 0,
      description:
        "An event older than this when it is matched opens an incident but wakes nobody.",
    }),
    doors: DoorsConfig,
    api: ApiConfig,
    enrichment: EnrichmentConfig,
    lineage: LineageConfig,
    sinks: SinksConfig,
  },
  { additionalProperties: false },
);
export type Config = Static<typeof Config>;

/** What the settings are made of; `environment` is the process's, given so that tests own it. */
export interface ConfigSource {
  readonly path?: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** The process's environment: the only place that reads it. */
export function processEnvironment(): Readonly<Record<string, string | undefined>> {
  return process.env;
}

/**
 * Reads, merges, validates and freezes. `PW_LISTEN__PORT=9000` sets `listen.port`: levels are parted by two underscores,
 * words by one, list items by commas; `PW_..._FILE` names a file that holds the value. Throws a ServiceError.
 */
export function readConfig(source: ConfigSource): Config {
  const place = source.path ?? "settings";
  const settings = source.path === undefined ? {} : readSettings(source.path);
  for (const [name, text] of Object.entries(source.environment)) {
    if (!name.startsWith("PW_") || text === undefined) continue;
    const fromFile = name.endsWith("_FILE");
    const path = settingPath(fromFile ? name.slice(3, -5) : name.slice(3));
    setAt(settings, path, fromFile ? readFileSync(text, "utf8").trim() : text);
  }
  const whole: unknown = Value.Default(Config, Value.Convert(Config, withSections(settings)));
  const problems = configProblems(whole, place);
  const first = problems[0];
  if (first !== undefined) throw new ServiceError(first);
  return deepFreeze(whole as Config);
}

function readSettings(path: string): Record<string, unknown> {
  if (!existsSync(path)) {
    throw new ServiceError({
      code: "config-invalid",
      place: path,
      expected: "a settings file",
      found: "no such file",
    });
  }
  const read = readYaml(readFileSync(path, "utf8"), path);
  if ("problem" in read) throw new ServiceError(read.problem);
  const settings = read.value ?? {};
  if (typeof settings === "object" && settings !== null && !Array.isArray(settings)) {
    return settings as Record<string, unknown>;
  }
  throw new ServiceError({
    code: "config-invalid",
    place: path,
    expected: "a map of settings",
    found: shown(settings),
  });
}

/** Every section present, so that each one's own defaults apply. */
function withSections(settings: Record<string, unknown>): Record<string, unknown> {
  return { doors: {}, api: {}, enrichment: {}, lineage: {}, ...settings };
}

/** `LISTEN__PORT` → ["listen", "port"], `DOORS__FALCO_TOKENS` → ["doors", "falcoTokens"]. */
function settingPath(name: string): string[] {
  return name
    .toLowerCase()
    .split("__")
    .map((part) => part.replace(/_([a-z0-9])/g, (_all, letter: string) => letter.toUpperCase()));
}

function setAt(settings: Record<string, unknown>, path: readonly string[], text: string): void {
  const last = path.at(-1) ?? "";
  let at = settings;
  for (const key of path.slice(0, -1)) {
    const next = Object.hasOwn(at, key) ? at[key] : undefined;
    const child = typeof next === "object" && next !== null ? { ...next } : {};
    Object.defineProperty(at, key, { value: child, enumerable: true, writable: true });
    at = child as Record<string, unknown>;
  }
  const listed = last.endsWith("s") && schemaAt(path)?.["type"] === "array";
  const value = listed ? text.split(",").map((item) => item.trim()) : text;
  Object.defineProperty(at, last, { value, enumerable: true, writable: true });
}

function schemaAt(path: readonly string[]): Record<string, unknown> | undefined {
  let schema: unknown = Config;
  for (const key of path) {
    const properties = propertiesOf(schema);
    if (properties === undefined || !Object.hasOwn(properties, key)) return undefined;
    schema = properties[key];
  }
  return schema as Record<string, unknown>;
}

function propertiesOf(schema: unknown): Record<string, TSchema> | undefined {
  if (typeof schema !== "object" || schema === null || !("properties" in schema)) return undefined;
  return schema.properties as Record<string, TSchema>;
}

function configProblems(whole: unknown, place: string): Problem[] {
  return [...Value.Errors(Config, whole)].flatMap((error) => {
    const path = error.instancePath.split("/").slice(1);
    if (error.keyword === "additionalProperties") {
      const unknown = (error.params as { additionalProperties?: string[] }).additionalProperties;
      const known = Object.keys(propertiesOf(schemaAt(path) ?? Config) ?? {});
      return (unknown ?? []).map((key): Problem => {
        const like = nearest(key, known);
        const expected =
          like === undefined ? `one of ${known.join(", ")}` : `a known key, perhaps "${like}"`;
        const at = `${place}: ${[...path, key].join(".")}`;
        return {
          code: "config-invalid",
          place: at,
          expected,
          found: `unknown key "${shown(key)}"`,
        };
      });
    }
    // The schema `false` of an unknown key is told above, with its name.
    if (error.keyword === "boolean") return [];
    const at = `${place}: ${path.join(".")}`;
    return [{ code: "config-invalid", place: at, expected: error.message, found: "another value" }];
  });
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}
