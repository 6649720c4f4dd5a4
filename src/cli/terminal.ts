/** @module What commands print: tables for people, lines for machines, progress on a terminal. */

import { stripVTControlCharacters, styleText } from "node:util";
import type { Config } from "../config/config.ts";
import { shown } from "../error.ts";

/** Where a command writes; tests give their own. */
export interface CliStreams {
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly stdin: NodeJS.ReadableStream;
}

/** What the table of commands gives those that are added to it. */
export interface CommandParts {
  readonly streams: CliStreams;
  /** To be called with the exit code; without it that is 0. */
  readonly answer: (code: number) => void;
  readonly configOf: (options: { readonly config?: string }) => Config;
}

const cellLengthMax = 160;

export type Style = Parameters<typeof styleText>[0];

/** Colour where the stream is a terminal (and NO_COLOR does not forbid it). */
export function paint(stream: CliStreams["stdout"], style: Style, text: string): string {
  return stream.isTTY === true ? styleText(style, text, { validateStream: false }) : text;
}

/**
 * Text of several lines for a terminal: whatever came with it from outside cannot steer the
 * terminal.
 */
export function shownLines(text: string): string {
  return text
    .split("\n")
    .map((line) => shown(line, Number.POSITIVE_INFINITY))
    .join("\n");
}

/**
 * A value as one line of JSON that is safe on a terminal too: what JSON leaves alone is escaped as
 * well.
 */
export function jsonLine(value: unknown): string {
  const json = JSON.stringify(value).replace(/[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu, (char) =>
    Array.from({ length: char.length }, (_, index) => {
      return `\\u${char.charCodeAt(index).toString(16).padStart(4, "0")}`;
    }).join(""),
  );
  return `${json}\n`;
}

/**
 * Columns as wide as their widest cell, two spaces between; numbers to the right. Cells are plain
 * text from anywhere.
 */
export function table(head: readonly string[], given: readonly (readonly string[])[]): string {
  const rows = given.map((row) => row.map((cell) => shown(cell, cellLengthMax)));
  const widths = head.map((title, column) =>
    Math.max(...[title, ...rows.map((row) => row[column] ?? "")].map(shownWidth)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => {
        const pad = " ".repeat(Math.max(0, (widths[column] ?? 0) - shownWidth(cell)));
        return /^[\d,.]+( [a-zµ/%]+)?$/.test(cell) ? pad + cell : cell + pad;
      })
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "─".repeat(width)).join("  ");
  return [line(head), rule, ...rows.map(line)].join("\n");
}

function shownWidth(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** `EACCES`, or what there is to say instead. */
export function errorCode(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? shown(String(error));
}

/** `12,345` */
export function grouped(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

/** One line rewritten in place, on a terminal only; `done` clears it. */
export interface Progress {
  show(text: string): void;
  done(): void;
}

export function progressOn(stream: CliStreams["stderr"]): Progress {
  let width = 0;
  const write = (text: string) => {
    stream.write(`\r${text.padEnd(width)}`);
    width = shownWidth(text);
  };
  if (stream.isTTY !== true) return { show: () => undefined, done: () => undefined };
  return {
    show: write,
    done: () => {
      write("");
      stream.write("\r");
      width = 0;
    },
  };
}
