/** @module Safe reading of open-keyed JSON, and the building of an event's flat fields from it. */

import type { FieldScalar, Fields, FieldValue } from "./event.ts";

/** A JSON object from outside: any key may be there, `__proto__` and `constructor` included. */
export type OpenRecord = Readonly<Record<string, unknown>>;

/**
 * More fields than this taken over with their outside names are counted in
 * `pipewarden.ingest.dropped_fields`; the raw text keeps them. Our own names are few and never
 * dropped: a padded record must not push them out.
 */
export const fieldsMax = 2_000;
/**
 * Longer names are dropped and counted with them: a huge key above many small ones would multiply.
 */
export const nameLengthMax = 1_024;
/** Longer lists are cut; what is cut is counted in `pipewarden.ingest.dropped_items`. */
export const listMax = 1_000;
/**
 * Longer texts are cut and their fields named in `pipewarden.truncated`: one value must not make an
 * event that no stage can carry.
 */
export const valueLengthMax = 65_536;

export function isRecord(value: unknown): value is OpenRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value at a path of own keys, or undefined. Lists are not entered. */
export function valueAt(value: unknown, ...path: readonly string[]): unknown {
  let at = value;
  for (let index = 0; index < path.length; index++) at = ownValue(at, path[index] ?? "");
  return at;
}

/** `valueAt` of one step: of all reads of a record most are of its own keys. */
function ownValue(value: unknown, key: string): unknown {
  return isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

/**
 * A text, number or boolean as text; undefined when it is absent, null, empty, a list or an object.
 */
export function textAt(value: unknown, ...path: readonly string[]): string | undefined {
  const at = valueAt(value, ...path);
  if (typeof at === "string") return at === "" ? undefined : at;
  return typeof at === "number" || typeof at === "boolean" ? String(at) : undefined;
}

/** A finite number, or a text that spells one in decimal. */
export function numberAt(value: unknown, ...path: readonly string[]): number | undefined {
  const at = valueAt(value, ...path);
  const number = typeof at === "string" && /^-?\d{1,19}(?:\.\d{1,19})?$/.test(at) ? Number(at) : at;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

/** A boolean, or its name as text: exports turn booleans into text. */
export function booleanAt(value: unknown, ...path: readonly string[]): boolean | undefined {
  const at = valueAt(value, ...path);
  if (typeof at === "boolean") return at;
  if (at === "true") return true;
  return at === "false" ? false : undefined;
}

/** The list at a path; [] when there is none. */
export function listAt(value: unknown, ...path: readonly string[]): readonly unknown[] {
  const at = valueAt(value, ...path);
  return Array.isArray(at) ? at : [];
}

/** The texts (or numbers, as text) of a list; others in it are passed over. */
export function textsAt(value: unknown, ...path: readonly string[]): readonly string[] {
  return listAt(value, ...path).flatMap((item) => textAt(item) ?? []);
}

function scalarOf(value: unknown): FieldScalar | undefined {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  // 1e400 parses as Infinity, which JSON cannot write back.
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  return undefined;
}

/** Names that feeds repeat in every record, by prefix and key: to make one anew costs more. */
const dottedNames = new Map<string, Map<string, string>>();
/** Beyond so many, and for long ones, names are made each time. */
const dottedNamesMax = 4_000;
let dottedCount = 0;

function dotted(prefix: string, key: string): string {
  const known = dottedNames.get(prefix)?.get(key);
  if (known !== undefined) return known;
  const name = `${prefix}.${key}`;
  if (dottedCount >= dottedNamesMax || name.length > 100) return name;
  dottedCount += 1;
  const names = dottedNames.get(prefix);
  if (names === undefined) dottedNames.set(prefix, new Map([[key, name]]));
  else names.set(key, name);
  return name;
}

/** Collects the fields of one event, within bounds. */
export class FieldSet {
  readonly #fields: Record<string, FieldValue> = {};
  #count = 0;
  #droppedFields = 0;
  #droppedItems = 0;
  /** Fields that hold a text that was cut. */
  readonly #truncated = new Set<string>();

  /**
   * Sets one field. Absent, null and empty text set nothing, so that callers need not ask; an empty
   * list is a value. An object sets nothing: use `flatten`. Nulls in a list stay, so that lists of
   * equal length stay equal.
   */
  set(name: string, value: unknown): this {
    if (Array.isArray(value)) {
      this.#truncated.delete(name);
      const items = value.map(scalarOf).filter((item) => item !== undefined);
      this.#fields[name] = this.#cut(items).map((item) => this.#shortened(name, item));
      return this;
    }
    const scalar = scalarOf(value);
    if (scalar === undefined || scalar === null || scalar === "") return this;
    this.#truncated.delete(name);
    this.#fields[name] = this.#shortened(name, scalar);
    return this;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#fields, name);
  }

  /**
   * Sets a whole JSON value under dotted names: objects become `prefix.key`, lists of objects one
   * list per key. Nulls are kept as null. `prefix` is ours and not empty, so no outside key stands
   * alone as a name. At most
   * `fieldsMax` names are taken in all.
   */
  flatten(prefix: string, value: unknown): this {
    this.#walk(prefix, value, false);
    return this;
  }

  /** The fields so far; the set must not be used after. */
  done(): Fields {
    // Past the limit on purpose: what was dropped has to be told.
    if (this.#droppedFields > 0) {
      this.#fields["pipewarden.ingest.dropped_fields"] = this.#droppedFields;
    }
    if (this.#droppedItems > 0) {
      this.#fields["pipewarden.ingest.dropped_items"] = this.#droppedItems;
    }
    if (this.#truncated.size > 0) {
      this.#fields["pipewarden.truncated"] = [...this.#truncated].slice(0, listMax);
    }
    return this.#fields;
  }

  #walk(name: string, value: unknown, listed: boolean): void {
    if (name.length > nameLengthMax) {
      this.#droppedFields++;
      return;
    }
    if (Array.isArray(value)) {
      if (value.length === 0 && !listed) this.#put(name, []);
      for (const item of value) this.#walk(name, item, true);
      return;
    }
    if (isRecord(value)) {
      for (const key of Object.keys(value)) this.#walk(dotted(name, key), value[key], listed);
      return;
    }
    const scalar = scalarOf(value);
    if (scalar === undefined) return;
    if (listed) this.#append(name, this.#shortened(name, scalar));
    else this.#put(name, this.#shortened(name, scalar));
  }

  #put(name: string, value: FieldValue): void {
    if (!Object.hasOwn(this.#fields, name)) {
      if (this.#count >= fieldsMax) {
        this.#droppedFields++;
        return;
      }
      this.#count++;
    }
    this.#fields[name] = value;
  }

  #append(name: string, item: FieldScalar): void {
    const before = Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined;
    if (before === undefined) {
      this.#put(name, [item]);
    } else if (!Array.isArray(before)) {
      this.#fields[name] = [before as FieldScalar, item];
    } else if (before.length >= listMax) {
      this.#droppedItems++;
    } else {
      // The list was made here and is not shared before `done`.
      (before as FieldScalar[]).push(item);
    }
  }

  #shortened(name: string, value: FieldScalar): FieldScalar {
    if (typeof value !== "string" || value.length <= valueLengthMax) return value;
    this.#truncated.add(name);
    return value.slice(0, valueLengthMax).toWellFormed();
  }

  #cut(items: readonly FieldScalar[]): readonly FieldScalar[] {
    if (items.length <= listMax) return items;
    this.#droppedItems += items.length - listMax;
    return items.slice(0, listMax);
  }
}
