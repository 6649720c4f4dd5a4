/**
 * @module The Collector contract: turns one outside feed's bytes into events, losing none without a
 * reason.
 */

import type { EpochMs } from "../clock.ts";
import type { Problem } from "../error.ts";
import type { Event, Feed } from "../event/event.ts";

/** What the door knows of a delivery beside its body. */
export interface Delivery {
  readonly receivedAt: EpochMs;
  /** Lower-case names. Empty for files. */
  readonly headers: Readonly<Record<string, string>>;
  /** `falco door`, `access.log:12`: the beginning of each problem's place. */
  readonly place: string;
  /**
   * The rest of the door's path, for feeds that put facts there (Harden-Runner: owner/repo/run).
   */
  readonly path?: string;
  /** A recording: `receivedAt` is not when the feed told, so stamps are not held against it. */
  readonly recorded?: boolean;
}

/** A record that could not become an event: why, and its bytes for the dead letters. */
export interface Rejection {
  readonly problem: Problem;
  readonly raw: string;
}

/**
 * What came of one delivery. `records` counts what the delivery held: each became one event or more
 * (a Trivy report is many findings), or exactly one rejection, or is counted in `skipped` with a
 * reason (a blank line, a start-up banner).
 */
export interface Intake {
  readonly records: number;
  readonly events: readonly Event[];
  readonly rejections: readonly Rejection[];
  readonly skipped: number;
}

/** Pure: no clock, no disk, no network. Never throws, whatever the bytes. */
export interface Collector {
  readonly feed: Feed;
  /**
   * Reads the body of one delivery: one object, JSON lines, an array, or the feed's own text form.
   */
  read(body: Buffer, delivery: Delivery): Intake;
  /**
   * Whether this looks like a record of the feed, for `replay`, which is given files without a
   * name. `record` is the parsed JSON value, or the line itself where it is not JSON.
   */
  recognises(record: unknown): boolean;
}
