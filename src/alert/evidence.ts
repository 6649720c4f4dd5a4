/**
 * @module Evidence: one event in a few words, by its feed. Raw outside text: the caller masks and
 * escapes it.
 */

import { type Event, type Feed, type Fields, textOf } from "../event/event.ts";

function joined(parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined && part !== "").join(" ");
}

function after(word: string, text: string | undefined): string | undefined {
  return text === undefined ? undefined : `${word} ${text}`;
}

function ofFalco(fields: Fields): string {
  const command = textOf(fields, "process.command_line") ?? textOf(fields, "process.name");
  const rule = textOf(fields, "rule.name");
  return joined([
    rule === undefined ? undefined : `${rule}:`,
    command,
    after("file", textOf(fields, "file.path")),
    after("to", destination(fields)),
  ]);
}

function destination(fields: Fields): string | undefined {
  const host = textOf(fields, "destination.domain") ?? textOf(fields, "destination.ip");
  const port = textOf(fields, "destination.port");
  return host === undefined || port === undefined ? host : `${host}:${port}`;
}

function ofEgress(fields: Fields): string {
  const bytes = textOf(fields, "http.request.bytes");
  return joined([
    textOf(fields, "event.action"),
    textOf(fields, "http.request.method"),
    textOf(fields, "url.full") ?? destination(fields),
    after("status", textOf(fields, "http.response.status_code")),
    bytes === undefined ? undefined : `${bytes} bytes out`,
    after("by", textOf(fields, "process.name")),
  ]);
}

function ofGithub(fields: Fields): string {
  return joined([
    textOf(fields, "event.action"),
    after("by", textOf(fields, "user.name")),
    after("on", textOf(fields, "vcs.repository.name") ?? textOf(fields, "vcs.owner.name")),
    after("from", textOf(fields, "source.ip")),
    after("target", textOf(fields, "user.target.name")),
  ]);
}

function ofTrivy(fields: Fields): string {
  return joined([
    textOf(fields, "event.action"),
    textOf(fields, "vulnerability.id") ?? textOf(fields, "rule.name"),
    textOf(fields, "vulnerability.severity"),
    after("in", textOf(fields, "package.name") ?? textOf(fields, "file.path")),
    textOf(fields, "package.version"),
  ]);
}

function ofRegistry(fields: Fields): string {
  return joined([
    textOf(fields, "event.action"),
    textOf(fields, "url.full") ?? textOf(fields, "artifact.hash"),
    after("by", textOf(fields, "user.name")),
    after("from", textOf(fields, "source.ip")),
    after("with", textOf(fields, "user_agent.original")),
  ]);
}

/** The first and the last characters of a text that is longer than that, with a mark between. */
function middleCut(text: string, lengthMax: number): string {
  if (text.length <= lengthMax) return text;
  const head = Math.ceil((lengthMax - 1) / 2);
  return `${text.slice(0, head)}…${text.slice(text.length - (lengthMax - 1 - head))}`;
}

/**
 * The text as at most two lines of these lengths, broken at a space where that loses nothing. What
 * is beyond is cut from the middle: an address tells by its host and by its end.
 */
export function twoLines(text: string, first: number, second: number): readonly string[] {
  if (text.length <= first) return [text];
  const fit = middleCut(text, first + second);
  const space = fit.lastIndexOf(" ", first);
  const breaks = space > 0 && fit.length - space - 1 <= second;
  const lines = breaks
    ? [fit.slice(0, space), fit.slice(space + 1)]
    : [fit.slice(0, first), fit.slice(first)];
  // A cut may go through a character of two halves.
  return lines.map((line) => line.toWellFormed().trimEnd()).filter((line) => line !== "");
}

const texts: Readonly<Record<Feed, (fields: Fields) => string>> = {
  falco: ofFalco,
  egress: ofEgress,
  "github-webhook": ofGithub,
  "github-audit": ofGithub,
  trivy: ofTrivy,
  registry: ofRegistry,
};

/**
 * What the event was: `allow POST http://203.0.113.77/in status 200 3981 bytes out by curl`. Empty
 * when its feed's fields say nothing. Not yet safe to show.
 */
export function evidenceText(event: Event): string {
  return texts[event.feed](event.fields) || (textOf(event.fields, "event.action") ?? "");
}
