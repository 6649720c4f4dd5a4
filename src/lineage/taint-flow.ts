/**
 * @module How taint flows: kept per run, it follows every save and restore, in whatever order they
 * are told.
 */

import type { Edge, Edges } from "./edges.ts";
import { withJob } from "./stored.ts";
import { keepEarlier, mergeTaints, nearestOf, sameTaints, type TaintEntry } from "./taint.ts";

/**
 * How often one settling may compute a run, on average: a circle that holds more taints than are
 * kept could go on for ever.
 */
const roundsMax = 64;
/** What the flow asks about a run. */
export interface Standing {
  /** Whether what the run saves is tainted by the run itself. */
  isBad(run: string): boolean;
  /** Taints of the run whose facts have been forgotten. */
  kept(run: string): readonly TaintEntry[];
}

/** Keeps no bound of its own: the graph evicts. */
export class TaintFlow {
  readonly #edges: Edges;
  readonly #standing: Standing;
  readonly #taints = new Map<string, readonly TaintEntry[]>();

  constructor(edges: Edges, standing: Standing) {
    this.#edges = edges;
    this.#standing = standing;
  }

  /** Nearest first. */
  taintsOf(run: string): readonly TaintEntry[] {
    return this.#taints.get(run) ?? [];
  }

  /** The run is gone; those that read from it keep what they have. */
  forget(run: string): void {
    this.#taints.delete(run);
  }

  /**
   * Brings the taints up to date after `edge` was added and the runs in `stale` lost their ground.
   */
  follow(edge: Edge, stale: readonly string[]): readonly string[] {
    if (edge.kind === "cache-saved") {
      return this.settle([...stale, ...this.#edges.readersOf(edge).map(({ run }) => run)]);
    }
    if (edge.kind !== "cache-restored") return this.settle(stale);
    if (stale.length > 0) return this.settle([...stale, edge.run]);
    // The common case, and thousands of times per run: one more restore can only add.
    const before = this.#taints.get(edge.run) ?? [];
    const after = mergeTaints(before, this.#broughtBy(edge, new Map()));
    if (after === before) return [];
    this.#taints.set(edge.run, after);
    return [edge.run, ...this.settle(this.readersOfRun(edge.run))];
  }

  /**
   * Computes anew the taints of these runs and of all that read from them, from nothing: a taint
   * whose ground is gone must not live on in a circle. Answers the runs whose taints changed.
   */
  settle(runs: readonly string[]): readonly string[] {
    if (runs.length === 0) return [];
    const before = new Map<string, readonly TaintEntry[]>();
    const open = [...runs];
    for (let run = open.pop(); run !== undefined; run = open.pop()) {
      if (before.has(run)) continue;
      before.set(run, this.#taints.get(run) ?? []);
      this.#taints.delete(run);
      open.push(...this.readersOfRun(run));
    }
    const queue = new Set(before.keys());
    let left = before.size * roundsMax;
    for (const run of queue) {
      queue.delete(run);
      if (left === 0) break;
      left -= 1;
      const old = this.#taints.get(run) ?? [];
      const now = this.#computed(run);
      if (sameTaints(old, now)) continue;
      this.#taints.set(run, now);
      // A set is walked in order of insertion: what is added here is reached later in this loop.
      for (const reader of this.readersOfRun(run)) queue.add(reader);
    }
    const changed = [...before].filter(([run, old]) => {
      return !sameTaints(old, this.#taints.get(run) ?? []);
    });
    return changed.map(([run]) => run);
  }

  #computed(run: string): readonly TaintEntry[] {
    const best = new Map(this.#standing.kept(run).map((taint) => [taint.origin, taint]));
    for (const restore of this.#edges.restoresOf(run)) {
      // Thousands of restores bring the same few origins: only an earlier one says more.
      for (const taint of this.#broughtBy(restore, best)) keepEarlier(best, taint);
    }
    return nearestOf(best);
  }

  /**
   * The taints one restore brings: what stood there then, and what its saver had taken in before it
   * saved; without those of which `best` has an earlier one.
   */
  #broughtBy(restore: Edge, best: ReadonlyMap<string, TaintEntry>): readonly TaintEntry[] {
    const save = this.#edges.contentAt(restore.thing, restore.at);
    if (save === undefined || save.run === restore.run) return [];
    const { thing, at: savedAt, job, step } = save;
    const restoredAt = restore.at;
    const isNews = (origin: string): boolean => {
      return (
        origin !== restore.run &&
        !((best.get(origin)?.restoredAt ?? Number.POSITIVE_INFINITY) < restoredAt)
      );
    };
    const brought: TaintEntry[] = [];
    for (const taint of this.#taints.get(save.run) ?? []) {
      if (taint.restoredAt > savedAt || !isNews(taint.origin)) continue;
      brought.push({ ...taint, restoredAt, depth: taint.depth + 1, via: save.run });
    }
    if (!this.#standing.isBad(save.run) || !isNews(save.run)) return brought;
    const via = save.run;
    brought.push({ origin: via, thing, savedAt, restoredAt, depth: 1, via, ...withJob(job, step) });
    return brought;
  }

  /** Runs whose taints rest on this edge. */
  touchedBy(edge: Edge): readonly string[] {
    if (edge.kind === "cache-restored") return [edge.run];
    return edge.kind === "cache-saved" ? this.#edges.readersOf(edge).map(({ run }) => run) : [];
  }

  /** Runs that restored what this one saved. */
  readersOfRun(run: string): string[] {
    const readers = new Set<string>();
    for (const save of this.#edges.savesOf(run)) {
      for (const reader of this.#edges.readersOf(save)) readers.add(reader.run);
    }
    return [...readers];
  }
}
