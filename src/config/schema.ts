/**
 * @module Reading the settings' schema: which settings there are, and what may stand at a place.
 */

import type { TSchema } from "typebox";

/** From the root: `["doors", "falcoTokens", "0"]`. */
export type SettingPath = readonly string[];

/**
 * The schemas a value at `path` may follow, one for each member of a union; [] when there is no
 * such setting.
 */
export function schemasAt(root: TSchema, path: SettingPath): readonly TSchema[] {
  return path.reduce<readonly TSchema[]>(
    (schemas, key) => schemas.flatMap((schema) => below(schema, key)).flatMap(membersOf),
    membersOf(root),
  );
}

/** The members of a union, or the schema itself. */
export function membersOf(schema: TSchema): readonly TSchema[] {
  const { anyOf } = schema as { readonly anyOf?: readonly TSchema[] };
  return anyOf === undefined ? [schema] : anyOf.flatMap(membersOf);
}

/** The keys known at `path`, each once. */
export function keysAt(root: TSchema, path: SettingPath): readonly string[] {
  return [...new Set(schemasAt(root, path).flatMap((schema) => Object.keys(propertiesOf(schema))))];
}

export function propertiesOf(schema: TSchema): Readonly<Record<string, TSchema>> {
  const { properties } = schema as { readonly properties?: Record<string, TSchema> };
  return properties ?? {};
}

function below(schema: TSchema, key: string): readonly TSchema[] {
  const properties = propertiesOf(schema);
  const own = Object.hasOwn(properties, key) ? properties[key] : undefined;
  if (own !== undefined) return [own];
  const { patternProperties = {}, items } = schema as {
    readonly patternProperties?: Record<string, TSchema>;
    readonly items?: TSchema;
  };
  if (items !== undefined) return /^\d+$/.test(key) ? [items] : [];
  const named = Object.entries(patternProperties).filter(([name]) => new RegExp(name).test(key));
  return named.map(([, member]) => member);
}
