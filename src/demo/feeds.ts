/**
 * @module A post of a feed, and the jobs, machines and stable ids that the demo company's posts are
 * made of.
 */

import { createHash } from "node:crypto";
import type { EpochMs } from "../clock.ts";

/** One HTTP request of a feed, at its time. */
export interface Post {
  readonly at: EpochMs;
  readonly door: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Records in the body. */
  readonly records: number;
}

/** A job that runs in the demo company, all of it known in advance. */
export interface DemoJob {
  readonly repository: string;
  readonly workflow: string;
  readonly workflowFile: string;
  readonly job: string;
  readonly runId: number;
  readonly runNumber: number;
  readonly trigger: string;
  readonly actor: string;
  readonly branch: string;
  readonly runner: DemoRunner;
  readonly startedAt: EpochMs;
  /** Absent: still running. */
  readonly completedAt?: EpochMs;
  readonly secrets: readonly string[];
  /** Set for code that comes from a fork. */
  readonly headRepository?: string;
  readonly steps: readonly string[];
}

export interface DemoRunner {
  readonly name: string;
  readonly id: number;
  readonly address: string;
}

/** A stable number for a name: ids that stay the same from run to run. */
export function idOf(name: string): number {
  return createHash("sha256").update(name).digest().readUIntBE(0, 5) % 9_000_000_000;
}

export function shaOf(name: string): string {
  return createHash("sha1").update(name).digest("hex");
}
