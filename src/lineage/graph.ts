/** @module The graph of runs and things in State: facts taken in, taints answered, bounds kept. */

import { dayMs, type EpochMs } from "../clock.ts";
import { type BuildContext, isUntrusted } from "../event/build.ts";
import type { State, StateTable } from "../state/state.ts";
import { type Edge, Edges } from "./edges.ts";
import type { Lineage, LineageCounts, LineageFact, Taint } from "./lineage-fact.ts";
import {
  edgeOf,
  outweighs,
  outweighsBuild,
  type StoredEdge,
  type StoredRun,
  wholeRun,
  withJob,
} from "./stored.ts";
import { reasonOf } from "./taint.ts";
import { TaintFlow } from "./taint-flow.ts";

export interface LineageGraphSettings {
  /**
   * Tables of this state are this stage's; the caller commits. After its rollback, make a new
   * lineage.
   */
  readonly state: State;
  /** The most cache entries, artifacts and tokens. */
  readonly thingsMax?: number;
  readonly runsMax?: number;
  /** How long, in event time, a thing is kept after it was last touched. */
  readonly keepMs?: number;
}

const taintsShownMax = 16;
const holdersMax = 64;
/** Saves, restores or uses of one thing. */
const factsPerThingMax = 1_024;
/**
 * How many facts, at the least, lie between two looks at what is too old; and no fewer than there
 * are things.
 */
const pruneEvery = 1_024;

/** The lineage kept in `settings.state`, as it was at the last commit. */
export function createLineage(settings: LineageGraphSettings): Lineage {
  return new StoredLineage(settings);
}

class StoredLineage implements Lineage {
  readonly #facts: StateTable<StoredEdge>;
  readonly #runs: StateTable<StoredRun>;
  readonly #edges = new Edges();
  readonly #flow: TaintFlow;
  readonly #limits: Required<Omit<LineageGraphSettings, "state">>;
  #latestAt = 0;
  #untilPrune = pruneEvery;
  #thingsEvicted = 0;
  #runsEvicted = 0;
  #factsEvicted = 0;

