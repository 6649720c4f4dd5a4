/** @module What commands print: tables for people, lines for machines, progress on a terminal. */

import { stripVTControlCharacters, styleText } from "node:util";

/** Where a command writes; tests give their own. */
export interface CliStreams {
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly stdin: NodeJS.ReadableStream;
}

export type Style = Parameters<typeof styleText>[0];

/** Colour where the stream is a terminal (and NO_COLOR does not forbid it). */
export function paint(stream: CliStreams["stdout"], style: Style, text: string): string {
  return stream.isTTY === true ? styleText(style, text, { validateStream: false }) : text;
}

/** Columns as wide as their widest cell, two spaces between; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
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
