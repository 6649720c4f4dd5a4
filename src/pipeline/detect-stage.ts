/** @module Stage 1: the events of one partition, joined to their builds and matched. */

import type { NewRecord } from "../bus/bus.ts";
import { type EpochMs, secondMs } from "../clock.ts";
import type { Progress, RoutedMatch } from "../correlation/correlation.ts";
import type { Detection, Match } from "../detection/detection.ts";
import type { Joiner } from "../enrichment/enrichment.ts";
import { shown } from "../error.ts";
import { decodeEvent, isProblem } from "../event/codec.ts";
import type { Event } from "../event/event.ts";
import type { LineageFact } from "../lineage/lineage.ts";
import type { Emit } from "../telemetry.ts";
import type { BuildNews, SharedBuilds } from "./builds.ts";
import { evictionTeller } from "./evictions.ts";
import {
  alertRecord,
  buildRecord,
  deadLetterRecord,
  lineageRecord,
  recordPlace,
  routedRecord,
  setAsideRecord,
} from "./records.ts";
import type { Stage } from "./stage.ts";

export interface MatchParts {
  readonly emit: Emit;
  readonly detection: Detection;
  readonly routes: (match: Match) => readonly RoutedMatch[];
  readonly lineageFacts: (event: Event) => readonly LineageFact[];
}

export interface DetectParts extends MatchParts {
  readonly builds: Pick<SharedBuilds, "learn">;
  readonly news: BuildNews;
  readonly joiner: Joiner;
  readonly progress: Progress;
  /** The time that all have come to that may still tell of builds; no limit when absent. */
  readonly reached?: () => EpochMs;
  /** What tells the correlate tasks how far this partition has come. */
  readonly watermarks: (at: EpochMs) => readonly NewRecord[];
}

/** How long a record that is stamped may be on its way before it can be read. */
const onTheWayMs = 2 * secondMs;
/** How often those that wait for slower tasks are looked at again. */
const heldMs = secondMs;

/**
 * Joins and matches, and tells what the events say of builds. Keyed by runner, run or repository;
 * keeps only events that wait for their build.
 */
export function createDetectStage(parts: DetectParts): Stage {
  const { emit, builds, news, joiner, progress } = parts;
  const waits = waitsOf(joiner, parts.reached);
  /** What the table learned before this stage was made, or in a batch that failed, is found so. */
  let rechecked = false;
  let told: EpochMs | undefined;
  function take(event: Event, now: EpochMs): NewRecord[] {
    if (progress.saw(event, now)) emit.eventsLate({ feed: event.feed });
    const out: NewRecord[] = [];
    for (const fact of joiner.factsOf(event)) {
      out.push(buildRecord(fact));
      // Known here at once; other processes learn it from the topic. Learning twice changes
      // nothing.
      const changes = builds.learn(fact, now, news);
      out.push(...release(joiner.changed(changes, now), "build-known"));
    }
    const joined = joiner.join(event, now);
    if (joined.kind === "ready") out.push(...detected(parts, joined.event));
    else emit.eventsParked({});
    return out;
  }

  function release(events: readonly Event[], reason: "build-known" | "waited"): NewRecord[] {
    if (events.length > 0) emit.eventsReleased({ reason, count: events.length });
    return events.flatMap((event) => detected(parts, event));
  }

  /** What the process learned since, and the events that have waited long enough. */
  function catchUp(now: EpochMs): NewRecord[] {
    const left = joiner.rest(now);
    const learned = news.take();
    const known =
      rechecked && learned !== "many"
        ? learned.flatMap((changes) => joiner.changed(changes, now))
        : joiner.recheck(now);
    rechecked = true;
    const better = release([...left, ...known], "build-known");
    return [...better, ...release(waits.over(now), "waited")];
  }

  /** After the matches it speaks for: what comes later in the partition is not older. */
  function watermark(): readonly NewRecord[] {
    const at = progress.watermark();
    // What is held longer than it should have been is still to come.
    if (at === undefined || at === told || waits.held()) return [];
    told = at;
    return parts.watermarks(at);
  }

  const tellEvicted = evictionTeller(emit, () => joiner.counts());
  return {
    apply: (records) => {
      const out = records.flatMap((record) => {
        const event = decodeEvent(record.value, recordPlace(record));
        if (isProblem(event)) return [setAsideRecord(record, event)];
        return take(event, record.appendedAt);
      });
      tellEvicted();
      return [...out, ...watermark()];
    },
    tick: (now) => {
      progress.passed(now - onTheWayMs);
      return [...catchUp(now), ...watermark()];
    },
    nextTick: () => {
      if (!rechecked) return 0;
      return Math.min(waits.nextDue(), progress.nextDue() + onTheWayMs);
    },
  };
}

interface Waits {
  /** Those whose build nobody has told of, as far as all have read. */
  over(now: EpochMs): readonly Event[];
  /**
   * Whether events wait longer than they should: others have not come as far, or there are more of
   * them than go on at once.
   */
  held(): boolean;
  nextDue(): EpochMs;
}

function waitsOf(joiner: Joiner, reached: () => EpochMs = () => Number.POSITIVE_INFINITY): Waits {
  let heldAt: EpochMs | undefined;
  let more = false;
  const nextDue = () => joiner.nextDue() ?? Number.POSITIVE_INFINITY;
  return {
    over: (now) => {
      const until = Math.min(now, reached());
      const events = joiner.due(until);
      const next = nextDue();
      more = next <= until;
      heldAt = !more && next <= now ? now : undefined;
      return events;
    },
    held: () => heldAt !== undefined || more || joiner.isBehind,
    nextDue: () => {
      if (more || joiner.isBehind) return 0;
      return Math.max(nextDue(), (heldAt ?? 0) + heldMs);
    },
  };
}

/**
 * What follows from an event that goes on. One that cannot be matched is set aside alone: neither
 * its neighbours nor the fact that let it go are to blame.
 */
function detected(parts: MatchParts, event: Event): NewRecord[] {
  try {
    return matched(parts, event);
  } catch (error) {
    const problem = {
      code: "stored-record-invalid",
      place: event.id,
      expected: "an event that every rule can look at",
      found: shown(String(error), 300),
    } as const;
    return [deadLetterRecord({ problem, raw: event.raw }, { feed: event.feed })];
  }
}

function matched(parts: MatchParts, event: Event): NewRecord[] {
  const { emit, detection, routes, lineageFacts } = parts;
  const out: NewRecord[] = lineageFacts(event).map(lineageRecord);
  for (const { match, alerts } of detection.detect(event)) {
    emit.matches({ kind: "detection" });
    if (alerts) out.push(alertRecord(match));
    out.push(...routes(match).map(routedRecord));
  }
  return out;
}
