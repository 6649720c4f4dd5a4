/**
 * @module YAML text to plain nodes that remember where they stood; aliases, foreign tags and double
 * keys are refused.
 */

import {
  boolCoreTag,
  EVENT_ID,
  type Event,
  floatCoreTag,
  getScalarValue,
  intCoreTag,
  NOT_RESOLVED,
  nullCoreTag,
  parseEvents,
  SCALAR_STYLE,
  type ScalarEvent,
  YAMLException,
} from "js-yaml";
import { type Problem, shown } from "../error.ts";

export type Scalar = string | number | boolean | null;

export interface ScalarNode {
  readonly kind: "scalar";
  readonly value: Scalar;
  /** `path:line:column` */
  readonly place: string;
  /** The place of the character at this offset of the value. */
  placeAt(offset: number): string;
}

export interface ListNode {
  readonly kind: "list";
  readonly items: readonly YamlNode[];
  readonly place: string;
}

export interface MapNode {
  readonly kind: "map";
  readonly entries: ReadonlyMap<string, MapEntry>;
  readonly place: string;
}

export interface MapEntry {
  readonly key: string;
  /** Where the key stands. */
  readonly place: string;
  readonly value: YamlNode;
}

export type YamlNode = ScalarNode | ListNode | MapNode;

/** Deeper nesting than any rule needs; it also bounds every recursion over a rule. */
const depthMax = 100;

/**
 * The documents of a YAML 1.2 text, core schema. Each is parsed alone, so a broken one costs only
 * itself. Empty documents are left out.
 */
export function parseYaml(
  text: string,
  path: string,
): { readonly documents: readonly YamlNode[]; readonly problems: readonly Problem[] } {
  const documents: YamlNode[] = [];
  const problems: Problem[] = [];
  for (const { source, line } of splitDocuments(text)) {
    const places = new Places(source, path, line);
    try {
      const events = parseEvents(source, { maxDepth: depthMax });
      documents.push(...new Composer(source, events, places).documents());
    } catch (error) {
      if (error instanceof Refusal) problems.push(error.problem);
      else if (error instanceof YAMLException) {
        problems.push({
          code: "yaml-invalid",
          place: places.at(error.mark?.position ?? 0),
          expected: "YAML",
          found: shown(error.reason),
        });
      } else throw error;
    }
  }
  return { documents, problems };
}

