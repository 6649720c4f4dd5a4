/** @module `pipewarden dlq`: what could not be read: list it, show it, read it again, drop it. */

import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { problemLine, ServiceError, shown } from "../error.ts";
import type { OpenLetter, WholeLetter } from "../pipeline/dead-letters.ts";
import { type LetterSource, lettersAt, lettersIn } from "./dlq-source.ts";
import {
  type CliStreams,
  type CommandParts,
  errorCode,
  grouped,
  jsonLine,
  shownLines,
  table,
} from "./terminal.ts";

/** What every one of the commands takes. */
interface Reach {
  readonly url: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly dataDir?: string;
  readonly config?: string;
  readonly json?: boolean;
}

const pageSize = 200;

/** Adds `dlq` with its commands. Exit code: 0; 1 when a letter is not there or stays unreadable. */
export function addDlqCommands(program: Command, parts: CommandParts): void {
  const { streams, answer } = parts;
  const dlq = program.command("dlq").description("what could not be read (dead letters)");
  reach(dlq.command("ls").description("list them, latest first"))
    .option("--limit <count>", "how many at most", "50")
    .action(async (options: Reach & { limit: string }) => {
      await withLetters(options, parts, (letters) => list(letters, options, streams));
    });
  reach(dlq.command("show").description("show one with its raw text").argument("<id>"))
    .option("--raw", "only the raw text, unchanged unless it goes to a terminal")
    .action(async (id: string, options: Reach & { raw?: boolean }) => {
      await withLetters(options, parts, async (letters) => {
        answer(show(await letters.find(id), { id, ...options }, streams));
      });
    });
  for (const act of ["retry", "drop"] as const) {
    const does = act === "retry" ? "read them again with today's collectors" : "close them unread";
    reach(dlq.command(act).description(does).argument("[ids...]"))
      .option("--all", "all that are open")
      .action(async (ids: string[], options: Reach & { all?: boolean }, command: Command) => {
        if ((ids.length === 0) === (options.all !== true)) {
          command.error("error: give ids, or --all");
        }
        await withLetters(options, parts, async (letters) => {
          const chosen = options.all === true ? await allIds(letters) : ids;
          const one = act === "retry" ? retryOne : dropOne;
          answer(await each(chosen, (id) => one(letters, id), { options, streams }));
        });
      });
  }
}

function reach(command: Command): Command {
  return command
    .option("--url <url>", "API of the running service", "http://127.0.0.1:8480")
    .option("--token <token>", "a token of api.tokens; --token-file keeps it out of process lists")
    .option("--token-file <file>", "file that holds the token")
    .option("--data-dir <directory>", "data directory of a stopped service, instead of its API")
    .option("--config <file>", "settings of that service, for its list of runners")
    .option("--json", "one letter or outcome a line");
}

async function withLetters(
  options: Reach,
  { configOf }: CommandParts,
  act: (letters: LetterSource) => Promise<void>,
): Promise<void> {
  const { dataDir, config } = options;
  const letters =
    dataDir === undefined
      ? lettersAt(options.url, tokenOf(options))
      : await lettersIn(dataDir, configOf(config === undefined ? {} : { config }));
  try {
    await act(letters);
  } finally {
    await letters.close();
  }
}

function tokenOf({ token, tokenFile }: Reach): string | undefined {
  if (tokenFile === undefined) return token;
  try {
    return readFileSync(tokenFile, "utf8").trim();
  } catch (error) {
    const found = errorCode(error);
    const [place, expected] = [shown(tokenFile, 200), "a file that holds the token"];
    throw new ServiceError({ code: "input-unreadable", place, expected, found });
  }
}

async function list(
  letters: LetterSource,
  { limit: text, json }: Reach & { readonly limit: string },
  { stdout }: CliStreams,
): Promise<void> {
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit < 1) {
    const problem = { code: "input-unreadable", place: "--limit", expected: "a number" } as const;
    throw new ServiceError({ ...problem, found: shown(text) });
  }
  const { items, open } = await upTo(letters, limit);
  if (json === true) {
    for (const letter of items) stdout.write(jsonLine(letter));
    return;
  }
  if (items.length > 0) {
    const head = ["put there", "id", "feed", "problem", "bytes", "place"];
    stdout.write(`${table(head, items.map(rowOf))}\n\n`);
  }
  const shownCount = items.length < open ? `, ${grouped(items.length)} shown` : "";
  stdout.write(`${grouped(open)} open${shownCount}\n`);
}

