/**
 * @module Reading outside JSON: bounded nesting, and integers beyond 2^53 kept exactly, as text.
 */

import { type ProblemCode, shown } from "../error.ts";

/**
 * Deeper JSON is refused: no feed nests beyond a dozen, and walks over the value may then recurse.
 */
export const nestingMax = 64;

/** A double holds every integer of fewer digits. */
const longDigits = 16;
const none: number[] = [];

/** Where an object or list ends in its text, and what must be known before parsing it. */
export interface Span {
  /** Index just after the closing bracket. */
  readonly end: number;
  readonly nesting: number;
  /**
   * Where each run of 16 digits or more outside of text begins, counted from the first bracket:
   * an integer there may be one that a double cannot hold.
   */
  readonly longNumbers: readonly number[];
}

/** A parsed value, or why there is none. */
export type JsonResult =
  | { readonly ok: true; readonly value: unknown }
  | {
      readonly ok: false;
      readonly code: ProblemCode;
      readonly expected: string;
      readonly found: string;
    };

/**
 * The index of the quote that ends the text which begins at `start`, or -1 when its line or `limit`
 * comes first. Looks at each character once: searching ahead for quotes and line ends would repeat
 * itself on hostile input.
 */
export function stringEnd(text: string, start: number, limit: number): number {
  for (let at = start + 1; at < limit; at++) {
    const char = text.charCodeAt(at);
    if (char === 0x22) return at;
    if (char === 0x0a) return -1;
    if (char === 0x5c) at++;
  }
  return -1;
}

/**
 * Finds the end of the object or list that begins at `start`, before `limit`. Counts brackets only:
 * whether it is JSON the parser says. Undefined when it does not end, or a text in it runs over the
 * end of its line.
 */
export function scanValue(text: string, start: number, limit: number): Span | undefined {
  let depth = 0;
  let nesting = 0;
  let longNumbers = none;
  for (let at = start; at < limit; at++) {
    const char = text.charCodeAt(at);
    if (isDigit(char)) {
      const from = at;
      while (isDigit(text.charCodeAt(at + 1))) at++;
      if (at - from < longDigits - 1) continue;
      if (longNumbers === none) longNumbers = [];
      longNumbers.push(from - start);
    } else if (char === 0x22) {
      at = stringEnd(text, at, limit);
      if (at === -1) return undefined;
    } else if (char === 0x7b || char === 0x5b) {
      depth++;
      if (depth > nesting) nesting = depth;
    } else if (char === 0x7d || char === 0x5d) {
      depth--;
      if (depth === 0) return { end: at + 1, nesting, longNumbers };
    }
  }
  return undefined;
}

function isDigit(char: number): boolean {
  return char >= 0x30 && char <= 0x39;
}

/** Parses a text whose span is known. */
export function parseScanned(text: string, span: Span): JsonResult {
  if (span.nesting > nestingMax) {
    return {
      ok: false,
      code: "nesting-too-deep",
      expected: `at most ${nestingMax} levels`,
      found: `${span.nesting} levels`,
    };
  }
  try {
    return { ok: true, value: JSON.parse(withExactIntegers(text, span.longNumbers)) };
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    return { ok: false, code: "json-invalid", expected: "JSON", found: shown(found, 160) };
  }
}

/** Parses one object or list. */
export function parseJson(text: string): JsonResult {
  const start = text.search(/\S/);
  const first = start === -1 ? "" : text[start];
  const span = first === "{" || first === "[" ? scanValue(text, start, text.length) : undefined;
  if (span === undefined) {
    return {
      ok: false,
      code: "json-invalid",
      expected: "a JSON object or list",
      found: shown(text.slice(0, 160)),
    };
  }
  return parseScanned(text.slice(start), span);
}

/**
 * The text with quotes around each integer that a double cannot hold. A reviver would do the same
 * at several times the cost of the parse, and Falco writes such a number into every alert. Quotes
 * are set only where a value stands, so that what is not JSON stays so.
 */
function withExactIntegers(text: string, longNumbers: readonly number[]): string {
  let quoted = "";
  let copied = 0;
  for (const digits of longNumbers) {
    const start = text.charCodeAt(digits - 1) === 0x2d ? digits - 1 : digits;
    let end = digits;
    while (isDigit(text.charCodeAt(end))) end++;
    if (!isValuePlace(text, start, end) || text.charCodeAt(digits) === 0x30) continue;
    const number = text.slice(start, end);
    if (Number.isSafeInteger(Number(number))) continue;
    quoted += `${text.slice(copied, start)}"${number}"`;
    copied = end;
  }
  return copied === 0 ? text : quoted + text.slice(copied);
}

/** Between `[`, `,` or `:` and `,`, `]` or `}`; a key has a colon after it, a fraction a point. */
function isValuePlace(text: string, start: number, end: number): boolean {
  let before = start - 1;
  while (isSpace(text.charCodeAt(before))) before--;
  let after = end;
  while (isSpace(text.charCodeAt(after))) after++;
  return "[,:".includes(text.charAt(before)) && ",]}".includes(text.charAt(after));
}

function isSpace(char: number): boolean {
  return char === 0x20 || char === 0x0a || char === 0x0d || char === 0x09;
}

/** The texts of a list's items, given the list's own valid JSON text. */
export function itemTexts(text: string): string[] {
  const items: string[] = [];
  let at = text.indexOf("[") + 1;
  while (at < text.length) {
    const char = text[at];
    if (char === "]") break;
    if (char === "," || char === " " || char === "\n" || char === "\r" || char === "\t") {
      at++;
      continue;
    }
    const end = itemEnd(text, at);
    items.push(text.slice(at, end));
    at = end;
  }
  return items;
}

function itemEnd(text: string, start: number): number {
  const char = text[start];
  if (char === "{" || char === "[") {
    return scanValue(text, start, text.length)?.end ?? text.length;
  }
  if (char === '"') {
    const end = stringEnd(text, start, text.length);
    return end === -1 ? text.length : end + 1;
  }
  let end = start + 1;
  while (end < text.length && !",] \n\r\t".includes(text.charAt(end))) end++;
  return end;
}

/**
 * JSON with its keys in order: equal values give equal text, whatever order and spacing they came
 * in.
 */
export function canonicalText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const members = entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalText(item)}`);
  return `{${members.join(",")}}`;
}
