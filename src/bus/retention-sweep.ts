/**
 * @module Lets go of old records, once a minute: from the head of each partition, in small steps
 * between which appends have their turn.
 *
 * Age lets go of handled records only. So do bytes, as long as that is enough; when it is not,
 * unhandled records go too, and the group hears of it (`BusTrouble.lost`). What goes is taken from
 * the fullest partition, so that a flood of one sender does not push out what others sent.
 */

import { type Clock, minuteMs } from "../clock.ts";
import { type Offset, type OnTrouble, type Topic, topics } from "./bus.ts";
import type { FileTrim, StreamExtent } from "./embedded-file.ts";
import { streamOf } from "./frame.ts";
import type { Keep, Retention } from "./retention.ts";

export interface SweepSettings {
  readonly retention: Retention;
  readonly partitions: number;
  readonly clock: Clock;
  /** By stream number, as they are now. */
  readonly extents: readonly StreamExtent[];
  /**
   * The offset up to which every known group has handled a partition; undefined when no group reads
   * the topic.
   */
  readonly handledBy: (topic: Topic, partition: number) => Offset | undefined;
  /** Resolves when the extent is up to date. */
  readonly trim: (trim: FileTrim) => Promise<void>;
  readonly onTrouble: OnTrouble;
  /** Called after each sweep. */
  readonly onSwept: (swept: Swept) => void;
}

/** What one sweep let go. */
export interface Swept {
  readonly records: number;
  readonly bytes: number;
}

export const sweepMs: number = minuteMs;

export class RetentionSweep {
  readonly #settings: SweepSettings;
  /** What was handled at the sweep before, by stream; "unread" when no group read the topic. */
  readonly #handled = new Map<number, Offset | "unread">();
  #cancel: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(settings: SweepSettings) {
    this.#settings = settings;
    if (settings.retention.size > 0) this.#schedule();
  }

  /** Resolves when no sweep is running and none will start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#running;
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#cancel = this.#settings.clock.after(sweepMs, () => {
      this.#running = this.#sweep().then(() => this.#schedule());
    });
  }

  async #sweep(): Promise<void> {
    const { retention, extents, onSwept } = this.#settings;
    const before = extents.map(({ first, bytes }) => ({ first, bytes }));
    for (const topic of topics) {
      const keep = retention.get(topic);
      if (keep === undefined) continue;
      await this.#sweepTopic(topic, keep);
    }
    const swept = { records: 0, bytes: 0 };
    for (const [stream, { first, bytes }] of extents.entries()) {
      swept.records += first - (before[stream]?.first ?? first);
      swept.bytes += Math.max(0, (before[stream]?.bytes ?? bytes) - bytes);
    }
    onSwept(swept);
  }

  async #sweepTopic(topic: Topic, keep: Keep): Promise<void> {
    const { partitions, clock, onTrouble } = this.#settings;
    const appendedBefore = clock.now() - keep.maxAgeMs;
    let partition = 0;
    try {
      const limits = Array.from({ length: partitions }, (_, at) => this.#limit(topic, at));
      for (; partition < partitions; partition++) {
        const stream = streamOf(topic, partition, partitions);
        const before = limits[partition] ?? 0;
        const bytes = Number.MAX_SAFE_INTEGER;
        while (await this.#step({ stream, before, appendedBefore, bytes }));
      }
      partition = 0;
      await this.#trimFull(topic, keep.maxBytes, limits);
    } catch (error) {
      if (this.#stopped) return;
      onTrouble({ group: "retention", topic, partition, error, retryAfterMs: sweepMs });
    }
  }

  /**
   * Up to where records were handled a sweep ago already: a stage's newest positions may be taken
   * back by a crash of the machine, and it must find those records again.
   */
  #limit(topic: Topic, partition: number): Offset {
    const { partitions, handledBy, extents } = this.#settings;
    const stream = streamOf(topic, partition, partitions);
    const before = this.#handled.get(stream) ?? 0;
    const now = handledBy(topic, partition) ?? "unread";
    this.#handled.set(stream, now);
    if (now !== "unread") return before === "unread" ? 0 : Math.min(before, now);
    return before === "unread" ? (extents[stream]?.next ?? 0) : 0;
  }

  /** One small transaction; false when there was nothing to let go, or the bus is closing. */
  async #step(trim: FileTrim): Promise<boolean> {
    const { extents } = this.#settings;
    const extent = extents[trim.stream];
    if (this.#stopped || extent === undefined || extent.first >= trim.before) return false;
    const { first } = extent;
    await this.#settings.trim(trim);
    return (extents[trim.stream]?.first ?? first) > first;
  }

  async #trimFull(topic: Topic, bytesMax: number, limits: readonly Offset[]): Promise<void> {
    const { partitions, extents } = this.#settings;
    const start = streamOf(topic, 0, partitions);
    for (;;) {
      const streams = extents.slice(start, start + partitions);
      const excess = streams.reduce((sum, { bytes }) => sum + bytes, 0) - bytesMax;
      if (excess <= 0) return;
      const handled = fullest(streams, limits);
      const ends = streams.map(({ next }) => next);
      const partition = handled ?? fullest(streams, ends);
      if (partition === undefined) return;
      const before = (handled === undefined ? ends : limits)[partition] ?? 0;
      const place = { stream: start + partition, before };
      const gone = await this.#step({ ...place, appendedBefore: Infinity, bytes: excess });
      if (!gone) return;
    }
  }
}

/** The partition with most bytes among those that have records before their limit. */
function fullest(streams: readonly StreamExtent[], limits: readonly Offset[]): number | undefined {
  let best: number | undefined;
  for (const [partition, { first, bytes }] of streams.entries()) {
    if (first >= (limits[partition] ?? 0)) continue;
    if (best === undefined || bytes > (streams[best]?.bytes ?? 0)) best = partition;
  }
  return best;
}
