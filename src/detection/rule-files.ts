/**
 * @module Directories of rules and operator lists → texts and lists, with what could not be read.
 */

import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type Problem, shown } from "../error.ts";
import { isRecord } from "../event/fields.ts";
import { readYaml } from "../yaml.ts";
import type { RuleFile } from "./ruleset.ts";

export interface RuleDirectories {
  /** Searched at any depth for `*.yml` and `*.yaml`. */
  readonly rulesDirs: readonly string[];
  /**
   * Directories of `<list name>.yml`, not searched below. A later one replaces lists of an earlier
   * one.
   */
  readonly listsDirs: readonly string[];
}

export interface ReadRuleFiles {
  /** Sorted by path within each directory. */
  readonly files: readonly RuleFile[];
  /** By name: the file's name without its ending. */
  readonly lists: ReadonlyMap<string, readonly string[]>;
  readonly problems: readonly Problem[];
}

/** Directories that stand among the rules and hold none: lists, and what rule tests share. */
const otherDirectories = new Set(["lists", "testing"]);
const directoryDepthMax = 16;

/** Reads everything below the directories. What cannot be read is a problem; the rest is read. */
export function readRuleFiles({ rulesDirs, listsDirs }: RuleDirectories): ReadRuleFiles {
  const problems: Problem[] = [];
  const paths = rulesDirs.flatMap((directory) => pathsBelow(directory, { depth: 0, problems }));
  const files = paths
    .filter((path) => !/\.test\.ya?ml$/.test(path))
    .flatMap((path) => {
      const text = readText(path, problems);
      return text === undefined ? [] : [{ path, text }];
    });
  const lists = new Map<string, readonly string[]>();
  for (const directory of listsDirs) {
    for (const path of pathsBelow(directory, { depth: directoryDepthMax, problems })) {
      const text = readText(path, problems);
      if (text === undefined) continue;
      const outcome = readList(text, path);
      if ("code" in outcome) problems.push(outcome);
      else lists.set(basename(path).replace(/\.ya?ml$/, ""), outcome.entries);
    }
  }
  return { files, lists, problems };
}

/**
 * An operator list: a YAML list of texts, or a map with `entries` and perhaps `description`.
 * Numbers become text.
 */
export function readList(text: string, path: string): { entries: readonly string[] } | Problem {
  const read = readYaml(text, path);
  if ("problem" in read) return read.problem;
  const { value } = read;
  const entries = isRecord(value) && Object.hasOwn(value, "entries") ? value["entries"] : value;
  const isKnown =
    !isRecord(value) ||
    Object.keys(value).every((key) => key === "entries" || key === "description");
  const expected = "a list of texts, or a map of 'description' and 'entries'";
  if (!isKnown || !Array.isArray(entries)) {
    const found = isRecord(value)
      ? `a map with ${shown(Object.keys(value).join(", "))}`
      : shown(value ?? "nothing");
    return { code: "shape-unexpected", place: path, expected, found };
  }
  const texts: string[] = [];
  for (const [index, entry] of entries.entries()) {
    const isText = typeof entry === "string" || typeof entry === "number";
    if (!isText || entry === "") {
      const place = `${path}: entry ${index + 1}`;
      return { code: "shape-unexpected", place, expected: "a text", found: shown(entry) };
    }
    texts.push(String(entry));
  }
  return { entries: texts };
}

interface Walk {
  readonly depth: number;
  readonly problems: Problem[];
}

function pathsBelow(directory: string, { depth, problems }: Walk): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true }).sort((left, right) =>
      left.name < right.name ? -1 : 1,
    );
    return entries.flatMap((entry) => {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) {
        const isSkipped = otherDirectories.has(entry.name) || depth >= directoryDepthMax;
        return isSkipped ? [] : pathsBelow(path, { depth: depth + 1, problems });
      }
      return /\.ya?ml$/.test(entry.name) ? [path] : [];
    });
  } catch (error) {
    problems.push(unreadable(directory, error, "a directory that can be read"));
    return [];
  }
}

function readText(path: string, problems: Problem[]): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    problems.push(unreadable(path, error, "a file that can be read"));
    return undefined;
  }
}

function unreadable(place: string, error: unknown, expected: string): Problem {
  return { code: "config-invalid", place, expected, found: shown(String(error), 200) };
}
