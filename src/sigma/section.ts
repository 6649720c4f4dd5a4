/** @module Reading the keys of a YAML map into true types, reporting what has another shape. */

import { type Problem, type ProblemCode, shown } from "../error.ts";
import { nearest } from "../nearest.ts";
import type { MapEntry, MapNode, YamlNode } from "./yaml.ts";

/** Collects the problems of one document; a document with any is not loaded. */
export interface Report {
  (code: ProblemCode, place: string, what: { expected: string; found: string }): void;
  readonly problems: readonly Problem[];
}

export function newReport(): Report {
  const problems: Problem[] = [];
  return Object.assign(
    (code: ProblemCode, place: string, what: { expected: string; found: string }) => {
      problems.push({ code, place, expected: what.expected, found: what.found });
    },
    { problems },
  );
}

/**
 * A map under reading. `name` says in problems what it is, as in `pipewarden.dedupe`; "" at the
 * top.
 */
export interface Section {
  readonly name: string;
  readonly map: MapNode;
  readonly report: Report;
}

/** What stands there, for a problem's `found`. */
export function described(node: YamlNode): string {
  if (node.kind !== "scalar") return `a ${node.kind}`;
  if (node.value === null) return "nothing";
  return typeof node.value === "string" ? `'${shown(node.value)}'` : shown(node.value);
}

/** The entry; absent, or written with nothing behind it, is undefined. */
export function entryOf(section: Section, key: string): MapEntry | undefined {
  const entry = section.map.entries.get(key);
  const empty = entry?.value.kind === "scalar" && entry.value.value === null;
  return empty ? undefined : entry;
}

export function nameOf(section: Section, key: string): string {
  return section.name === "" ? key : `${section.name}.${key}`;
}

/** Reports `entry` as having another shape than `expected`. */
export function refuse(section: Section, entry: MapEntry, expected: string): void {
  const what = {
    expected: `${nameOf(section, entry.key)} to be ${expected}`,
    found: described(entry.value),
  };
  section.report("rule-invalid", entry.value.place, what);
}

/** Reports the key as missing from the section. */
export function missing(section: Section, key: string, expected: string): void {
  const what = { expected: `${nameOf(section, key)}: ${expected}`, found: "nothing" };
  section.report("rule-invalid", section.map.place, what);
}

/** The key's text; numbers are taken as written text would be, and an empty text is refused. */
export function textOf(section: Section, key: string): string | undefined {
  const entry = entryOf(section, key);
  if (entry === undefined) return undefined;
  const text = scalarText(entry.value);
  if (text === undefined || text.trim() === "") {
    refuse(section, entry, "a text");
    return undefined;
  }
  return text;
}

export function requiredTextOf(section: Section, key: string): string {
  if (entryOf(section, key) === undefined) missing(section, key, "a text");
  return textOf(section, key) ?? "";
}

/** A list of texts; one text alone is a list of one; absent is []. */
export function textsOf(section: Section, key: string): readonly string[] {
  const entry = entryOf(section, key);
  if (entry === undefined) return [];
  const items = entry.value.kind === "list" ? entry.value.items : [entry.value];
  const texts: string[] = [];
  for (const item of items) {
    const text = scalarText(item);
    if (text !== undefined && text.trim() !== "") texts.push(text);
    else refuse(section, { ...entry, value: item }, "a list of texts");
  }
  return texts;
}

export function flagOf(section: Section, key: string): boolean | undefined {
  const entry = entryOf(section, key);
  if (entry === undefined) return undefined;
  const value = entry.value.kind === "scalar" ? entry.value.value : undefined;
  if (typeof value === "boolean") return value;
  refuse(section, entry, "true or false");
  return undefined;
}

/** One of a fixed set of words. */
export function wordOf<Word extends string>(
  section: Section,
  key: string,
  words: readonly Word[],
): Word | undefined {
  const text = textOf(section, key);
  if (text === undefined) return undefined;
  const word = words.find((candidate) => candidate === text);
  const entry = entryOf(section, key);
  if (word === undefined && entry !== undefined)
    refuse(section, entry, `one of ${words.join(", ")}`);
  return word;
}

/** The map under the key, as a section of its own. */
export function sectionOf(section: Section, key: string): Section | undefined {
  const entry = entryOf(section, key);
  if (entry === undefined) return undefined;
  if (entry.value.kind === "map") {
    return { name: nameOf(section, key), map: entry.value, report: section.report };
  }
  refuse(section, entry, "a map");
  return undefined;
}

/** `15s`, `10m`, `1h`, `30d` in ms. Sigma's own form for a timespan. */
export function durationOf(section: Section, key: string, msMax: number): number | undefined {
  const text = textOf(section, key);
  const entry = entryOf(section, key);
  if (text === undefined || entry === undefined) return undefined;
  const parts = /^([0-9]{1,9})([smhd])$/.exec(text);
  const ms = Number(parts?.[1] ?? 0) * (unitMs.get(parts?.[2] ?? "") ?? 0);
  if (ms > 0 && ms <= msMax) return ms;
  refuse(section, entry, `a duration like 90s, 5m, 1h or 2d, of at most ${msMax / 86_400_000}d`);
  return undefined;
}

const unitMs = new Map([
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

/** `'page'`, or `one of page, reason` when nothing is near. */
function nearestOr(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  return near === undefined ? `one of ${known.join(", ")}` : `'${near}'`;
}

/** Reports every key that is not known, with the one that may have been meant. */
export function refuseUnknownKeys(section: Section, known: readonly string[]): void {
  for (const { key, place } of section.map.entries.values()) {
    if (known.includes(key)) continue;
    section.report("rule-key-unknown", place, {
      expected: nearestOr(key, known),
      found: `'${shown(nameOf(section, key))}'`,
    });
  }
}

function scalarText(node: YamlNode): string | undefined {
  return node.kind === "scalar" && node.value !== null ? String(node.value) : undefined;
}
