/**
 * @module The same pipeline over recorded input, on a virtual clock: files or stdin, each feed
 * recognised.
 */

import { createReadStream } from "node:fs";
import { access, constants, stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import { type EpochMs, minuteMs, secondMs, type VirtualClock } from "../clock.ts";
import type { Intake, Rejection } from "../collector/collector.ts";
import { readAny } from "../collector/collectors.ts";
import { ServiceError, shown } from "../error.ts";
import { type Event, type Feed, feeds } from "../event/event.ts";
import type { Pipeline } from "./pipeline.ts";

/** What a replay has seen so far; rejections are kept whole, up to `rejectionsMax`. */
export interface ReplayCounts {
  bytes: number;
  records: number;
  skipped: number;
  rejected: number;
  readonly events: Map<Feed, number>;
  readonly rejections: Rejection[];
}

export interface ReplayInput {
  /** For places of problems: the file's name, or `stdin`. */
  readonly name: string;
  open(): Readable;
  /** Undefined for a stream of unknown length. */
  readonly bytes?: number;
}

export interface ReplaySettings {
  readonly inputs: readonly ReplayInput[];
  readonly pipeline: Pipeline;
  readonly clock: VirtualClock;
  /** Called after each step of virtual time. */
  readonly onProgress?: (counts: ReplayCounts) => void;
}

const rejectionsMax = 1_000;
/** Files of lines are read in blocks of about this size. */
const blockBytes = 8 * 1024 * 1024;
/** A whole JSON document, or one line, must fit: what a collector reads at once. */
const wholeBytesMax = 256 * 1024 * 1024;
/** Events that fall in the same step of virtual time are appended together. */
const stepMs = secondMs;
const stepEventsMax = 500;
/**
 * A recording is received after everything in it, so that no stamp looks like one from the future.
 */
const endOfTime = Date.UTC(9999, 11, 31);

/** Throws a ServiceError (`input-unreadable`) when there is no such file, or it may not be read. */
export async function fileInput(path: string): Promise<ReplayInput> {
  try {
    const found = await stat(path);
    if (found.isDirectory()) throw unreadable(path, "a directory");
    await access(path, constants.R_OK);
    return { name: path, bytes: found.size, open: () => createReadStream(path) };
  } catch (error) {
    throw error instanceof ServiceError ? error : unreadable(path, faultOf(error));
  }
}

function faultOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" ? "no such file" : (code ?? shown(String(error)));
}

function unreadable(path: string, found: string): ServiceError {
  const expected = "a file that can be read";
  return new ServiceError({ code: "input-unreadable", place: shown(path, 200), expected, found });
}

/**
 * Plays the inputs merged by event time. Each event is received when it occurred, so that waiting
 * and paging behave as they would have. Resolves when everything that follows from the input has
 * happened.
 */
export async function replay(settings: ReplaySettings): Promise<ReplayCounts> {
  const { pipeline, clock, onProgress } = settings;
  // By name, not as given: of two events of one time in two inputs it decides which comes first.
  const inputs = settings.inputs.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const events = new Map<Feed, number>(feeds.map((feed) => [feed, 0]));
  const counts: ReplayCounts = {
    ...{ bytes: 0, records: 0, skipped: 0, rejected: 0 },
    ...{ events, rejections: [] },
  };
  let step: Event[] = [];
  const flush = async (): Promise<void> => {
    if (step.length === 0) return;
    await moveTo(pipeline, clock, step.at(-1)?.occurredAt ?? clock.now());
    await pipeline.accept(
      { records: step.length, events: step, rejections: [], skipped: 0 },
      undefined,
    );
    await pipeline.drained();
    step = [];
    onProgress?.(counts);
  };
  for await (const event of merged(inputs.map((input) => eventsOf(input, counts, pipeline)))) {
    events.set(event.feed, (events.get(event.feed) ?? 0) + 1);
    const first = step[0]?.occurredAt ?? event.occurredAt;
    if (event.occurredAt - first >= stepMs || step.length >= stepEventsMax) await flush();
    step.push({ ...event, receivedAt: event.occurredAt });
  }
  await flush();
  // Long enough for whatever still waits: parked events, retries of this step.
  await moveTo(pipeline, clock, clock.now() + 2 * minuteMs);
  onProgress?.(counts);
  return counts;
}

async function moveTo(pipeline: Pipeline, clock: VirtualClock, time: EpochMs): Promise<void> {
  if (time <= clock.now()) return;
  clock.advanceTo(time);
  await pipeline.tick();
  await pipeline.drained();
}

/**
 * One input's events, in order of time within each block; problems are counted and kept on the way.
 */
