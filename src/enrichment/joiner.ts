/**
 * @module The joiner: joins one task's events to the builds of the shared table, and parks those
 * that came before their job.
 */

import { type EpochMs, hourMs, secondMs } from "../clock.ts";
import type { Event, Feed } from "../event/event.ts";
import type { State } from "../state/state.ts";
import type { BuildFact } from "./build-fact.ts";
import { factsOf } from "./build-facts.ts";
import type { BuildTable } from "./build-table.ts";
import { buildKey, type Changes } from "./changes.ts";
import {
  isGithub,
  type JoinSources,
  type Pointers,
  pointersOf,
  type Resolution,
  resolve,
} from "./join.ts";
import { couldImprove, isNews } from "./news.ts";
import type { Said, Waiter } from "./remembered.ts";
import { Sightings } from "./sightings.ts";
import { type Memory, stepCost, stepMax, Waiting, type WaitingCounts } from "./waiting.ts";
import { withBuild, withoutBuild } from "./with-build.ts";

/** Whether an event is ready for detection, or waits for its build to become known. */
export type Joined =
  | { readonly kind: "ready"; readonly event: Event }
  | { readonly kind: "parked"; readonly until: EpochMs };

/**
 * Joins the events of one task; those that wait live in the task's own State.
 *
 * An event goes on again, under its id, each time a fact makes its answer better. Until its answer
 * is whole it is remembered durably: while no build is known or a surer one could be; while the
 * run's trigger, or the pull request of one that has one, is not known; while the job's secrets are
 * not known, or its id, if any job's was told within the last 24 hours, or the first fact of all was.
 * Where nothing tells those, waiting for them would fill State with every event.
 */
export interface Joiner {
  /**
   * What the event tells the table: of a run, from an event of the GitHub feeds; of the address of
   * a pod, unless an event joined in the last hour told it; [] for all others. Changes nothing: the
   * caller has the table learn the facts and appends them to the topic, before it joins the event.
   */
  factsOf(event: Event): readonly BuildFact[];
  /**
   * Joins one event, or parks it when it names a runner, pod or host whose job is not known yet.
   * Its facts count as told from now on.
   */
  join(event: Event, now: EpochMs): Joined;
  /**
   * Parked or remembered events that these changes give a better answer; each goes on (again). At
   * most 500 do at once, fewer long ones, since a commit is bounded: then `isBehind`, and `rest`
   * has more.
   */
  changed(changes: Changes, now: EpochMs): readonly Event[];
  /**
   * The same for all that wait, whatever changed: after a start, a rollback, or when a partition
   * came to us, since the table may know more than this joiner was told of. One look-up for each
   * event that waits. No more at once than by `changed`.
   */
  recheck(now: EpochMs): readonly Event[];
  /** More of what `changed` and `recheck` left; no more at once than these. */
  rest(now: EpochMs): readonly Event[];
  /** Whether `rest` has something to look at. */
  readonly isBehind: boolean;
  /**
   * Parked events whose wait is over, without a build; they stay remembered for a later fact. At
   * most 500 at once: then `nextDue` is not later than `now`.
   */
  due(now: EpochMs): readonly Event[];
  /** When `due` will next have something; undefined when nothing is parked. */
  nextDue(): EpochMs | undefined;
  /** Sizes now, and what happened at the bounds since the joiner was made. */
  counts(): JoinerCounts;
}

export interface JoinerCounts extends WaitingCounts {
  /** Events that went on without waiting because too many waited. */
  readonly parkedFull: number;
  /** Pods' addresses that were told in the last hour. */
  readonly sightings: number;
  /** Forgotten because a bound was reached: told again with the pod's next event. */
  readonly sightingsEvicted: number;
  /** Events sent on a second time because a later fact said more. */
  readonly reEmitted: number;
}

export interface JoinerSettings {
  /**
   * Tables of this state are this joiner's, beside those of a build table; the caller commits.
   * After its rollback, make a new joiner over the same table, and have it `recheck`.
   */
  readonly state: State;
  readonly builds: BuildTable;
  /** How long an event waits for its job. */
  readonly waitMs?: number;
  /** How far outside a job its activity may lie. */
  readonly slackMs?: number;
  /**
   * The most events parked; as many are remembered in each way after they went on, and as many
   * pods' addresses, as told.
   */
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

/** A joiner with the events that waited in `settings.state` at the last commit. */
export function createJoiner(settings: JoinerSettings): Joiner {
  return new StoredJoiner(settings);
}

class StoredJoiner implements Joiner {
  readonly #sources: JoinSources;
  readonly #waiting: Waiting;
  readonly #sightings: Sightings;
  readonly #waitMs: number;
  readonly #keepMs: number;
  /**
   * Ids of events that a fact, or a look at all, has to do with and that were not looked at yet.
   * A new joiner looks at all.
   */
  readonly #unchecked = new Set<string>();
  #parkedFull = 0;
  #reEmitted = 0;

  constructor(settings: JoinerSettings) {
    const { state, builds, parkedMax = 20_000, slackMs = 30 * secondMs } = settings;
    this.#waitMs = settings.waitMs ?? 15 * secondMs;
    this.#keepMs = settings.keepMs ?? 24 * hourMs;
    const { openJobMs = 6 * hourMs, afterJobMs = hourMs } = settings;
    this.#sources = { ...builds.view, slackMs, openJobMs, afterJobMs };
    this.#waiting = new Waiting({ state, max: parkedMax, slackMs });
    this.#sightings = new Sightings(state, parkedMax);
  }

