/**
 * @module Splits a delivery's text into its records: JSON values with or without line ends, or
 * lines.
 */

import { type Span, scanValue } from "./json.ts";

/** The text of one record as it stood. */
export interface Piece {
  readonly text: string;
  /** Present when it is a bracketed whole, so probably JSON; absent for a line of text. */
  readonly span?: Span;
}

export interface Pieces {
  readonly pieces: readonly Piece[];
  /** Blank lines passed over. */
  readonly blank: number;
  /** What was left unread when `piecesMax` was reached. */
  readonly rest?: string;
}

interface Cut {
  readonly piece: Piece;
  readonly end: number;
}

/**
 * Takes one object, several on a line or over many lines, lists, JSON lines and plain lines,
 * mixed as they come. A broken JSON record costs itself only: reading goes on at the next line
 * that can begin a record. Linear in the text, whatever it is.
 */
export function splitRecords(text: string, piecesMax: number): Pieces {
  const pieces: Piece[] = [];
  let blank = 0;
  // A value over many lines that does not end is looked for once; after that each must end on its
  // line.
  let manyLines = true;
  let lineEnd = -1;
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  let lineStart = at;
  while (at < text.length) {
    const char = text.charCodeAt(at);
    if (char === 0x0a) {
      if (isBlank(text, lineStart, at)) blank++;
      at++;
      lineStart = at;
      continue;
    }
    if (char === 0x20 || char === 0x0d || char === 0x09) {
      at++;
      continue;
    }
    if (pieces.length >= piecesMax) return { pieces, blank, rest: text.slice(at) };
    // Found once a line: a line may hold a hundred thousand objects.
    if (lineEnd < at) lineEnd = endOfLine(text, at);
    const cut = cutPiece(text, at, { lineEnd, manyLines });
    if (cut.piece.span === undefined && (char === 0x7b || char === 0x5b)) manyLines = false;
    pieces.push(cut.piece);
    at = cut.end;
  }
  return { pieces, blank };
}

function isBlank(text: string, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const char = text.charCodeAt(at);
    if (char !== 0x20 && char !== 0x0d && char !== 0x09) return false;
  }
  return true;
}

interface Bounds {
  readonly lineEnd: number;
  readonly manyLines: boolean;
}

function cutPiece(text: string, start: number, { lineEnd, manyLines }: Bounds): Cut {
  const char = text[start];
  if (char !== "{" && char !== "[") return cutLine(text, start, lineEnd);
  const span = scanValue(text, start, manyLines ? text.length : lineEnd);
  if (span === undefined) return cutLine(text, start, brokenEnd(text, lineEnd));
  // `[INFO] 192.0.2.1 …` opens with a bracket and is a line all the same.
  const next = /[^ \t\r]/g;
  next.lastIndex = span.end;
  const follower = next.exec(text)?.[0];
  if (follower !== undefined && follower !== "\n" && follower !== "{") {
    return cutLine(text, start, endOfLine(text, span.end));
  }
  return { piece: { text: text.slice(start, span.end), span }, end: span.end };
}

function cutLine(text: string, start: number, end: number): Cut {
  // Not trimEnd: a form feed or a byte order mark is part of what came, and may be all of it.
  let last = end;
  while (last > start && " \t\r".includes(text.charAt(last - 1))) last--;
  return { piece: { text: text.slice(start, last) }, end };
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf("\n", from);
  return end === -1 ? text.length : end;
}

/**
 * A cut-off, indented document is one broken record: its indented and closing lines belong to it.
 */
function brokenEnd(text: string, lineEnd: number): number {
  let end = lineEnd;
  while (end < text.length && ' \t"}]'.includes(text.charAt(end + 1)) && end + 1 < text.length) {
    end = endOfLine(text, end + 1);
  }
  return end;
}
