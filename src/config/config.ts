/**
 * @module Settings: assembles each component's schema; reads the YAML file and the environment,
 * validates, freezes. An unknown key or a wrong value stops the start, naming the key, what was
 * expected and the nearest known key.
 */

import { readFileSync } from "node:fs";
import { type Static, Type } from "typebox";
import Value from "typebox/value";
import { ApiConfig } from "../api/api.ts";
import { BusConfig } from "../bus/retention.ts";
import { DoorsConfig } from "../collector/receiver.ts";
import { TimeConfig } from "../correlation/correlation.ts";
import { EnrichmentConfig } from "../enrichment/enrichment.ts";
import { ServiceError, shown } from "../error.ts";
import { LineageConfig } from "../lineage/lineage.ts";
import { SinksConfig } from "../sink/sink.ts";
import { readYaml } from "../yaml.ts";
import { applyEnvironment, type Environment } from "./environment.ts";
import { configProblems } from "./problems.ts";

/** Parts of the journey that a process may take on. */
export const roles = ["collect", "detect", "correlate", "notify", "api"] as const;
export type Role = (typeof roles)[number];

export const Config = Type.Object(
  {
    dataDir: Type.String({
      default: "data",
      minLength: 1,
      description: "Directory of bus.db and state.db: the whole single-machine installation.",
    }),
    roles: Type.Array(Type.Enum([...roles]), {
      default: [...roles],
      minItems: 1,
      uniqueItems: true,
      description:
        "What this process does: all of it on one machine, or on Kafka a part of it on each of many.",
    }),
    listen: Type.Object(
      {
        host: Type.String({
          default: "127.0.0.1",
          minLength: 1,
          description: "Address to listen on.",
        }),
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
    logLevel: Type.Enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"], {
      default: "info",
      description: "From which level on the log on stderr tells what happens.",
    }),
    doors: DoorsConfig,
    bus: BusConfig,
    api: ApiConfig,
    enrichment: EnrichmentConfig,
    lineage: LineageConfig,
    time: TimeConfig,
    sinks: SinksConfig,
  },
  { additionalProperties: false },
);
export type Config = Static<typeof Config>;

/** What the settings are made of; `environment` is the process's, given so that tests own it. */
export interface ConfigSource {
  readonly path?: string;
  readonly environment: Environment;
}

/** The process's environment: the only place that reads it. */
export function processEnvironment(): Environment {
  return process.env;
}

/**
 * Reads the file, puts the environment over it, fills in defaults, validates and freezes. A
 * variable that begins with `PW_` and is no setting stops the start as an unknown key does. Throws
 * a ServiceError.
 */
export function readConfig(source: ConfigSource): Config {
  const place = source.path ?? "settings";
  const settings = source.path === undefined ? {} : readSettings(source.path);
  const variables = applyEnvironment(settings, source.environment, Config);
  const value = withDefaults(settings);
  const [first] = configProblems({ schema: Config, value, place, variables });
  if (first !== undefined) throw new ServiceError(first);
  return deepFreeze(value as Config);
}

function readSettings(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const found = code === "ENOENT" ? "no such file" : `a file that cannot be read (${code})`;
    throw new ServiceError({
      ...{ code: "config-invalid", place: shown(path), expected: "a settings file", found },
    });
  }
  const read = readYaml(text, path);
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

/**
 * Every section present, so that each one's own defaults apply. A key of the first level without a
 * value counts as absent: all below it may be commented out.
 */
function withDefaults(settings: Record<string, unknown>): unknown {
  const given = Object.entries(settings).filter(([, value]) => value !== null);
  const sections = { doors: {}, bus: {}, api: {}, enrichment: {}, lineage: {}, time: {} };
  const whole = structuredClone({ ...sections, ...Object.fromEntries(given) });
  try {
    return Value.Default(Config, whole);
  } catch {
    // The schema library fails on a sink name that its pattern refuses; the check of the whole then
    // names it.
    return whole;
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}
