/** @module The same pipeline over recorded input, on a virtual clock: files or stdin, each feed recognised. */

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import { type EpochMs, minuteMs, secondMs, type VirtualClock } from "../clock.ts";
import type { Intake, Rejection } from "../collector/collector.ts";
import { readAny } from "../collector/collectors.ts";
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
/** A whole JSON document must fit; files of lines are read in blocks of about this size. */
const blockBytes = 8 * 1024 * 1024;
/** Events that fall in the same step of virtual time are appended together. */
const stepMs = secondMs;
const stepEventsMax = 500;
/** A recording is received after everything in it, so that no stamp looks like one from the future. */
const endOfTime = Date.UTC(9999, 11, 31);

export async function fileInput(path: string): Promise<ReplayInput> {
  const { size } = await stat(path);
  return { name: path, bytes: size, open: () => createReadStream(path) };
}

/**
 * Plays the inputs merged by event time. Each event is received when it occurred, so that waiting and paging behave
 * as they would have. Resolves when everything that follows from the input has happened.
 */
export async function replay(settings: ReplaySettings): Promise<ReplayCounts> {
  const { inputs, pipeline, clock, onProgress } = settings;
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

/** One input's events, in order of time within each block; problems are counted and kept on the way. */
async function* eventsOf(
  input: ReplayInput,
  counts: ReplayCounts,
  pipeline: Pipeline,
): AsyncGenerator<Event> {
  const timed: Event[] = [];
  let latest = 0;
  for await (const { block, line } of blocks(input)) {
    counts.bytes += block.length;
    const place = `${input.name}:${line}`;
    const intake = readAny(block, { receivedAt: endOfTime, headers: {}, place });
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

/** Blocks of whole lines; a file smaller than one block comes whole, so that it may be one JSON document. */
async function* blocks(input: ReplayInput): AsyncGenerator<{ block: Buffer; line: number }> {
  let held: Buffer[] = [];
  let size = 0;
  let line = 1;
  for await (const chunk of input.open() as AsyncIterable<Buffer>) {
    held.push(chunk);
    size += chunk.length;
    if (size < blockBytes) continue;
    const whole = Buffer.concat(held);
    const cut = whole.lastIndexOf(0x0a) + 1;
    if (cut === 0) continue;
    const block = whole.subarray(0, cut);
    yield { block, line };
    line += newlines(block);
    held = [whole.subarray(cut)];
    size = held[0]?.length ?? 0;
  }
  if (size > 0) yield { block: Buffer.concat(held), line };
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
