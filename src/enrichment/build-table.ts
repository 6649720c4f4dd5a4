/**
 * @module The build table: learns facts, joins events to them, parks those that came before their
 * job.
 */

import { type EpochMs, hourMs, secondMs } from "../clock.ts";
import type { Event, Feed } from "../event/event.ts";
import type { State } from "../state/state.ts";
import type { BuildFact } from "./build-fact.ts";
import { factsOf } from "./build-facts.ts";
import { buildKey } from "./changes.ts";
import type { RunnerInventory } from "./inventory.ts";
import { type JoinSources, type Pointers, pointersOf, type Resolution, resolve } from "./join.ts";
import { createLeases } from "./leases.ts";
import { groupKey } from "./records.ts";
import { RunBook } from "./run-book.ts";
import { type Said, Waiting } from "./waiting.ts";
import { withBuild, withoutBuild } from "./with-build.ts";

/** Whether an event is ready for detection, or waits for its build to become known. */
export type Joined =
  | { readonly kind: "ready"; readonly event: Event }
  | { readonly kind: "parked"; readonly until: EpochMs };

/** The stage's part that joins; its table of builds and its parked events live in State. */
export interface BuildTable {
  /** The facts in an event of the GitHub feeds; [] for all others. Pure. */
  factsOf(event: Event): readonly BuildFact[];
  /** Takes a fact in; answers the parked or already released events that now have their build. */
  learn(fact: BuildFact, now: EpochMs): readonly Event[];
  /**
   * Joins one event, or parks it when it names a runner, pod or host whose job is not known yet.
   */
  join(event: Event, now: EpochMs): Joined;
  /** Parked events whose wait is over, without a build; they stay remembered for a later fact. */
  due(now: EpochMs): readonly Event[];
  /** When `due` will next have something; undefined when nothing is parked. */
  nextDue(): EpochMs | undefined;
  /** Sizes now, and what happened at the bounds since the table was made. */
  counts(): BuildTableCounts;
}

/** `…Evicted`: forgotten because a bound was reached. */
export interface BuildTableCounts {
  /** Runs, jobs and prepared entries. */
  readonly builds: number;
  readonly buildsEvicted: number;
  readonly pullsEvicted: number;
  readonly leasesEvicted: number;
  readonly parked: number;
  /** Events that went on without waiting because too many waited. */
  readonly parkedFull: number;
  /** Remembered after they went on without a sure build. */
  readonly released: number;
  readonly releasedEvicted: number;
  /** Remembered after they were joined, for late details. */
  readonly recent: number;
  readonly recentEvicted: number;
  /** Events sent on a second time because a later fact said more. */
  readonly reEmitted: number;
}

export interface BuildTableSettings {
  /**
   * Tables of this state are this stage's; the caller commits. After its rollback, make a new build
   * table.
   */
  readonly state: State;
  readonly inventory: RunnerInventory;
  /** How long an event waits for its job. */
  readonly waitMs?: number;
  /** How far outside a job its activity may lie. */
  readonly slackMs?: number;
  /** The most runs, jobs and prepared entries kept together. */
  readonly buildsMax?: number;
  /** The most events parked; as many are remembered after their release. */
  readonly parkedMax?: number;
  /** How long a released event is remembered for a late fact. */
  readonly keepMs?: number;
}

/** Feeds whose events come from inside a job and may overtake its webhook. */
const runtimeFeeds: ReadonlySet<Feed> = new Set(["falco", "egress", "registry"]);

/** The table kept in `settings.state`, as it was at the last commit. */
export function createBuildTable(settings: BuildTableSettings): BuildTable {
  return new StoredBuildTable(settings);
}

class StoredBuildTable implements BuildTable {
  readonly #sources: JoinSources;
  readonly #book: RunBook;
  readonly #waiting: Waiting;
  readonly #waitMs: number;
  readonly #keepMs: number;
  #parkedFull = 0;
  #reEmitted = 0;

  constructor(settings: BuildTableSettings) {
    const { state, inventory } = settings;
    const { buildsMax = 50_000, parkedMax = 20_000 } = settings;
    this.#waitMs = settings.waitMs ?? 15 * secondMs;
    this.#keepMs = settings.keepMs ?? 24 * hourMs;
    this.#book = new RunBook(state, buildsMax);
    const leases = createLeases(state, buildsMax);
    const slackMs = settings.slackMs ?? 30 * secondMs;
    this.#sources = { book: this.#book, inventory, leases, slackMs };
    const limits = { parkedMax, releasedMax: parkedMax, recentMax: parkedMax };
    const keysOf = (event: Event): readonly string[] => this.#pointersOf(event).keys;
    this.#waiting = new Waiting({ state, limits, slackMs, keysOf });
  }