  constructor(settings: LineageGraphSettings) {
    const { state, thingsMax = 200_000, runsMax = 50_000, keepMs = 31 * dayMs } = settings;
    this.#limits = { thingsMax, runsMax, keepMs };
    this.#facts = state.table("facts");
    this.#runs = state.table("runs");
    this.#flow = new TaintFlow(this.#edges, {
      isBad: (run) => this.#isBad(run),
      kept: (run) => this.#runs.get(run)?.kept ?? [],
    });
    for (const [, edge] of this.#facts.entries()) {
      this.#edges.add(edge);
      this.#latestAt = Math.max(this.#latestAt, edge.at);
    }
    this.#flow.settle([...this.#runs.entries()].map(([run]) => run));
  }

  apply(fact: LineageFact): readonly string[] {
    const edge = edgeOf(fact);
    const old = this.#facts.get(edge.key);
    const stale = this.#learnRun(edge, fact.run) ? this.#flow.readersOfRun(edge.run) : [];
    if (old !== undefined && !outweighs(edge, old)) return this.#flow.settle(stale);
    if (old !== undefined) stale.push(...this.#flow.touchedBy(old));
    if (old !== undefined) this.#edges.remove(old.key);
    this.#facts.put(edge.key, edge);
    this.#edges.add(edge);
    this.#latestAt = Math.max(this.#latestAt, edge.at);
    const changed = this.#flow.follow(edge, stale);
    this.#keepBounds(edge);
    return changed;
  }

  suspect(run: string, occurredAt: EpochMs): readonly string[] {
    const old = this.#runs.get(run);
    const suspectAt = Math.min(old?.suspectAt ?? occurredAt, occurredAt);
    if (suspectAt === old?.suspectAt) return [];
    const lastAt = Math.max(old?.lastAt ?? occurredAt, occurredAt);
    this.#runs.put(run, { ...old, suspectAt, lastAt });
    if (this.#runs.size > this.#limits.runsMax) this.#prune();
    return this.#flow.settle(this.#flow.readersOfRun(run));
  }

  taintsOf(run: string): readonly Taint[] {
    const taints: Taint[] = [];
    for (const taint of this.#flow.taintsOf(run)) {
      const build = this.#runs.get(taint.origin)?.build;
      if (build === undefined) continue;
      const { thing, savedAt, restoredAt, job, step } = taint;
      const reason = reasonOf(taint, build, this.#runs.get(taint.via)?.build);
      const origin = { ...build, ...withJob(job, step) };
      taints.push({ thing, origin, savedAt, restoredAt, reason });
      if (taints.length === taintsShownMax) break;
    }
    return taints;
  }

  holdersOf(token: string, at: EpochMs): readonly BuildContext[] {
    const holders = new Map<string, BuildContext>();
    for (const edge of this.#edges.othersOf(token).toReversed()) {
      if (edge.at > at || edge.kind !== "token-used" || holders.has(edge.run)) continue;
      const build = this.#runs.get(edge.run)?.build;
      if (build !== undefined) holders.set(edge.run, { ...build, ...withJob(edge.job, edge.step) });
      if (holders.size === holdersMax) break;
    }
    return [...holders.values()];
  }

  counts(): LineageCounts {
    return {
      things: this.#edges.thingCount,
      thingsEvicted: this.#thingsEvicted,
      runs: this.#runs.size,
      runsEvicted: this.#runsEvicted,
      factsEvicted: this.#factsEvicted,
    };
  }

  /** Takes in what the fact says of its run; answers whether the run's standing changed. */
  #learnRun(edge: Edge, build: BuildContext): boolean {
    const old = this.#runs.get(edge.run);
    const before = this.#isBad(edge.run);
    const whole = wholeRun(build);
    const better = old?.build === undefined || outweighsBuild(whole, old.build);
    const kept = better ? whole : old.build;
    const lastAt = Math.max(old?.lastAt ?? edge.at, edge.at);
    if (better || lastAt !== old?.lastAt) {
      this.#runs.put(edge.run, { ...old, build: kept, lastAt });
    }
    return before !== this.#isBad(edge.run);
  }

  #isBad(run: string): boolean {
    const record = this.#runs.get(run);
    if (record?.build === undefined) return false;
    return record.suspectAt !== undefined || isUntrusted(record.build);
  }

  #keepBounds(edge: Edge): void {
    const oldest = this.#edges.overflow(edge, factsPerThingMax);
    if (oldest !== undefined) this.#forget([oldest]);
    this.#untilPrune -= 1;
    const { thingsMax, runsMax } = this.#limits;
    const full = this.#edges.thingCount > thingsMax || this.#runs.size > runsMax;
    if (full || this.#untilPrune <= 0) this.#prune();
  }

  /** Forgets what is too old, and a tenth at once of what is too much, the oldest first. */
  #prune(): void {
    this.#untilPrune = Math.max(pruneEvery, this.#edges.thingCount);
    const { thingsMax, runsMax, keepMs } = this.#limits;
    const since = this.#latestAt - keepMs;
    const things = oldestOf([...this.#edges.ages()], { since, max: thingsMax });
    for (const thing of things) this.#forget(this.#edges.edgesOfThing(thing));
    this.#thingsEvicted += things.length;
    const ages = [...this.#runs.entries()].map(([run, { lastAt }]) => [run, lastAt] as const);
    for (const run of oldestOf(ages, { since, max: runsMax })) {
      const edges = this.#edges.edgesOfRun(run);
      // A run that saved something still in use is needed as long as that.
      if (edges.length > 0 && this.#runs.size <= runsMax) continue;
      this.#forget(edges);
      this.#runs.delete(run);
      this.#flow.forget(run);
      this.#runsEvicted += 1;
    }
  }

  /**
   * Removes facts but not what they proved: the taints they brought stay with the runs that have
   * them.
   */
  #forget(edges: readonly Edge[]): void {
    for (const run of new Set(edges.flatMap((edge) => this.#flow.touchedBy(edge)))) {
      const kept = this.#flow.taintsOf(run);
      const record = this.#runs.get(run);
      if (record === undefined || kept.length === 0) continue;
      this.#runs.put(run, { ...record, kept });
      for (const { origin } of kept) this.#keepAlive(origin, record.lastAt);
    }
    for (const edge of edges) {
      this.#edges.remove(edge.key);
      this.#facts.delete(edge.key);
    }
    this.#factsEvicted += edges.length;
  }

  #keepAlive(run: string, at: EpochMs): void {
    const record = this.#runs.get(run);
    if (record !== undefined && record.lastAt < at) this.#runs.put(run, { ...record, lastAt: at });
  }
}

/**
 * Names older than `since`, and when there are more than `max` the oldest down to nine tenths of
 * it.
 */
function oldestOf(
  ages: readonly (readonly [string, EpochMs])[],
  limit: { readonly since: EpochMs; readonly max: number },
): readonly string[] {
  if (ages.length <= limit.max) {
    return ages.filter(([, at]) => at < limit.since).map(([name]) => name);
  }
  const sorted = [...ages].sort(([a, left], [b, right]) => left - right || (a < b ? -1 : 1));
  const over = sorted.length - Math.floor(limit.max * 0.9);
  const old = sorted.filter(([, at]) => at < limit.since).length;
  return sorted.slice(0, Math.max(over, old)).map(([name]) => name);
}