  factsOf(event: Event): readonly BuildFact[] {
    const lease = this.#sightings.newsOf(event);
    return lease === undefined ? factsOf(event) : [lease, ...factsOf(event)];
  }

  join(event: Event, now: EpochMs): Joined {
    this.#waiting.expire(now, "event");
    this.#sightings.note(event);
    // What was said of it long ago is over, though it is not forgotten yet.
    const known = this.#waiting.get(event.id);
    if (known !== undefined && isOver(known, now)) this.#waiting.forget(event.id);
    const parkedUntil = this.#waiting.parkedUntil(event.id);
    if (parkedUntil !== undefined) return { kind: "parked", until: parkedUntil };
    const found = this.#find(event);
    const { pointers, resolution } = found;
    const waits = runtimeFeeds.has(event.feed) && pointers.keys.length > 0 && !resolution.settled;
    if (!waits) return { kind: "ready", event: this.#emit(event, found, now) };
    const until = now + this.#waitMs;
    const keys = waitingKeys(pointers, undefined);
    if (this.#waiting.park({ event, until, keys })) return { kind: "parked", until };
    this.#parkedFull += 1;
    return { kind: "ready", event: this.#emit(event, found, now) };
  }

  changed(changes: Changes, now: EpochMs): readonly Event[] {
    this.#waiting.expire(now, "event");
    return changes.empty ? [] : this.#better(this.#waiting.under(changes), now);
  }

  recheck(now: EpochMs): readonly Event[] {
    this.#waiting.expire(now, "time");
    return this.#better(this.#waiting.all(), now);
  }

  rest(now: EpochMs): readonly Event[] {
    if (!this.isBehind) return [];
    const left = [...this.#unchecked].flatMap((id) => this.#waiting.get(id) ?? []);
    this.#unchecked.clear();
    return this.#better(left, now);
  }

  get isBehind(): boolean {
    return this.#unchecked.size > 0;
  }

  due(now: EpochMs): readonly Event[] {
    this.#waiting.expire(now, "time");
    return this.#waiting.due(now).map(({ event }) => this.#emit(event, this.#find(event), now));
  }

  nextDue(): EpochMs | undefined {
    return this.#waiting.nextDue();
  }

  counts(): JoinerCounts {
    return {
      ...this.#waiting.counts,
      parkedFull: this.#parkedFull,
      sightings: this.#sightings.size,
      sightingsEvicted: this.#sightings.evicted,
      reEmitted: this.#reEmitted,
    };
  }

  #find(event: Event): Found {
    const pointers = pointersOf(event, this.#sources);
    return { pointers, resolution: resolve(event, pointers, this.#sources) };
  }

  #better(waiters: readonly Waiter[], now: EpochMs): readonly Event[] {
    const emitted: Event[] = [];
    let cost = 0;
    for (const waiter of waiters) {
      const { event, said } = waiter;
      if (cost >= stepMax) {
        this.#unchecked.add(event.id);
        continue;
      }
      if (isOver(waiter, now)) continue;
      const found = this.#find(event);
      if (isNews(waiter, found.resolution)) {
        emitted.push(this.#emit(event, found, now));
        cost += stepCost(event);
        if (said !== undefined) this.#reEmitted += 1;
      } else if (this.#waiting.rekey(waiter, waitingKeys(found.pointers, said))) {
        // Its address may lead to another pod than before, whose job is told next.
        cost += stepCost(event);
      }
    }
    return emitted;
  }

  /** The event as it goes on, remembered where a later fact could say more. */
  #emit(event: Event, { pointers, resolution }: Found, now: EpochMs): Event {
    const { build, join } = resolution;
    const memory = this.#memoryFor(event, { pointers, resolution }, now);
    if (memory === undefined) {
      this.#waiting.forget(event.id);
    } else {
      const said: Said = build === undefined ? { join } : { build, join };
      const durable = memory === "released" || memory === "incomplete";
      const until = now + (durable ? this.#keepMs : this.#waitMs);
      this.#waiting.remember(memory, { event, until, keys: waitingKeys(pointers, said), said });
    }
    if (build === undefined) return withoutBuild(event, join.candidates);
    return withBuild(event, build, join);
  }

  #memoryFor(event: Event, found: Found, now: EpochMs): Memory | undefined {
    const { pointers, resolution } = found;
    const runtime = runtimeFeeds.has(event.feed);
    if (!runtime && !isGithub(event)) return undefined;
    if (pointers.keys.length === 0) {
      return runtime && pointers.laterKeys.length > 0 ? "strangers" : undefined;
    }
    if (!resolution.settled) return "released";
    if (couldImprove(event, resolution, this.#sources.told.at(now))) return "incomplete";
    return runtime ? "recent" : undefined;
  }
}

/** Whether it has gone on and is to be forgotten. */
function isOver({ said, until }: Waiter, now: EpochMs): boolean {
  return said !== undefined && until <= now;
}

/** What was found out about an event. */
interface Found {
  readonly pointers: Pointers;
  readonly resolution: Resolution;
}

/**
 * A fact about the job or its run changes the build, whatever the event was found by; one about its
 * address or host changes what it points at.
 */
function waitingKeys(pointers: Pointers, said: Said | undefined): readonly string[] {
  const { keys, laterKeys } = pointers;
  if (said?.build === undefined) return laterKeys.length === 0 ? keys : [...keys, ...laterKeys];
  return [...keys, ...laterKeys, buildKey(said.build)];
}