  factsOf(event: Event): readonly BuildFact[] {
    return factsOf(event);
  }

  learn(fact: BuildFact, now: EpochMs): readonly Event[] {
    this.#waiting.expire(now);
    const changes = this.#book.learn(fact);
    const emitted: Event[] = [];
    for (const waiter of this.#waiting.under(changes)) {
      const pointers = this.#pointersOf(waiter.event);
      const resolution = resolve(waiter.event, pointers, this.#sources);
      if (!isNews(waiter.said, resolution)) continue;
      emitted.push(this.#emit(waiter.event, { pointers, resolution, now }));
      if (waiter.said !== undefined) this.#reEmitted += 1;
    }
    return emitted;
  }

  join(event: Event, now: EpochMs): Joined {
    this.#waiting.expire(now);
    this.#sources.leases.learn(event);
    const parkedUntil = this.#waiting.parkedUntil(event.id);
    if (parkedUntil !== undefined) return { kind: "parked", until: parkedUntil };
    const pointers = this.#pointersOf(event);
    const resolution = resolve(event, pointers, this.#sources);
    const { keys } = pointers;
    const waits = runtimeFeeds.has(event.feed) && keys.length > 0 && !resolution.settled;
    const found = { pointers, resolution, now };
    if (!waits) return { kind: "ready", event: this.#emit(event, found) };
    const until = now + this.#waitMs;
    if (this.#waiting.park({ event, until }, keys)) return { kind: "parked", until };
    this.#parkedFull += 1;
    return { kind: "ready", event: this.#emit(event, found) };
  }

  due(now: EpochMs): readonly Event[] {
    this.#waiting.expire(now);
    return this.#waiting.due(now).map(({ event }) => {
      const pointers = this.#pointersOf(event);
      const resolution = resolve(event, pointers, this.#sources);
      return this.#emit(event, { pointers, resolution, now });
    });
  }

  nextDue(): EpochMs | undefined {
    return this.#waiting.nextDue();
  }

  counts(): BuildTableCounts {
    return {
      ...this.#waiting.counts,
      builds: this.#book.size,
      buildsEvicted: this.#book.evicted,
      pullsEvicted: this.#book.pullsEvicted,
      leasesEvicted: this.#sources.leases.evicted,
      parkedFull: this.#parkedFull,
      reEmitted: this.#reEmitted,
    };
  }

  #pointersOf(event: Event): Pointers {
    return pointersOf(event, this.#sources);
  }

  /** The event as it goes on, remembered where a later fact could say more. */
  #emit(event: Event, { pointers, resolution, now }: Found): Event {
    const { build, join, settled } = resolution;
    this.#waiting.forget(event.id);
    if (runtimeFeeds.has(event.feed) && pointers.keys.length > 0) {
      const said: Said = build === undefined ? { join } : { build, join };
      // A fact about the job or its run changes the build, whatever the event was found by.
      const keys = build === undefined ? pointers.keys : [...pointers.keys, buildKey(build)];
      if (!settled) {
        this.#waiting.release({ event, until: now + this.#keepMs, said }, keys);
      } else {
        this.#waiting.remember({ event, until: now + this.#waitMs, said }, keys);
      }
    }
    if (build === undefined) return withoutBuild(event, join.candidates);
    return withBuild(event, build, join);
  }
}

/** What was found out about an event, and when. */
interface Found {
  readonly pointers: Pointers;
  readonly resolution: Resolution;
  readonly now: EpochMs;
}

const confidences = ["none", "after-job", "likely", "exact"];

/**
 * Whether a resolution says more than what was said: a build, a surer one, another one, or a
 * missing detail.
 */
function isNews(said: Said | undefined, resolution: Resolution): boolean {
  const { build, join, settled } = resolution;
  if (build === undefined) return false;
  if (said === undefined) return settled;
  if (said.build === undefined) return true;
  const surer = confidences.indexOf(join.confidence) - confidences.indexOf(said.join.confidence);
  if (surer !== 0) return surer > 0;
  const old = said.build;
  if (groupKey(old) !== groupKey(build) || old.runAttempt !== build.runAttempt) return true;
  return (
    old.job !== build.job ||
    (old.secretsPassed === undefined && build.secretsPassed !== undefined) ||
    (old.trigger === undefined && build.trigger !== undefined) ||
    (!old.fork && build.fork)
  );
}
