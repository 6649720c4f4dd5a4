/**
 * @module Settings from the environment: `PW_LISTEN__PORT=9000` sets `listen.port`. Levels are
 * parted by two underscores, words by one, list items by commas; `PW_..._FILE` names a file that
 * holds the value.
 *
 * Every variable that begins with `PW_` must be a setting: a misspelt one would silently leave a
 * default in force.
 */

import { readFileSync } from "node:fs";
import type { TSchema } from "typebox";
import { type Problem, ServiceError, shown } from "../error.ts";
import { nearest } from "../nearest.ts";
import { keysAt, type SettingPath, schemasAt } from "./schema.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Which variable set which setting, by its path joined with dots: for problems that name what the
 * operator wrote.
 */
export type Variables = ReadonlyMap<string, string>;

const prefix = "PW_";
const fileSuffix = "_FILE";

/**
 * Puts what the environment says into `settings`. Throws a ServiceError that names the variable.
 */
export function applyEnvironment(
  settings: Record<string, unknown>,
  environment: Environment,
  schema: TSchema,
): Variables {
  const variables = new Map<string, string>();
  for (const [variable, text] of Object.entries(environment)) {
    if (!variable.startsWith(prefix) || text === undefined) continue;
    // A setting whose own name ends so (`tokenFile`) is that setting.
    const ownName = schemasAt(schema, settingPath(variable.slice(prefix.length))).length > 0;
    const fromFile = variable.endsWith(fileSuffix) && !ownName;
    const path = settingPath(
      variable.slice(prefix.length, fromFile ? -fileSuffix.length : undefined),
    );
    const schemas = schemasAt(schema, path);
    if (schemas.length === 0) throw new ServiceError(unknownVariable(variable, path, schema));
    const earlier = variables.get(path.join("."));
    if (earlier !== undefined) {
      const expected = "one variable for one setting";
      throw new ServiceError(invalid(variable, expected, `${shown(earlier)} as well`));
    }
    variables.set(path.join("."), variable);
    setAt(settings, path, settingOf(fromFile ? fileText(variable, text) : text, schemas));
  }
  return variables;
}

/** `LISTEN__PORT` → ["listen", "port"], `DOORS__FALCO_TOKENS` → ["doors", "falcoTokens"]. */
function settingPath(name: string): SettingPath {
  return name
    .toLowerCase()
    .split("__")
    .map((part) => part.replace(/_([a-z0-9])/g, (_all, letter: string) => letter.toUpperCase()));
}

function variableName(path: SettingPath): string {
  const names = path.map((key) => key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase());
  return `${prefix}${names.join("__")}`;
}

/**
 * The text as what the setting asks for; what does not read so stays text, and is refused with
 * everything else.
 */
function settingOf(text: string, schemas: readonly TSchema[]): unknown {
  const types = new Set(schemas.map((schema) => (schema as { readonly type?: string }).type));
  if (types.has("array")) {
    return text
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== "");
  }
  if ((types.has("integer") || types.has("number")) && /^-?\d+(\.\d+)?$/.test(text)) {
    return Number(text);
  }
  if (types.has("boolean") && (text === "true" || text === "false")) return text === "true";
  return text;
}

function fileText(variable: string, path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const found = `${shown(path)}: ${code ?? "it cannot be read"}`;
    throw new ServiceError(invalid(variable, "a file that holds the value", found));
  }
}

function setAt(settings: Record<string, unknown>, path: SettingPath, value: unknown): void {
  let at = settings;
  for (const key of path.slice(0, -1)) {
    const next = Object.hasOwn(at, key) ? at[key] : undefined;
    const child = typeof next === "object" && next !== null ? { ...next } : {};
    put(at, key, child);
    at = child as Record<string, unknown>;
  }
  put(at, path.at(-1) ?? "", value);
}

/** Whatever the key: `__proto__` would otherwise be another thing than a key. */
function put(target: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(target, key, {
    value,
    ...{ enumerable: true, writable: true, configurable: true },
  });
}

function unknownVariable(variable: string, path: SettingPath, schema: TSchema): Problem {
  // The deepest level that is known says what could have been meant.
  let level = path.slice(0, -1);
  while (level.length > 0 && schemasAt(schema, level).length === 0) level = level.slice(0, -1);
  const known = keysAt(schema, level).map((key) => variableName([...level, key]));
  const like = nearest(variableName(path.slice(0, level.length + 1)), known);
  const expected = like === undefined ? `one of ${known.join(", ")}` : `a setting, perhaps ${like}`;
  return invalid(variable, expected, "a variable of no setting");
}

function invalid(variable: string, expected: string, found: string): Problem {
  return { code: "config-invalid", place: shown(variable), expected, found };
}
