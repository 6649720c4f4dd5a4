/**
 * @module The graph of runs and things: taint is kept per run and follows every fact, in whatever
 * order they come.
 */

import { dayMs, type EpochMs } from "../clock.ts";
import { type BuildContext, isUntrusted, runKey } from "../event/build.ts";
import type { State, StateTable } from "../state/state.ts";
import { type Edge, Edges } from "./edges.ts";
import type { Lineage, LineageCounts, LineageFact, Taint } from "./lineage-fact.ts";
import {
  keepEarlier,
  mergeTaints,
  nearestOf,
  reasonOf,
  sameTaints,
  type TaintEntry,
} from "./taint.ts";

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

/**
 * An edge with how much its event knew of the build: the fuller of two tellings of one event is
 * kept.
 */
interface StoredEdge extends Edge {
  readonly weight: number;
}

interface StoredRun {
  /** Absent while the run is only known as suspicious. */
  readonly build?: BuildContext;
  readonly suspectAt?: EpochMs;
  /** Taints whose facts have been forgotten. */
  readonly kept?: readonly TaintEntry[];
  readonly lastAt: EpochMs;
}

const taintsShownMax = 16;
/**
 * How often one settling may compute a run, on average: a circle that holds more taints than are
 * kept could go on for ever.
 */
const roundsMax = 64;
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
  readonly #taints = new Map<string, readonly TaintEntry[]>();
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
    for (const [, edge] of this.#facts.entries()) {
      this.#edges.add(edge);
      this.#latestAt = Math.max(this.#latestAt, edge.at);
    }
    this.#settle([...this.#runs.entries()].map(([run]) => run));
  }

  apply(fact: LineageFact): readonly string[] {
    const edge = edgeOf(fact);
    const old = this.#facts.get(edge.key);
    const stale = this.#learnRun(edge, fact.run) ? this.#readersOfRun(edge.run) : [];
    if (old !== undefined && !outweighs(edge, old)) return this.#settle(stale);
    if (old !== undefined) stale.push(...this.#touchedBy(old));
    if (old !== undefined) this.#edges.remove(old.key);
    this.#facts.put(edge.key, edge);
    this.#edges.add(edge);
    this.#latestAt = Math.max(this.#latestAt, edge.at);
    const changed = this.#follow(edge, stale);
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
    return this.#settle(this.#readersOfRun(run));
  }

  taintsOf(run: string): readonly Taint[] {
    const taints: Taint[] = [];
    for (const taint of this.#taints.get(run) ?? []) {
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

  /**
   * Brings the taints up to date after `edge` was added and the runs in `stale` lost their ground.
   */
  #follow(edge: Edge, stale: readonly string[]): readonly string[] {
    if (edge.kind === "cache-saved") {
      return this.#settle([...stale, ...this.#edges.readersOf(edge).map(({ run }) => run)]);
    }
    if (edge.kind !== "cache-restored") return this.#settle(stale);
    if (stale.length > 0) return this.#settle([...stale, edge.run]);
    // The common case, and thousands of times per run: one more restore can only add.
    const before = this.#taints.get(edge.run) ?? [];
    const after = mergeTaints(before, this.#broughtBy(edge, new Map()));
    if (after === before) return [];
    this.#taints.set(edge.run, after);
    return [edge.run, ...this.#settle(this.#readersOfRun(edge.run))];
  }

  /**
   * Computes anew the taints of these runs and of all that read from them, from nothing: a taint
   * whose ground is gone must not live on in a circle. Answers the runs whose taints changed.
   */
  #settle(runs: readonly string[]): readonly string[] {
    if (runs.length === 0) return [];
    const before = new Map<string, readonly TaintEntry[]>();
    const open = [...runs];
    for (let run = open.pop(); run !== undefined; run = open.pop()) {
      if (before.has(run)) continue;
      before.set(run, this.#taints.get(run) ?? []);
      this.#taints.delete(run);
      open.push(...this.#readersOfRun(run));
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
      for (const reader of this.#readersOfRun(run)) queue.add(reader);
    }
    const changed = [...before].filter(([run, old]) => {
      return !sameTaints(old, this.#taints.get(run) ?? []);
    });
    return changed.map(([run]) => run);
  }

  #computed(run: string): readonly TaintEntry[] {
    const best = new Map((this.#runs.get(run)?.kept ?? []).map((taint) => [taint.origin, taint]));
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
    if (!this.#isBad(save.run) || !isNews(save.run)) return brought;
    const via = save.run;
    brought.push({ origin: via, thing, savedAt, restoredAt, depth: 1, via, ...withJob(job, step) });
    return brought;
  }

  /** Runs whose taints rest on this edge. */
  #touchedBy(edge: Edge): readonly string[] {
    if (edge.kind === "cache-restored") return [edge.run];
    return edge.kind === "cache-saved" ? this.#edges.readersOf(edge).map(({ run }) => run) : [];
  }

  #readersOfRun(run: string): string[] {
    const readers = new Set<string>();
    for (const save of this.#edges.savesOf(run)) {
      for (const reader of this.#edges.readersOf(save)) readers.add(reader.run);
    }
    return [...readers];
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
      this.#taints.delete(run);
      this.#runsEvicted += 1;
    }
  }

  /**
   * Removes facts but not what they proved: the taints they brought stay with the runs that have
   * them.
   */
  #forget(edges: readonly Edge[]): void {
    for (const run of new Set(edges.flatMap((edge) => this.#touchedBy(edge)))) {
      const kept = this.#taints.get(run) ?? [];
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

function edgeOf(fact: LineageFact): StoredEdge {
  const { eventId, kind, thing, run: build, occurredAt: at } = fact;
  const { job, step } = build;
  return {
    key: `${kind}|${eventId}|${thing}`,
    kind,
    thing,
    run: runKey(build),
    at,
    weight: weightOf(build),
    ...withJob(job, step),
  };
}

function withJob(
  job: string | undefined,
  step: string | undefined,
): { job?: string; step?: string } {
  return { ...(job === undefined ? {} : { job }), ...(step === undefined ? {} : { step }) };
}

/** Of two tellings of one event the fuller one holds, whichever came first. */
function outweighs(edge: StoredEdge, old: StoredEdge): boolean {
  if (edge.weight !== old.weight) return edge.weight > old.weight;
  return JSON.stringify(edge) > JSON.stringify(old);
}

function outweighsBuild(build: BuildContext, old: BuildContext): boolean {
  const difference = weightOf(build) - weightOf(old);
  if (difference !== 0) return difference > 0;
  return JSON.stringify(build) > JSON.stringify(old);
}

function weightOf(build: BuildContext): number {
  return Object.values(build).filter((value) => value !== undefined).length;
}

/** The build without what belongs to one of its jobs. */
function wholeRun(build: BuildContext): BuildContext {
  const {
    jobId: _jobId,
    job: _job,
    step: _step,
    stepNumber: _stepNumber,
    runner: _runner,
    secretsPassed: _secretsPassed,
    environment: _environment,
    startedAt: _startedAt,
    completedAt: _completedAt,
    conclusion: _conclusion,
    ...run
  } = build;
  return run;
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
