/**
 * @module The pipeline of one process, or its part of one: the stages of its roles wired in order,
 * over any bus and state; starts last to first, drains first to last.
 */

import { createAlerts } from "../alert/alert.ts";
import { type Bus, topics } from "../bus/bus.ts";
import { type Clock, dayMs, hourMs, minuteMs, secondMs } from "../clock.ts";
import type { Collector, Delivery, Intake } from "../collector/collector.ts";
import { collectors } from "../collector/collectors.ts";
import { type Role, roles } from "../config/config.ts";
import {
  createCorrelation,
  createProgress,
  createRouter,
  createWatermarks,
  latenessOf,
  type Progress,
  pageAgeMaxOf,
  type TimeConfig,
} from "../correlation/correlation.ts";
import { createDetection, type Ruleset } from "../detection/detection.ts";
import {
  type BuildTable,
  createBuildTable,
  createInventory,
  createJoiner,
  createPlaceKey,
  type EnrichmentConfig,
  type Joiner,
  type PlaceKey,
} from "../enrichment/enrichment.ts";
import type { Feed } from "../event/event.ts";
import {
  createLineage,
  type Lineage,
  type LineageConfig,
  type LineageSettings,
  lineageFacts,
} from "../lineage/lineage.ts";
import { createDelivery, type DeliveryChain, type Sink } from "../sink/sink.ts";
import type { State, StateStore } from "../state/state.ts";
import type { Store } from "../store/store.ts";
import type { Telemetry } from "../telemetry.ts";
import { Beginning } from "./beginning.ts";
import { SharedBuilds } from "./builds.ts";
import { type DeadLetters, openDeadLetters } from "./dead-letters.ts";
import { createDetectStage } from "./detect-stage.ts";
import { deadLetterRecord, eventRecord, watermarkRecords } from "./records.ts";
import type { StageDefinition } from "./stage.ts";
import { StageRunner } from "./stage-runner.ts";
import {
  createCorrelateStage,
  createDeliverStage,
  createNotifyStage,
  createStoreStage,
  deliveryRecords,
} from "./stages.ts";

export interface PipelineSettings {
  /** All of them when absent. */
  readonly roles?: readonly Role[];
  readonly bus: Bus;
  /** Where the state of a partition is found by whoever gets it. */
  readonly states: StateStore;
  /** For what each process keeps to itself; `states` when absent. */
  readonly ownStates?: StateStore;
  readonly store: Store;
  readonly sinks: readonly Sink[];
  readonly ruleset: Ruleset;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly enrichment: EnrichmentConfig;
  readonly lineage: LineageSettings & LineageConfig;
  /** How late each feed may be: for windows, and to wake someone. */
  readonly time: TimeConfig;
  /** What reads a dead letter again; all known ones when absent. */
  readonly collectors?: ReadonlyMap<Feed, Collector>;
}

/** How finely time is told: each detect task writes one record so often to each of `matches`. */
const watermarkStepMs = 10 * secondMs;

/** The stages of one process, by its roles. */
export class Pipeline {
  readonly #settings: PipelineSettings;
  /** In the order of the journey. */
  readonly #runners: readonly StageRunner[];
  /** One per partition of `pages` that this process has. */
  readonly #deliveries = new Set<DeliveryChain>();
  readonly #placeKey: PlaceKey;
  #builds: SharedBuilds | undefined;
  #detection: Beginning | undefined;
  /** What could not be read, to be looked at, read again or dropped. */
  readonly deadLetters: DeadLetters;