async function* eventsOf(
  input: ReplayInput,
  counts: ReplayCounts,
  pipeline: Pipeline,
): AsyncGenerator<Event> {
  const timed: Event[] = [];
  let latest = 0;
  for await (const piece of blocks(input)) {
    if ("problem" in piece) {
      const rejections = [{ problem: piece.problem, raw: piece.raw }];
      counts.records += 1;
      await keepRejections({ records: 1, events: [], rejections, skipped: 0 }, counts, pipeline);
      continue;
    }
    const { block, line } = piece;
    counts.bytes += block.length;
    const place = `${input.name}:${line}`;
    const intake = readAny(block, { receivedAt: endOfTime, headers: {}, place, recorded: true });
    counts.records += intake.records;
    counts.skipped += intake.skipped;
    await keepRejections(intake, counts, pipeline);
    for (const event of intake.events) {
      // A record without a time of its own happened where it stands: right after the one before it.
      if (event.timeSource === "receipt") timed.push({ ...event, occurredAt: latest });
      else timed.push(event);
      latest = timed.at(-1)?.occurredAt ?? latest;
    }
    yield* timed.splice(0).sort((a, b) => a.occurredAt - b.occurredAt);
  }
}

async function keepRejections(
  intake: Intake,
  counts: ReplayCounts,
  pipeline: Pipeline,
): Promise<void> {
  counts.rejected += intake.rejections.length;
  counts.rejections.push(...intake.rejections.slice(0, rejectionsMax - counts.rejections.length));
  const { rejections } = intake;
  await pipeline.accept(
    { records: rejections.length, events: [], rejections, skipped: 0 },
    undefined,
  );
}

interface Block {
  readonly block: Buffer;
  /** Number of its first line. */
  readonly line: number;
}

/**
 * Blocks of whole lines, or the whole of an input that is one JSON document. What cannot be cut
 * into either within the bound is one rejection, and nothing more of that input is read.
 */
async function* blocks(input: ReplayInput): AsyncGenerator<Block | Rejection> {
  let held: Buffer[] = [];
  let size = 0;
  let line = 1;
  let isDocument: boolean | undefined;
  for await (const chunk of chunksOf(input)) {
    if (line === 1 && size === 0 && chunk[0] === 0x1f && chunk[1] === 0x8b) {
      yield refused(input, { expected: "text: unpack it first", found: "gzip data" }, chunk);
      return;
    }
    held.push(chunk);
    size += chunk.length;
    if (size > wholeBytesMax) {
      const expected = `lines, or a document, of at most ${wholeBytesMax} bytes`;
      yield refused(input, { expected, found: "more; the rest is not read" }, chunk);
      return;
    }
    // Joined only where there may be something to cut: a line of many chunks must not be copied
    // once for each.
    if (size < blockBytes || isDocument === true || !chunk.includes(0x0a)) continue;
    const whole = Buffer.concat(held);
    isDocument ??= beginsDocument(whole);
    const cut = isDocument ? 0 : whole.lastIndexOf(0x0a) + 1;
    if (cut === 0) {
      held = [whole];
      continue;
    }
    const block = whole.subarray(0, cut);
    yield { block, line };
    line += newlines(block);
    held = [whole.subarray(cut)];
    size = held[0]?.length ?? 0;
  }
  if (size > 0) yield { block: Buffer.concat(held), line };
}

async function* chunksOf(input: ReplayInput): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of input.open() as AsyncIterable<Buffer | string>) {
      yield typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    }
  } catch (error) {
    throw unreadable(input.name, faultOf(error));
  }
}

/** Whether the first line is brackets alone: an indented document, not JSON lines. */
function beginsDocument(text: Buffer): boolean {
  const start = text.toString("utf8", 0, 1_000).trimStart();
  return /^[[{][[{ \t\r]*\n/.test(start);
}

function refused(
  { name }: ReplayInput,
  problem: { readonly expected: string; readonly found: string },
  chunk: Buffer,
): Rejection {
  const code = problem.found === "gzip data" ? "format-unsupported" : "body-too-large";
  return { problem: { code, place: name, ...problem }, raw: chunk.toString("latin1", 0, 1_000) };
}

function newlines(block: Buffer): number {
  let count = 0;
  for (let at = block.indexOf(0x0a); at !== -1; at = block.indexOf(0x0a, at + 1)) count += 1;
  return count;
}

/** The earliest event of all inputs next. */
async function* merged(inputs: readonly AsyncGenerator<Event>[]): AsyncGenerator<Event> {
  const heads: { event: Event; from: AsyncGenerator<Event> }[] = [];
  for (const from of inputs) await take(from);
  while (heads.length > 0) {
    heads.sort((a, b) => a.event.occurredAt - b.event.occurredAt);
    const head = heads.shift();
    if (head === undefined) return;
    yield head.event;
    await take(head.from);
  }

  async function take(from: AsyncGenerator<Event>): Promise<void> {
    const next = await from.next();
    if (next.done !== true) heads.push({ event: next.value, from });
  }
}
