/**
 * @module How large each table of state gets when so many jobs are always at work: the real
 * components, on the virtual clock, through hours of them.
 *
 * `node test/simulation/state-size.ts` prints the figures that docs/scaling.md holds.
 */

import { type EpochMs, hourMs, minuteMs, secondMs, VirtualClock } from "../../src/clock.ts";
import { collectors } from "../../src/collector/collectors.ts";
import {
  createCorrelation,
  createProgress,
  createRouter,
  createWatermarks,
} from "../../src/correlation/correlation.ts";
import type { Post } from "../../src/demo/feeds.ts";
import { createDetection, loadRuleset, readRuleFiles } from "../../src/detection/detection.ts";
import {
  createBuildTable,
  createInventory,
  createJoiner,
} from "../../src/enrichment/enrichment.ts";
import type { Event, Feed } from "../../src/event/event.ts";
import { createLineage, lineageFacts } from "../../src/lineage/lineage.ts";
import { changedRecords } from "../../src/state/kafka-changelog.ts";
import { StageState } from "../../src/state/stage-state.ts";
import type { State } from "../../src/state/state.ts";
import { type CompanySettings, jobMs, machines, type Told, toldOf } from "./company-jobs.ts";

/** So long a job is blamed for what its machine does: `enrichment.afterJobMinutes`. */
const keptMs = hourMs;
/** A run, its job, and what the audit log told of it. */
export const rowsPerJob = 3;

/** What `enrichment.buildsMax` must be: an eviction takes a tenth. */
export function buildsMaxFor(concurrent: number): number {
  return Math.ceil((rowsPerJob * concurrent * (1 + keptMs / jobMs)) / 0.9);
}

/** What a state holds: rows, and bytes of their keys and values as JSON. */
export interface Size {
  readonly rows: number;
  readonly bytes: number;
}

/** By state and table, `builds jobs`. */
export type Sizes = ReadonlyMap<string, Size>;

export interface Hour {
  readonly sizes: Sizes;
  /** Rows written to the changelog of each state since the hour before. */
  readonly written: Sizes;
  /** Events joined to their job since, and all others. */
  readonly exact: number;
  readonly inexact: number;
}

/** A state whose every commit is counted as the changelog would hold it. */
class Counted {
  readonly state: State;
  readonly #name: string;
  readonly #tables = new Map<string, Map<string, unknown>>();
  #rows = 0;
  #bytes = 0;

  constructor(name: string) {
    this.#name = name;
    this.state = new StageState({ tables: new Map(), positions: [] }, (changes) => {
      for (const { key, value } of changedRecords(changes)) {
        this.#rows += 1;
        this.#bytes += key.length + (value?.length ?? 0);
      }
      this.#keep(changes.tables);
    });
  }