  constructor(settings: PipelineSettings) {
    this.#settings = settings;
    this.#placeKey = createPlaceKey(settings.enrichment.runners);
    const { ownStates = settings.states } = settings;
    const letters = openDeadLetters({
      ...{ collectors, ...settings, states: ownStates, placeKey: this.#placeKey },
    });
    this.deadLetters = letters.deadLetters;
    const own = roles.filter((role) => settings.roles?.includes(role) ?? true);
    this.#runners = own.flatMap((role): readonly StageRunner[] => {
      switch (role) {
        case "collect":
          return [];
        case "detect":
          return this.#detect().map((definition) => this.#runner(definition));
        case "correlate":
          return [this.#runner(this.#correlate())];
        case "notify":
          return [this.#runner(this.#notify()), this.#runner(this.#deliver())];
        case "api":
          return [this.#runner(this.#store()), letters.runner];
        default:
          return role satisfies never;
      }
    });
  }

  /** All but detection, which begins behind it: see `begun`. */
  async start(): Promise<void> {
    for (const runner of [...this.#runners].reverse().filter(({ name }) => name !== "detect")) {
      await runner.start();
    }
    const detect = this.#named("detect");
    if (detect === undefined) return;
    const { clock, telemetry } = this.#settings;
    this.#detection = new Beginning({
      ...{ clock, telemetry, waitsFor: "builds are being read" },
      // An event that is joined before its build is read would go on without it.
      ready: () => this.#buildsRead(),
      begin: () => detect.start(),
    });
  }

  /**
   * Resolves once every stage has begun, or was stopped before; rejects when detection never will.
   * Takes as long as the builds take to read, and for ever while they cannot be.
   */
  get begun(): Promise<void> {
    return this.#detection?.done ?? Promise.resolve();
  }

  /** What keeps it from its work at this time; [] when nothing does. */
  unready(): readonly string[] {
    const waiting = this.#detection?.waiting;
    return waiting === undefined ? [] : [waiting];
  }

  /**
   * Resolves once everything in it is durable: events on the bus, rejections in the dead letters.
   * With its delivery a rejection can be read again later.
   */
  async accept(intake: Intake, feed: Feed | undefined, delivery?: Delivery): Promise<void> {
    const origin = {
      ...(feed === undefined ? {} : { feed }),
      ...(delivery === undefined ? {} : { delivery }),
    };
    const letters = intake.rejections.map((rejection) => deadLetterRecord(rejection, origin));
    const records = [
      ...intake.events.map((event) => eventRecord(event, this.#placeKey(event))),
      ...letters,
    ];
    if (records.length === 0) return;
    const { bus, clock, telemetry } = this.#settings;
    const startedAt = clock.now();
    await bus.append(records);
    telemetry.emit.busAppendSeconds({ seconds: (clock.now() - startedAt) / secondMs });
  }

  /** Resolves when nothing is left to do for any stage, and no delivery is due. */
  async drained(): Promise<void> {
    await this.begun;
    for (let before = -1; ; ) {
      const appended = await this.#appended();
      if (appended === before) break;
      before = appended;
      for (const runner of this.#runners) await runner.drained();
    }
    for (const chain of this.#deliveries) await chain.idle();
  }

  /** Records that this process has yet to apply, by stage. */
  backlog(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#runners.map((runner) => [runner.name, runner.backlog()]));
  }

  /** How many partitions this process has, by stage: none for one that stands by, or joins yet. */
  partitions(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#runners.map((runner) => [runner.name, runner.partitions]));
  }

  /** Runs what time alone brings about, for a clock moved by hand. */
  async tick(): Promise<void> {
    for (const runner of this.#runners) await runner.tick();
  }

  async stop(): Promise<void> {
    await this.#detection?.stop();
    for (const runner of this.#runners) await runner.stop();
    await Promise.all(this.#settings.sinks.map((sink) => sink.close()));
  }

  async #buildsRead(): Promise<void> {
    await this.#builds?.loaded;
    await this.#named("builds")?.drained();
  }

  #named(name: string): StageRunner | undefined {
    return this.#runners.find((runner) => runner.name === name);
  }

  /** Records ever appended, over all topics that a stage reads. */
  async #appended(): Promise<number> {
    const { bus } = this.#settings;
    let sum = 0;
    for (const topic of topics) {
      for (let partition = 0; partition < bus.partitions(topic); partition += 1) {
        sum += await bus.end(topic, partition);
      }
    }
    return sum;
  }

  #runner(definition: StageDefinition): StageRunner {
    const { bus, states, ownStates = states, clock, telemetry } = this.#settings;
    const kept = definition.whole === true ? ownStates : states;
    return new StageRunner({ definition, bus, states: kept, clock, telemetry });
  }

  #detect(): readonly StageDefinition[] {
    const { bus, clock, enrichment, ruleset, lineage, telemetry } = this.#settings;
    const { emit } = telemetry;
    const builds = new SharedBuilds({
      emit,
      clock,
      make: (state) => buildTable(state, enrichment),
    });
    this.#builds = builds;
    const detection = createDetection(ruleset);
    const routes = createRouter(ruleset);
    const detect: StageDefinition = {
      name: "detect",
      topic: "events",
      open: ({ partition, state, time, wake }) => {
        const news = builds.subscribe(wake);
        const unfollow = builds.pace.follow(time);
        const over = (table: BuildTable) => {
          const joiner = joinerIn(state, table, enrichment);
          return createDetectStage({
            ...{ emit, builds, news, joiner, detection, routes },
            progress: this.#progress(state),
            reached: () => builds.pace.reached(),
            watermarks: (at) => watermarkRecords(bus, { source: partition, at }),
            lineageFacts: (event) => lineageFacts(event, lineage),
          });
        };
        const make = () => builds.over(over);
        const stop = async () => {
          news.close();
          unfollow();
        };
        return { make, stop };
      },
    };
    return [builds.definition(), detect];
  }

  /** An event that waits for its build is late by that much more. */
  #progress(state: State): Progress {
    const { time, enrichment } = this.#settings;
    const lateness = latenessOf(time);
    return createProgress({
      state,
      latenessOf: (feed) => lateness(feed) + enrichment.waitSeconds * secondMs,
      idleMs: time.idleSeconds * secondMs,
      stepMs: watermarkStepMs,
    });
  }

  #correlate(): StageDefinition {
    const { bus, ruleset, telemetry } = this.#settings;
    return {
      name: "correlate",
      topic: "matches",
      open: ({ state }) => ({
        make: () =>
          createCorrelateStage({
            correlation: createCorrelation({
              ruleset,
              state,
              onEvicted: (fact) => telemetry.emit.evicted({ what: "windows", ...fact }),
            }),
            watermarks: createWatermarks({ state, sources: bus.partitions("events") }),
          }),
      }),
    };
  }

  #notify(): StageDefinition {
    const { lineage: config, time, telemetry } = this.#settings;
    const { emit } = telemetry;
    return {
      name: "notify",
      topic: "alerts",
      open: ({ state }) => ({
        make: () => {
          const lineage = lineageIn(state, config);
          const alerts = createAlerts({
            ...{ state, lineage, pageAgeMaxOf: pageAgeMaxOf(time) },
            onEvicted: (what, count) => emit.evicted({ what, reason: "bound", count }),
          });
          return createNotifyStage({ emit, lineage, alerts });
        },
      }),
    };
  }

