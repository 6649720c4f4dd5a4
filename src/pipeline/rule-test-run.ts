/**
 * @module One test of a rule: its inputs through the real collectors, join, detection and
 * correlation.
 */

import type { BusRecord, NewRecord } from "../bus/bus.ts";
import { type EpochMs, minuteMs, VirtualClock } from "../clock.ts";
import { collectors } from "../collector/collectors.ts";
import { createCorrelation, createRouter, createWatermarks } from "../correlation/correlation.ts";
import { createDetection, type Match, type Ruleset } from "../detection/detection.ts";
import { createBuildTable, createInventory, createJoiner } from "../enrichment/enrichment.ts";
import { problemLine } from "../error.ts";
import { isProblem } from "../event/codec.ts";
import type { Event } from "../event/event.ts";
import { emptyState } from "../state/memory.ts";
import { silentTelemetry } from "../telemetry.ts";
import { createDetectStage } from "./detect-stage.ts";
import {
  eventRecord,
  isClosing,
  isLineage,
  isWatermark,
  readRecord,
  watermarkRecords,
} from "./records.ts";
import { bodyOf, type Input, offsetMs, type TestContext } from "./rule-test-file.ts";
import { createCorrelateStage } from "./stages.ts";

export interface Timeline {
  readonly inputs: readonly Input[];
  readonly runners: NonNullable<TestContext["runners"]>;
  readonly ruleset: Ruleset;
}

/** What a timeline brought about; each match once, however often it was sent on. */
export interface Outcome {
  readonly alerts: readonly Match[];
  /** Matches kept only for a correlation. */
  readonly signals: readonly Match[];
  /** Every event as detection last saw it, as far as it matched, else as it came in. */
  readonly taken: readonly { readonly input: Input; readonly event: Event }[];
  /** Inputs that became no event, and records that no stage could read. */
  readonly problems: readonly string[];
}

/** A fixed instant; inputs lie around it. */
const timeZero: EpochMs = Date.UTC(2026, 10, 24, 2, 0, 0);
/** As the service runs. */
const latenessMs = 15 * minuteMs;
/** After the last input: long enough for whatever was parked. */
const restMs = latenessMs + 2 * minuteMs;

export async function runTimeline({ inputs, runners, ruleset }: Timeline): Promise<Outcome> {
  const ordered = inputs
    .map((input) => ({ input, receivedAt: timeZero + offsetMs(input.received ?? input.at) }))
    .sort((a, b) => a.receivedAt - b.receivedAt);
  const clock = new VirtualClock(ordered[0]?.receivedAt ?? timeZero);
  const journey = new Stages(ruleset, runners);
  const taken: { input: Input; event: Event }[] = [];
  const problems: string[] = [];
  for (const [index, { input, receivedAt }] of ordered.entries()) {
    await journey.moveTo(clock, receivedAt);
    const place = `input ${index + 1} (${input.at} ${input.feed})`;
    const body = bodyOf(input, timeZero + offsetMs(input.at), index);
    const intake = collectors.get(input.feed)?.read(body, {
      ...{ receivedAt, place },
      headers: input.event === undefined ? {} : { "x-github-event": input.event },
      ...(input.path === undefined ? {} : { path: input.path }),
    });
    const { events = [], rejections = [] } = intake ?? {};
    problems.push(...rejections.map(({ problem }) => problemLine(problem)));
    if (events.length + rejections.length === 0) problems.push(`${place}: gave no event`);
    for (const event of events) {
      taken.push({ input, event });
      await journey.take(event, receivedAt);
    }
  }
  await journey.moveTo(clock, clock.now() + restMs);
  const { alerts, signals, letters } = journey;
  return { alerts, signals, taken, problems: [...problems, ...letters] };
}

/** The two stages that matter, fed by hand in the order a bus of one partition would. */
class Stages {
  readonly letters: string[] = [];
  readonly #alerts = new Map<string, Match>();
  readonly #routed = new Map<string, Match>();
  readonly #detect: ReturnType<typeof createDetectStage>;
  readonly #correlate: ReturnType<typeof createCorrelateStage>;
  #offset = 0;
  /** Tests have no idle feeds: time goes on with their inputs, and some way beyond the last. */
  #now = 0;

  constructor(ruleset: Ruleset, runners: Timeline["runners"]) {
    const inventory = createInventory([...runners]);
    const builds = createBuildTable({ state: emptyState(), inventory });
    this.#detect = createDetectStage({
      emit: silentTelemetry().emit,
      builds,
      // There is no other task that could learn anything.
      news: { take: () => [], close: () => undefined },
      joiner: createJoiner({ state: emptyState(), builds }),
      progress: {
        saw: () => false,
        passed: (now) => {
          this.#now = now;
        },
        watermark: () => this.#now - latenessMs,
        nextDue: () => Number.POSITIVE_INFINITY,
      },
      watermarks: (at) => watermarkRecords({ partitions: () => 1 }, { source: 0, at }),
      detection: createDetection(ruleset),
      routes: createRouter(ruleset),
      lineageFacts: () => [],
    });
    this.#correlate = createCorrelateStage({
      correlation: createCorrelation({ ruleset, state: emptyState() }),
      watermarks: createWatermarks({ state: emptyState(), sources: 1 }),
    });
  }

  get alerts(): readonly Match[] {
    return [...this.#alerts.values()];
  }

  get signals(): readonly Match[] {
    return [...this.#routed.values()].filter((match) => !this.#alerts.has(match.id));
  }

  async take(event: Event, now: EpochMs): Promise<void> {
    await this.#follow([eventRecord(event, event.id)], now);
  }

  /** Moves the clock, waking the stage at each moment it asked for on the way. */
  async moveTo(clock: VirtualClock, time: EpochMs): Promise<void> {
    for (;;) {
      const due = this.#detect.nextTick?.();
      if (due === undefined || due > time) break;
      clock.advanceTo(due);
      const out = this.#detect.tick?.(clock.now()) ?? [];
      await this.#follow(out, clock.now());
      if (out.length === 0) break;
    }
    clock.advanceTo(time);
    await this.#follow(this.#detect.tick?.(time) ?? [], time);
  }

  /** Everything that follows from the records, in order. */
  async #follow(first: readonly NewRecord[], now: EpochMs): Promise<void> {
    const queue = [...first];
    const next = (): NewRecord | undefined => {
      while (queue.length === 0 && this.#correlate.nextTick?.() !== undefined) {
        queue.push(...(this.#correlate.tick?.(now) ?? []));
      }
      return queue.shift();
    };
    for (let record = next(); record !== undefined; record = next()) {
      const busRecord: BusRecord = {
        ...record,
        partition: 0,
        offset: this.#offset++,
        appendedAt: now,
      };
      if (record.topic === "events") {
        queue.push(...(await this.#detect.apply([busRecord])));
      } else if (record.topic === "matches") {
        const routed = readRecord("matches", busRecord);
        if (!isProblem(routed) && !isWatermark(routed))
          this.#routed.set(routed.match.id, routed.match);
        queue.push(...(await this.#correlate.apply([busRecord])));
      } else if (record.topic === "alerts") {
        const match = readRecord("alerts", busRecord);
        if (isProblem(match) || isLineage(match) || this.#alerts.has(match.id)) continue;
        this.#alerts.set(match.id, match);
      } else if (record.topic === "dead-letters") {
        const letter = readRecord("dead-letters", busRecord);
        if (isProblem(letter)) this.letters.push(problemLine(letter));
        else if (!isClosing(letter)) this.letters.push(problemLine(letter.problem));
      }
    }
  }
}
