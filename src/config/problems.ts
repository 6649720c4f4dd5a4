/**
 * @module What is wrong with settings, in words: the key, what it asks for, the nearest known key.
 * Never a value that may be secret.
 */

import type { TSchema } from "typebox";
import Value from "typebox/value";
import { type Problem, shown } from "../error.ts";
import { nearest } from "../nearest.ts";
import type { Variables } from "./environment.ts";
import { keysAt, propertiesOf, type SettingPath, schemasAt } from "./schema.ts";

export interface Checked {
  readonly schema: TSchema;
  readonly value: unknown;
  /** The settings file, or what stands for it. */
  readonly place: string;
  readonly variables: Variables;
}

/** Everything that is wrong; [] when the settings follow the schema. */
export function configProblems(checked: Checked): readonly Problem[] {
  const problems = problemsBelow(checked, checked.schema, []);
  // A misspelt key comes first: what is then missing only follows from it.
  const isUnknown = ({ found }: Problem) => (found.startsWith("unknown key") ? 0 : 1);
  return problems.toSorted((a, b) => isUnknown(a) - isUnknown(b));
}

function problemsBelow(checked: Checked, schema: TSchema, base: SettingPath): Problem[] {
  const value = valueAt(checked.value, base);
  const unions = new Set<string>();
  return [...Value.Errors(schema, value)].flatMap((error): Problem[] => {
    const path = [...base, ...error.instancePath.split("/").slice(1).map(unescaped)];
    const union = unionAbove(checked.schema, path, base);
    if (union !== undefined) {
      const key = union.path.join("/");
      if (unions.has(key)) return [];
      unions.add(key);
      return unionProblems(checked, union);
    }
    // The schema `false` of an unknown key is told with its name.
    if (error.keyword === "boolean") return [];
    const params = error.params as Readonly<Record<string, unknown>>;
    if (error.keyword === "additionalProperties") {
      const keys = params["additionalProperties"] as readonly string[];
      return keys.map((key) => unknownKey(checked, path, key));
    }
    if (error.keyword === "required") {
      const keys = params["requiredProperties"] as readonly string[];
      return keys.map((key) => invalid(checked, [...path, key], "a value", "none"));
    }
    const expected = expectation(error.keyword, params) ?? error.message;
    return [invalid(checked, path, expected, kindOf(valueAt(checked.value, path)))];
  });
}

interface Union {
  readonly path: SettingPath;
  readonly members: readonly TSchema[];
}

/**
 * The outermost union below `base` on the way to `path`: its own errors say little, so the right
 * member is asked.
 */
function unionAbove(root: TSchema, path: SettingPath, base: SettingPath): Union | undefined {
  for (let length = base.length + 1; length <= path.length; length += 1) {
    const members = schemasAt(root, path.slice(0, length));
    if (members.length > 1) return { path: path.slice(0, length), members };
  }
  return undefined;
}

function unionProblems(checked: Checked, { path, members }: Union): Problem[] {
  const value = valueAt(checked.value, path);
  const literals = members.map((member) => constOf(member));
  if (literals.every((literal) => literal !== undefined)) {
    return [invalid(checked, path, choice(literals), kindOf(value))];
  }
  const isMap = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isMap) return [invalid(checked, path, "a map", kindOf(value))];
  const type = Object.hasOwn(value, "type") ? (value as { type: unknown }).type : undefined;
  const named = members.map((member) => constOf(propertiesOf(member)["type"] ?? member));
  const member = members.find((_, index) => named[index] !== undefined && named[index] === type);
  if (member !== undefined) return problemsBelow(checked, member, path);
  const found = typeof type === "string" ? `"${shown(type)}"` : kindOf(type);
  return [invalid(checked, [...path, "type"], choice(named), found)];
}

function constOf(schema: TSchema): unknown {
  return (schema as { readonly const?: unknown }).const;
}

function choice(values: readonly unknown[]): string {
  const distinct = [...new Set(values)].map(String).join(", ");
  return distinct.replace(/, ([^,]*)$/, " or $1");
}

function unknownKey(checked: Checked, path: SettingPath, key: string): Problem {
  const found = `unknown key "${shown(key)}"`;
  const known = keysAt(checked.schema, path);
  if (known.length === 0) {
    const names = "a name of small letters, digits and dashes that begins with a letter";
    return invalid(checked, [...path, key], names, found);
  }
  const like = nearest(key, known);
  const expected =
    like === undefined ? `one of ${known.join(", ")}` : `a known key, perhaps "${like}"`;
  return invalid(checked, [...path, key], expected, found);
}

const types = new Map([
  ["object", "a map"],
  ["array", "a list"],
  ["string", "text"],
  ["integer", "a whole number"],
  ["number", "a number"],
  ["boolean", "true or false"],
]);

function expectation(
  keyword: string,
  params: Readonly<Record<string, unknown>>,
): string | undefined {
  const limit = shown(params["limit"]);
  switch (keyword) {
    case "type":
      return types.get(String(params["type"]));
    case "enum":
      return choice(params["allowedValues"] as readonly unknown[]);
    case "minimum":
      return `at least ${limit}`;
    case "maximum":
      return `at most ${limit}`;
    case "minLength":
      return limit === "1" ? "text" : `text of at least ${limit} characters`;
    case "minItems":
      return `at least ${limit} in the list`;
    case "maxItems":
      return `at most ${limit} in the list`;
    default:
      return undefined;
  }
}

/** What stands there, told without its text: it may be a secret in the wrong place. */
function kindOf(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "object") return "a map";
  if (typeof value === "string") return `text of length ${value.length}`;
  return shown(value);
}

function valueAt(whole: unknown, path: SettingPath): unknown {
  return path.reduce<unknown>((value, key) => {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    return (value as Record<string, unknown>)[key];
  }, whole);
}

/** JSON Pointer, RFC 6901. */
function unescaped(part: string): string {
  return part.replaceAll("~1", "/").replaceAll("~0", "~");
}

function invalid(
  { place, variables }: Checked,
  path: SettingPath,
  ...[expected, found]: [string, string]
): Problem {
  // The longest setting that the environment gave and that this is part of.
  for (let length = path.length; length > 0; length -= 1) {
    const variable = variables.get(path.slice(0, length).join("."));
    if (variable !== undefined) {
      const rest = path.slice(length).map((part) => `, item ${Number(part) + 1}`);
      return { code: "config-invalid", place: `${variable}${rest.join("")}`, expected, found };
    }
  }
  const at = path.map((part) => shown(part)).join(".");
  return { code: "config-invalid", place: `${place}: ${at}`, expected, found };
}