  #deliver(): StageDefinition {
    const { sinks, clock, telemetry } = this.#settings;
    return {
      name: "deliver",
      topic: "pages",
      open: ({ state, change }) => {
        const chain = createDelivery({
          ...{ sinks, state, clock, telemetry },
          commit: (moved) => change(() => deliveryRecords(moved())),
        });
        return {
          make: () => createDeliverStage(chain),
          start: () => {
            this.#deliveries.add(chain);
            chain.start();
          },
          stop: async () => {
            this.#deliveries.delete(chain);
            await chain.stop();
          },
        };
      },
    };
  }

  #store(): StageDefinition {
    const { store } = this.#settings;
    // The embedded store is each process's own, so each has every document.
    return {
      name: "store",
      topic: "documents",
      whole: true,
      open: () => ({ make: () => createStoreStage(store) }),
    };
  }
}

function buildTable(state: State, config: EnrichmentConfig): BuildTable {
  return createBuildTable({
    state,
    inventory: createInventory(config.runners),
    buildsMax: config.buildsMax,
  });
}

function joinerIn(state: State, builds: BuildTable, config: EnrichmentConfig): Joiner {
  return createJoiner({
    state,
    builds,
    waitMs: config.waitSeconds * secondMs,
    slackMs: config.slackSeconds * secondMs,
    parkedMax: config.parkedMax,
    keepMs: config.keepHours * hourMs,
    openJobMs: config.openJobHours * hourMs,
    afterJobMs: config.afterJobMinutes * minuteMs,
  });
}

function lineageIn(state: State, config: LineageConfig): Lineage {
  const { thingsMax, runsMax, keepDays } = config;
  return createLineage({ state, thingsMax, runsMax, keepMs: keepDays * dayMs });
}
