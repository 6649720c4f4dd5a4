/**
 * @module The whole pipeline wired in order, over any bus and state; starts last to first, drains
 * first to last.
 */

import { createAlerts, type Notice, type PageAgeMaxOf } from "../alert/alert.ts";
import { type Bus, topics } from "../bus/bus.ts";
import { type Clock, dayMs, hourMs, minuteMs, secondMs } from "../clock.ts";
import type { Collector, Delivery, Intake } from "../collector/collector.ts";
import { collectors } from "../collector/collectors.ts";
import { createCorrelation, createRouter } from "../correlation/correlation.ts";
import { createDetection, type Ruleset } from "../detection/detection.ts";
import {
  type BuildTable,
  createBuildTable,
  createInventory,
  createPlaceKey,
  type EnrichmentConfig,
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
import { type DeadLetters, openDeadLetters } from "./dead-letters.ts";
import { deadLetterRecord, eventRecord } from "./records.ts";
import { type Stage, StageRunner } from "./stage.ts";
import {
  createCorrelateStage,
  createDeliverStage,
  createDetectStage,
  createNotifyStage,
  createStoreStage,
} from "./stages.ts";

export interface PipelineSettings {
  readonly bus: Bus;
  readonly states: StateStore;
  readonly store: Store;
  readonly sinks: readonly Sink[];
  readonly ruleset: Ruleset;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly enrichment: EnrichmentConfig;
  readonly lineage: LineageSettings & LineageConfig;
  /** What a feed tells later than this, in ms, after it occurred wakes nobody. */
  readonly pageAgeMaxOf: PageAgeMaxOf;
  /** How much later than its neighbours a match may arrive and still count in its window. */
  readonly latenessMs: number;
  /** What reads a dead letter again; all known ones when absent. */
  readonly collectors?: ReadonlyMap<Feed, Collector>;
}

/** Every stage of one process. */
export class Pipeline {
  readonly #settings: PipelineSettings;
  readonly #runners: readonly StageRunner[];
  readonly #delivery: DeliveryChain;
  readonly #placeKey: PlaceKey;
  /** What could not be read, to be looked at, read again or dropped. */
  readonly deadLetters: DeadLetters;

  constructor(settings: PipelineSettings) {
    this.#settings = settings;
    this.#placeKey = createPlaceKey(settings.enrichment.runners);
    const deliver = this.#deliver();
    this.#delivery = deliver.delivery;
    const letters = openDeadLetters({ collectors, ...settings, placeKey: this.#placeKey });
    this.deadLetters = letters.deadLetters;
    this.#runners = [
      this.#detect(),
      this.#correlate(),
      this.#notify(),
      deliver.runner,
      this.#runner("store", () => createStoreStage(settings.store)),
      letters.runner,
    ];
  }

  async start(): Promise<void> {
    for (const runner of [...this.#runners].reverse()) await runner.start();
    this.#delivery.start();
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

  deliveriesOf(incidentId: string): ReturnType<DeliveryChain["deliveriesOf"]> {
    return this.#delivery.deliveriesOf(incidentId);
  }

  /** Resolves when nothing is left to do for any stage, and no delivery is due. */
  async drained(): Promise<void> {
    for (let before = -1; ; ) {
      const appended = await this.#appended();
      if (appended === before) break;
      before = appended;
      for (const runner of this.#runners) await runner.drained();
    }
    await this.#delivery.idle();
  }

  /** Records that some stage has yet to apply, by stage. */
  async backlog(): Promise<Readonly<Record<string, number>>> {
    const counts = this.#runners.map(
      async (runner) => [runner.name, await runner.backlog()] as const,
    );
    return Object.fromEntries(await Promise.all(counts));
  }

  /** Runs what time alone brings about, for a clock moved by hand. */
  async tick(): Promise<void> {
    for (const runner of this.#runners) await runner.tick();
  }

  async stop(): Promise<void> {
    // The chain saves what it learned through its runner, so it stops before that one does.
    for (const runner of this.#runners.slice(0, 3)) await runner.stop();
    await this.#delivery.stop();
    for (const runner of this.#runners.slice(3)) await runner.stop();
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

  /**
   * The stage must be made over the very State that its runner commits: opening one twice makes
   * two.
   */
  #runner(name: string, make: (state: State) => Stage): StageRunner {
    const { bus, states, clock, telemetry } = this.#settings;
    const state = states.open(name);
    return new StageRunner({ name, bus, state, clock, telemetry, make: () => make(state) });
  }

  #detect(): StageRunner {
    const { enrichment, ruleset, lineage, telemetry } = this.#settings;
    return this.#runner("detect", (state) =>
      createDetectStage({
        emit: telemetry.emit,
        builds: buildTable(state, enrichment),
        detection: createDetection(ruleset),
        routes: createRouter(ruleset),
        lineageFacts: (event) => lineageFacts(event, lineage),
      }),
    );
  }

  #correlate(): StageRunner {
    const { ruleset, latenessMs, telemetry } = this.#settings;
    return this.#runner("correlate", (state) =>
      createCorrelateStage({
        correlation: createCorrelation({
          ruleset,
          state,
          onEvicted: (fact) => telemetry.emit.evicted({ what: "windows", ...fact }),
        }),
        latenessMs,
      }),
    );
  }

  #notify(): StageRunner {
    const { lineage: config, pageAgeMaxOf, telemetry } = this.#settings;
    const { emit } = telemetry;
    return this.#runner("notify", (state) => {
      const lineage = lineageIn(state, config);
      return createNotifyStage({
        emit,
        lineage,
        alerts: createAlerts({
          ...{ state, lineage, pageAgeMaxOf },
          onEvicted: (what, count) => emit.evicted({ what, reason: "bound", count }),
        }),
      });
    });
  }

  #deliver(): { runner: StageRunner; delivery: DeliveryChain } {
    const { bus, states, sinks, clock, telemetry } = this.#settings;
    const name = "deliver";
    const state = states.open(name);
    const commit = (change: () => void) => runner.change(change);
    const delivery = createDelivery({ sinks, state, clock, telemetry, commit });
    const make = () => createDeliverStage((notice: Notice) => delivery.promise(notice));
    const runner = new StageRunner({ name, bus, state, clock, telemetry, make });
    return { runner, delivery };
  }
}

function buildTable(state: State, config: EnrichmentConfig): BuildTable {
  return createBuildTable({
    state,
    inventory: createInventory(config.runners),
    waitMs: config.waitSeconds * secondMs,
    slackMs: config.slackSeconds * secondMs,
    buildsMax: config.buildsMax,
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