/** A `---` at the start of a line ends a document wherever it stands, so cutting there is exact. */
function splitDocuments(text: string): readonly { source: string; line: number }[] {
  const parts: { source: string; line: number }[] = [];
  let from = 0;
  let line = 1;
  for (const marker of text.matchAll(/^---(?=\s|$)/gm)) {
    const before = text.slice(from, marker.index);
    // Directives and comments belong to the document they stand before.
    if (/^\s*(?:[#%][^\n]*\s*)*$/.test(before)) continue;
    parts.push({ source: before, line });
    line += before.split("\n").length - 1;
    from = marker.index;
  }
  parts.push({ source: text.slice(from), line });
  return parts;
}

class Refusal extends Error {
  readonly problem: Problem;

  constructor(place: string, expected: string, found: string) {
    super(expected);
    this.problem = { code: "yaml-invalid", place, expected, found };
  }
}

/** Offsets of one document's text to `path:line:column`, both from 1. */
class Places {
  readonly #path: string;
  readonly #line: number;
  readonly #lineStarts: number[] = [0];

  constructor(source: string, path: string, line: number) {
    this.#path = path;
    this.#line = line;
    for (let at = source.indexOf("\n"); at !== -1; at = source.indexOf("\n", at + 1)) {
      this.#lineStarts.push(at + 1);
    }
  }

  at(offset: number): string {
    let low = 0;
    let high = this.#lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#lineStarts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return `${this.#path}:${this.#line + low}:${offset - (this.#lineStarts[low] ?? 0) + 1}`;
  }
}

const textTags = new Set(["!", "!!str"]);
const plainTags = [nullCoreTag, boolCoreTag, intCoreTag, floatCoreTag];

/** The parser's events to nodes. */
class Composer {
  readonly #source: string;
  readonly #events: readonly Event[];
  readonly #places: Places;
  #next = 0;
  /** Where the last node that has a place began: an empty value has none of its own. */
  #lastOffset = 0;

  constructor(source: string, events: readonly Event[], places: Places) {
    this.#source = source;
    this.#events = events;
    this.#places = places;
  }

  documents(): YamlNode[] {
    const documents: YamlNode[] = [];
    while (this.#next < this.#events.length) {
      this.#next++; // the document's opening
      const root = this.#atEnd() ? undefined : this.#node();
      this.#next++; // its closing
      if (root !== undefined && !(root.kind === "scalar" && root.value === null)) {
        documents.push(root);
      }
    }
    return documents;
  }

  #atEnd(): boolean {
    const event = this.#events[this.#next];
    return event === undefined || event.type === EVENT_ID.POP;
  }

  #node(): YamlNode {
    const event = this.#events[this.#next++];
    switch (event?.type) {
      case EVENT_ID.SCALAR:
        return this.#scalar(event);
      case EVENT_ID.SEQUENCE: {
        this.#refuseTag(event.tagStart, event.tagEnd, "!!seq");
        const place = this.#placeOf(event.start);
        const items: YamlNode[] = [];
        while (!this.#atEnd()) items.push(this.#node());
        this.#next++;
        return { kind: "list", items, place };
      }
      case EVENT_ID.MAPPING:
        this.#refuseTag(event.tagStart, event.tagEnd, "!!map");
        return this.#map(this.#placeOf(event.start));
      case EVENT_ID.ALIAS: {
        const name = this.#source.slice(event.anchorStart, event.anchorEnd);
        const place = this.#places.at(event.anchorStart);
        throw new Refusal(
          place,
          "a value written out (aliases are not accepted)",
          shown(`*${name}`),
        );
      }
      default:
        throw new Refusal(this.#places.at(this.#lastOffset), "a value", "the end");
    }
  }

  #map(place: string): MapNode {
    const entries = new Map<string, MapEntry>();
    while (!this.#atEnd()) {
      const keyNode = this.#node();
      if (keyNode.kind !== "scalar")
        throw new Refusal(keyNode.place, "a text as key", keyNode.kind);
      const key = String(keyNode.value ?? "");
      if (entries.has(key)) throw new Refusal(keyNode.place, "each key once", shown(key));
      entries.set(key, { key, place: keyNode.place, value: this.#node() });
    }
    this.#next++;
    return { kind: "map", entries, place };
  }

  #scalar(event: ScalarEvent): ScalarNode {
    const text = event.valueStart === -1 ? "" : getScalarValue(this.#source, event);
    const tag = event.tagStart === -1 ? "" : this.#source.slice(event.tagStart, event.tagEnd);
    const typed = tag === "" && event.style === SCALAR_STYLE.PLAIN;
    if (!typed) this.#refuseTag(event.tagStart, event.tagEnd, ...textTags);
    // A quoted value begins at its quote.
    const quote =
      event.style === SCALAR_STYLE.SINGLE_QUOTED || event.style === SCALAR_STYLE.DOUBLE_QUOTED;
    const start = event.valueStart === -1 ? this.#lastOffset : event.valueStart - (quote ? 1 : 0);
    const place = this.#placeOf(start);
    return {
      kind: "scalar",
      value: typed ? typedValue(text) : text,
      place,
      placeAt: (offset) => this.#placeInside(event, text, offset),
    };
  }

  /**
   * Folding and indentation change only white space, so the n-th visible character of the value is
   * the n-th of the source. Quoted escapes break that; there the column is a near guess.
   */
  #placeInside(event: ScalarEvent, text: string, offset: number): string {
    if (event.valueStart === -1) return this.#places.at(this.#lastOffset);
    const visible = text.slice(0, offset).replace(/\s/g, "").length;
    const wantsEnd = text.slice(offset).trim() === "";
    let seen = 0;
    let at = event.valueStart;
    for (; at < event.valueEnd; at++) {
      if (wantsEnd && seen === visible) break;
      if (/\s/.test(this.#source[at] ?? "")) continue;
      if (seen === visible) break;
      seen++;
    }
    return this.#places.at(at);
  }

  #placeOf(offset: number): string {
    this.#lastOffset = offset;
    return this.#places.at(offset);
  }

  #refuseTag(start: number, end: number, ...allowed: readonly string[]): void {
    const tag = start === -1 ? "" : this.#source.slice(start, end);
    if (tag === "" || allowed.includes(tag)) return;
    throw new Refusal(this.#places.at(start), "a value without a tag", shown(tag));
  }
}

/**
 * Numbers that a double cannot hold exactly, and the infinities, stay text: no silent rounding of
 * ids.
 */
function typedValue(text: string): Scalar {
  for (const tag of plainTags) {
    const value: Scalar | typeof NOT_RESOLVED = tag.resolve(text, false, tag.tagName);
    if (value === NOT_RESOLVED) continue;
    if (typeof value !== "number") return value;
    const exact = Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value);
    return exact ? value : text;
  }
  return text;
}
