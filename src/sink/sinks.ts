/** @module The table of known sinks: one line each, and the schema of their settings. */

import { type Static, Type } from "typebox";
import { type Notice, renderPage, summaryLine } from "../alert/alert.ts";
import type { Clock } from "../clock.ts";
import { createJsonlSink, JsonlConfig } from "./jsonl.ts";
import type { Sink } from "./model.ts";
import { createTerminalSink, TerminalConfig } from "./terminal.ts";
import { createWebhookSink, WebhookConfig } from "./webhook.ts";

export const SinkConfig = Type.Union([TerminalConfig, JsonlConfig, WebhookConfig]);
export type SinkConfig = Static<typeof SinkConfig>;

/**
 * Sinks by name. The name stands in keys, metrics and the console: change it and it is another
 * sink.
 */
export const SinksConfig = Type.Record(
  Type.String({ pattern: "^[a-z][a-z0-9-]{0,31}$" }),
  SinkConfig,
  {
    additionalProperties: false,
    maxProperties: 16,
    default: { terminal: { type: "terminal" } },
    description: "Where notices go, by a name of your choice.",
  },
);
export type SinksConfig = Readonly<Record<string, SinkConfig>>;

export interface SinkParts {
  readonly stdout: NodeJS.WritableStream;
  readonly clock: Clock;
  /** How people reach the console, for links. */
  readonly consoleUrl?: string;
}

/**
 * Makes the configured sinks. Throws `config-invalid` for what a schema cannot see. Opens nothing
 * yet.
 */
export function createSinks(config: SinksConfig, parts: SinkParts): readonly Sink[] {
  return Object.entries(config).map(([name, sink]) => createSink(name, sink, parts));
}

function createSink(name: string, config: SinkConfig, parts: SinkParts): Sink {
  const { stdout, clock, consoleUrl } = parts;
  const link = consoleUrl === undefined ? {} : { consoleUrl };
  const wants = (notice: Notice) => config.notices !== "pages" || notice.kind === "page";
  switch (config.type) {
    case "terminal": {
      const render = { page: (notice: Notice) => renderPage(notice, link), line: summaryLine };
      return createTerminalSink({ name, stream: stdout, render, wants });
    }
    case "jsonl":
      return createJsonlSink({ name, path: config.path, wants });
    case "webhook":
      return createWebhookSink({ name, config, clock, wants, ...link });
    default:
      return config satisfies never;
  }
}
