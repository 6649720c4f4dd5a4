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
import {
  isGithub,
  type JoinSources,
  type Pointers,
  pointersOf,
  type Resolution,
  resolve,
} from "./join.ts";
import { createLeases } from "./leases.ts";
import { couldImprove, isNews } from "./news.ts";
import type { Said } from "./remembered.ts";
import { RunBook } from "./run-book.ts";
import { Told } from "./told.ts";
import { type Memory, Waiting } from "./waiting.ts";
import { withBuild, withoutBuild } from "./with-build.ts";

/** Whether an event is ready for detection, or waits for its build to become known. */
export type Joined =
  | { readonly kind: "ready"; readonly event: Event }
  | { readonly kind: "parked"; readonly until: EpochMs };

/**
 * The stage's part that joins; its table of builds and the events that wait live in State.
 *
 * An event goes on again, under its id, each time a fact makes its answer better. Until its answer
 * is whole it is remembered durably: while no build is known or a surer one could be; while the
 * run's trigger, or the pull request of one that has one, is not known; while the job's secrets are
 * not known, or its id, if any job's was told within the last 24 hours. Where nothing tells those,
 * waiting for them would fill State with every event.
 */
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
  /** Remembered after they were joined to a build of which more could be told. */
  readonly incomplete: number;
  readonly incompleteEvicted: number;
  /** Remembered for a moment after they were joined, for a better job. */
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
  /** The most events parked; as many are remembered in each way after they went on. */
  readonly parkedMax?: number;
  /** How long an event that went on without a whole answer is remembered for a late fact. */
  readonly keepMs?: number;
  /** How long after its start a job without an end is believed to run. */
  readonly openJobMs?: number;
  /** How long after its end a job is blamed for what its runner does; default one hour. */
  readonly afterJobMs?: number;
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
  readonly #told: Told;
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
    const { openJobMs = 6 * hourMs, afterJobMs = hourMs } = settings;
    this.#sources = { book: this.#book, inventory, leases, slackMs, openJobMs, afterJobMs };
    this.#waiting = new Waiting({ state, max: parkedMax, slackMs });
    this.#told = new Told(state);
  }

  factsOf(event: Event): readonly BuildFact[] {
    return factsOf(event);
  }

  learn(fact: BuildFact, now: EpochMs): readonly Event[] {
    this.#waiting.expire(now);
    this.#told.learn(fact, now);
    const changes = this.#book.learn(fact);
    const emitted: Event[] = [];
    for (const waiter of this.#waiting.under(changes)) {
      const pointers = this.#pointersOf(waiter.event);
      const resolution = resolve(waiter.event, pointers, this.#sources);
      if (!isNews(waiter, resolution)) continue;
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
    if (this.#waiting.park({ event, until, keys })) return { kind: "parked", until };
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
    const { build, join } = resolution;
    const memory = pointers.keys.length > 0 ? this.#memoryFor(event, resolution, now) : undefined;
    if (memory === undefined) {
      this.#waiting.forget(event.id);
    } else {
      const said: Said = build === undefined ? { join } : { build, join };
      // A fact about the job or its run changes the build, whatever the event was found by.
      const keys = build === undefined ? pointers.keys : [...pointers.keys, buildKey(build)];
      const until = now + (memory === "recent" ? this.#waitMs : this.#keepMs);
      this.#waiting.remember(memory, { event, until, keys, said });
    }
    if (build === undefined) return withoutBuild(event, join.candidates);
    return withBuild(event, build, join);
  }

  #memoryFor(event: Event, resolution: Resolution, now: EpochMs): Memory | undefined {
    const runtime = runtimeFeeds.has(event.feed);
    if (!runtime && !isGithub(event)) return undefined;
    if (!resolution.settled) return "released";
    if (couldImprove(event, resolution, this.#told.at(now))) return "incomplete";
    return runtime ? "recent" : undefined;
  }
}

/** What was found out about an event, and when. */
interface Found {
  readonly pointers: Pointers;
  readonly resolution: Resolution;
  readonly now: EpochMs;
}
