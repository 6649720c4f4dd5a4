/**
 * @module Sigma's text values: wildcards and escapes parsed into patterns, and what transforms do
 * to them.
 */

/** A stretch of plain text, `*` (any run) or `?` (exactly one character). */
export type PatternPart = { readonly text: string } | { readonly wild: "*" | "?" };

/** Text stretches are never empty or side by side; "" is no parts at all. */
export type Pattern = readonly PatternPart[];

export const anyRun: PatternPart = { wild: "*" };

/**
 * Reads a value as written. A backslash escapes `*`, `?` and itself, and stands for itself before
 * anything else; so `\\*` is a backslash and a wildcard, and one backslash may be written as one or
 * two.
 */
export function parsePattern(written: string): Pattern {
  const parts: PatternPart[] = [];
  let text = "";
  const closeText = (): void => {
    if (text !== "") parts.push({ text });
    text = "";
  };
  for (let at = 0; at < written.length; at++) {
    const char = written[at] ?? "";
    const next = written[at + 1];
    if (char === "\\" && (next === "\\" || next === "*" || next === "?")) {
      text += next;
      at++;
    } else if (char === "*" || char === "?") {
      closeText();
      parts.push({ wild: char });
    } else text += char;
  }
  closeText();
  return parts;
}

/** The text of a pattern without wildcards; undefined when it has any. */
export function literalOf(pattern: Pattern): string | undefined {
  const [first] = pattern;
  if (first === undefined) return "";
  return pattern.length === 1 && "text" in first ? first.text : undefined;
}

// Source: Sigma modifiers appendix 2.1.0: hyphen, slash, en dash, em dash, horizontal bar.
const dashes = ["-", "/", "\u2013", "\u2014", "\u2015"] as const;

/** A dash that starts a parameter: no word character before it, one after it. */
const parameterDash = /(?<![\p{L}\p{N}_])[-/](?=[\p{L}\p{N}_])/u;

/** More would multiply into too many values: 5 to the power of this. */
const dashesMax = 4;

/**
 * The pattern with every parameter dash in each of its five forms; undefined when it has too many.
 */
export function withDashes(pattern: Pattern): readonly Pattern[] | undefined {
  let stems: PatternPart[][] = [[]];
  let dashCount = 0;
  for (const part of pattern) {
    let forms = [part];
    if ("text" in part) {
      const stretches = part.text.split(parameterDash);
      dashCount += stretches.length - 1;
      if (dashCount > dashesMax) return undefined;
      forms = joinedWithDashes(stretches).map((text) => ({ text }));
    }
    stems = stems.flatMap((stem) => forms.map((form) => [...stem, form]));
  }
  return stems;
}

function joinedWithDashes(stretches: readonly string[]): readonly string[] {
  const [first = "", ...others] = stretches;
  let texts = [first];
  for (const stretch of others) {
    texts = texts.flatMap((text) => dashes.map((dash) => `${text}${dash}${stretch}`));
  }
  return texts;
}

/**
 * The base64 forms that a text takes inside longer data, by where in a group of three bytes it
 * starts.
 */
export function base64Offsets(bytes: Buffer): readonly string[] {
  // Characters that also hold bits of the neighbours before and after are cut off.
  const leading = [0, 2, 3];
  const trailing = [0, 3, 2];
  return leading.map((cut, offset) => {
    const encoded = Buffer.concat([Buffer.alloc(offset, " "), bytes]).toString("base64");
    return encoded.slice(cut, encoded.length - (trailing[(bytes.length + offset) % 3] ?? 0));
  });
}