  #keep(tables: ReadonlyMap<string, ReadonlyMap<string, unknown>>): void {
    for (const [name, changed] of tables) {
      const rows = this.#tables.get(name) ?? new Map<string, unknown>();
      this.#tables.set(name, rows);
      for (const [key, value] of changed) {
        if (value === undefined) rows.delete(key);
        else rows.set(key, value);
      }
    }
  }

  /** What a restore would read: compaction leaves the last row of each key. */
  sizes(): [string, Size][] {
    return [...this.#tables].map(([table, rows]) => {
      let bytes = 0;
      for (const [key, value] of rows) bytes += key.length + JSON.stringify(value).length;
      return [`${this.#name} ${table}`, { rows: rows.size, bytes }];
    });
  }

  written(): [string, Size] {
    const size = { rows: this.#rows, bytes: this.#bytes };
    this.#rows = 0;
    this.#bytes = 0;
    return [this.#name, size];
  }
}

const { ruleset } = loadRuleset(
  readRuleFiles({ rulesDirs: ["rules"], listsDirs: ["rules/lists"] }),
);
const cacheHosts = ["cache.corp.example"];
const feedOfDoor = new Map<string, Feed>([
  ["/v1/github/webhook", "github-webhook"],
  ["/v1/github/audit", "github-audit"],
]);

/** Every component with a state of its own, as one task of each stage would have it. */
class Journey {
  readonly #states = ["builds", "detect", "correlate", "notify"].map((name) => new Counted(name));
  readonly #builds;
  readonly #joiner;
  readonly #progress;
  readonly #detection = createDetection(ruleset);
  readonly #routes = createRouter(ruleset);
  readonly #correlation;
  readonly #watermarks;
  readonly #lineage;
  #exact = 0;
  #inexact = 0;

  constructor({ concurrent }: CompanySettings) {
    type Four = [State, State, State, State];
    const states = this.#states.map(({ state }) => state) as Four;
    const [builds, detect, correlate, notify] = states;
    const inventory = createInventory([...machines(concurrent)]);
    const buildsMax = buildsMaxFor(concurrent);
    this.#builds = createBuildTable({ state: builds, inventory, buildsMax });
    this.#joiner = createJoiner({ state: detect, builds: this.#builds, parkedMax: 1_000_000 });
    const times = { latenessOf: () => minuteMs, idleMs: minuteMs, stepMs: 10 * secondMs };
    this.#progress = createProgress({ state: detect, ...times });
    this.#correlation = createCorrelation({ ruleset, state: correlate });
    this.#watermarks = createWatermarks({ state: correlate, sources: 1 });
    const bounds = { thingsMax: 10 * concurrent, runsMax: 3 * concurrent };
    this.#lineage = createLineage({ state: notify, ...bounds });
  }

  take(told: Told): void {
    const events = "event" in told ? [told.event] : eventsOf(told.post);
    for (const event of events) this.#event(event, told.at);
  }

  #event(event: Event, now: EpochMs): void {
    this.#progress.saw(event, now);
    for (const fact of this.#joiner.factsOf(event)) {
      const changes = this.#builds.learn(fact, now);
      for (const known of this.#joiner.changed(changes, now)) this.#detect(known);
    }
    const joined = this.#joiner.join(event, now);
    if (joined.kind === "ready") this.#detect(joined.event);
  }

  #detect(event: Event): void {
    const isOfJob = event.feed === "falco" || event.feed === "egress";
    if (isOfJob && event.build?.jobId !== undefined) this.#exact += 1;
    else if (isOfJob) this.#inexact += 1;
    for (const fact of lineageFacts(event, { cacheHosts })) this.#lineage.apply(fact);
    for (const { match } of this.#detection.detect(event)) {
      for (const routed of this.#routes(match)) this.#correlation.apply(routed);
    }
  }

  /** What time brings about, and a commit. */
  async pass(now: EpochMs): Promise<void> {
    for (const event of this.#joiner.due(now)) this.#detect(event);
    this.#progress.passed(now);
    this.#watermarks.heard(0, this.#progress.watermark() ?? 0);
    this.#correlation.advance(this.#watermarks.watermark() ?? 0);
    for (const { state } of this.#states) await state.commit();
  }

  look(): Hour {
    const { exact, inexact } = { exact: this.#exact, inexact: this.#inexact };
    this.#exact = 0;
    this.#inexact = 0;
    const sizes = new Map(this.#states.flatMap((counted) => counted.sizes()));
    return { sizes, written: new Map(this.#states.map((at) => at.written())), exact, inexact };
  }
}

function eventsOf(post: Post): readonly Event[] {
  const collector = collectors.get(feedOfDoor.get(post.door) ?? "egress");
  if (collector === undefined) throw new Error(`no collector for ${post.door}`);
  const { headers, at: receivedAt } = post;
  const delivery = { receivedAt, headers, place: "simulation" };
  return collector.read(Buffer.from(post.body), delivery).events;
}

/** The state at the end of each hour of as many jobs, always at work. */
export async function simulate(settings: CompanySettings, hours: number): Promise<readonly Hour[]> {
  const clock = new VirtualClock(0);
  const journey = new Journey(settings);
  const minutes = new Map<number, Told[]>();
  const looks: Hour[] = [];
  for (let minute = 0; minute < (hours * hourMs) / minuteMs; minute += 1) {
    // What is told of a job begins within the minute before its start.
    for (const told of beginning(minute, settings)) {
      const due = Math.max(minute, Math.floor(told.at / minuteMs));
      const list = minutes.get(due);
      if (list === undefined) minutes.set(due, [told]);
      else list.push(told);
    }
    const now = (minutes.get(minute) ?? []).sort((a, b) => a.at - b.at);
    minutes.delete(minute);
    for (const told of now) {
      clock.advanceTo(told.at);
      journey.take(told);
    }
    clock.advanceTo((minute + 1) * minuteMs);
    await journey.pass(clock.now());
    if (clock.now() % hourMs === 0) looks.push(journey.look());
  }
  return looks;
}

/** Of every job that starts in the minute after this one. */
function beginning(minute: number, settings: CompanySettings): readonly Told[] {
  const { concurrent } = settings;
  const turn = Math.floor((minute * minuteMs) / jobMs);
  const phase = minute - (turn * jobMs) / minuteMs;
  const perMinute = (concurrent * minuteMs) / jobMs;
  const [from, to] = [Math.ceil(phase * perMinute), Math.ceil((phase + 1) * perMinute)];
  return Array.from({ length: to - from }, (_, index) => from + index).flatMap((slot) =>
    toldOf(slot, turn, settings),
  );
}