function rowOf({ at, id, feed, problem, bytes }: OpenLetter): string[] {
  return [timeText(at), id, feed ?? "–", problem.code, grouped(bytes), problem.place];
}

function timeText(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19)}Z`;
}

async function upTo(
  letters: LetterSource,
  limit: number,
): Promise<{ readonly items: readonly OpenLetter[]; readonly open: number }> {
  const items: OpenLetter[] = [];
  for (let cursor: string | undefined; ; ) {
    const size = { limit: Math.min(pageSize, limit - items.length) };
    const page = await letters.list(cursor === undefined ? size : { ...size, cursor });
    items.push(...page.items);
    cursor = page.cursor;
    if (cursor === undefined || items.length >= limit) return { items, open: page.open };
  }
}

/** Oldest first: what happened first is read first. */
async function allIds(letters: LetterSource): Promise<string[]> {
  const { items } = await upTo(letters, Number.POSITIVE_INFINITY);
  return items.map(({ id }) => id).reverse();
}

interface Showing {
  readonly id: string;
  readonly raw?: boolean;
  readonly json?: boolean;
}

function show(
  letter: WholeLetter | undefined,
  { id, raw, json }: Showing,
  { stdout, stderr }: CliStreams,
): number {
  if (letter === undefined) {
    stderr.write(`${shown(id)}: no such dead letter\n`);
    return 1;
  }
  if (raw === true) {
    stdout.write(stdout.isTTY === true ? `${shownLines(letter.raw)}\n` : letter.raw);
  } else if (json === true) stdout.write(jsonLine(letter));
  else stdout.write(`${letterText(letter)}\n`);
  return 0;
}

function letterText(letter: WholeLetter): string {
  const { problem, delivery, record } = letter;
  const headers = Object.entries(delivery?.headers ?? {}).map(([name, value]) => [name, value]);
  const rows = [
    ["id", letter.id],
    ["put there", timeText(letter.at)],
    ...(letter.feed === undefined ? [] : [["feed", letter.feed]]),
    ...(record === undefined
      ? []
      : [["record", `${record.topic}/${record.partition}/${record.offset}`]]),
    ...(delivery?.path === undefined ? [] : [["path", delivery.path]]),
    ...headers,
    ["problem", problemLine(problem)],
    ["bytes", grouped(letter.bytes)],
  ];
  const width = Math.max(...rows.map(([name = ""]) => name.length));
  const lines = rows.map(([name = "", value = ""]) => {
    return `${shown(name).padEnd(width)}  ${shown(value, 1_000)}`;
  });
  return [...lines, "", shownLines(letter.raw)].join("\n");
}

/** What became of one letter: for people, for machines, and whether it is done with. */
interface Outcome {
  readonly text: string;
  readonly json: object;
  readonly done: boolean;
}

async function retryOne(letters: LetterSource, id: string): Promise<Outcome> {
  const retried = await letters.retry(id);
  if (retried === undefined) return absent;
  const done = retried.kind === "done";
  if (!done) {
    const [first] = retried.problems;
    const why = first === undefined ? "" : `: ${shown(problemLine(first), 400)}`;
    return { text: `still cannot be read${why}`, json: retried, done };
  }
  const { events, rejected } = retried;
  const rest = rejected === 0 ? "" : `, ${grouped(rejected)} new dead letters`;
  const counted = `${grouped(events)} event${events === 1 ? "" : "s"}`;
  return { text: `read again: ${counted}${rest}`, json: retried, done };
}

async function dropOne(letters: LetterSource, id: string): Promise<Outcome> {
  if (!(await letters.drop(id))) return absent;
  return { text: "dropped", json: { kind: "dropped" }, done: true };
}

const absent: Outcome = { text: "no such dead letter", json: { kind: "unknown" }, done: false };

async function each(
  ids: readonly string[],
  act: (id: string) => Promise<Outcome>,
  { options, streams }: { readonly options: Reach; readonly streams: CliStreams },
): Promise<number> {
  let code = 0;
  for (const id of ids) {
    const { text, json, done } = await act(id);
    if (!done) code = 1;
    streams.stdout.write(
      options.json === true ? jsonLine({ id, ...json }) : `${shown(id)}  ${text}\n`,
    );
  }
  return code;
}
