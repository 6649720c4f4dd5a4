/**
 * @module The terminal sink: pages as a block of text, updates as one line, on a stream such as
 * stdout.
 */

import { styleText } from "node:util";
import { type Static, Type } from "typebox";
import type { Notice } from "../alert/alert.ts";
import { shown } from "../error.ts";
import type { Delivery, Sink } from "./model.ts";

/** Which notices a sink takes; every sink's settings have it. */
export const Notices = Type.Optional(
  Type.Union([Type.Literal("all"), Type.Literal("pages")], {
    default: "all",
    description: "`pages`: only what wakes someone; `all`: also what comes after it.",
  }),
);

export const TerminalConfig = Type.Object(
  { type: Type.Literal("terminal"), notices: Notices },
  { additionalProperties: false },
);
export type TerminalConfig = Static<typeof TerminalConfig>;

/** How a notice reads as plain text; the words are the alert folder's. */
export interface Render {
  /** Several lines. */
  readonly page: (notice: Notice) => string;
  /** One line. */
  readonly line: (notice: Notice) => string;
}

export interface TerminalSettings {
  readonly name: string;
  readonly stream: NodeJS.WritableStream;
  readonly render: Render;
  readonly wants?: (notice: Notice) => boolean;
  /** Default: whether the stream is a terminal. */
  readonly colour?: boolean;
}

/** Keys remembered so that a try which timed out and had printed after all is not printed again. */
const keysMax = 1_000;

export function createTerminalSink(settings: TerminalSettings): Sink {
  const { name, stream, render, wants = () => true } = settings;
  const colour = settings.colour ?? (stream as { isTTY?: boolean }).isTTY === true;
  const printed = new Set<string>();
  // Without a listener a closed pipe would end the process.
  const ignore = () => undefined;
  stream.on("error", ignore);
  return {
    name,
    wants,
    async send(notice, signal) {
      if (printed.has(notice.key)) return { kind: "delivered" };
      if (signal.aborted) return { kind: "retry", reason: "cut before it was printed" };
      const delivery = await write(stream, noticeText(notice, render, colour), signal);
      if (delivery.kind !== "delivered") return delivery;
      printed.add(notice.key);
      for (const key of printed) if (printed.size > keysMax) printed.delete(key);
      return delivery;
    },
    async close() {
      stream.removeListener("error", ignore);
    },
  };
}

/** The notice as printed: every line free of control characters that came with the evidence. */
export function noticeText(notice: Notice, render: Render, colour: boolean): string {
  const text = notice.kind === "page" ? render.page(notice) : render.line(notice);
  const lines = text
    .trimEnd()
    .split("\n")
    .map((line) => shown(line, Number.POSITIVE_INFINITY));
  if (colour && lines[0] !== undefined) {
    const { level } = notice.incident;
    const style = level === "critical" || level === "high" ? "red" : "yellow";
    lines[0] = styleText([style, "bold"], lines[0], { validateStream: false });
  }
  return notice.kind === "page" ? `\n${lines.join("\n")}\n\n` : `${lines.join(" ")}\n`;
}

function write(
  stream: NodeJS.WritableStream,
  text: string,
  signal: AbortSignal,
): Promise<Delivery> {
  const { promise, resolve } = Promise.withResolvers<Delivery>();
  const cut = () => resolve({ kind: "retry", reason: "cut while it was printed" });
  signal.addEventListener("abort", cut, { once: true });
  stream.write(text, (error) => {
    signal.removeEventListener("abort", cut);
    if (error) resolve({ kind: "retry", reason: `cannot print: ${shown(error.message)}` });
    else resolve({ kind: "delivered" });
  });
  return promise;
}
