/**
 * @module The catalogue of facts the service emits, each a metric and rarely a log line.
 *
 * Metrics are `pipewarden_`, base units, `_total` for counters. Labels are names of our own (feed,
 * stage, sink, code); a repository, run or rule is never one. Logs are JSON lines on stderr and
 * never hold an event's body.
 */

import { type DestinationStream, destination, type Logger, pino } from "pino";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { type EpochMs, secondMs } from "./clock.ts";
import { type ProblemCode, shown } from "./error.ts";

/** How often something happened, by its labels; `count` is 1 when not given, and 0 is allowed. */
export interface Counted {
  readonly count?: number;
}

/** What came of one try, or of a promise that will not be tried (again). */
export type DeliveryOutcome =
  | "delivered"
  | "retry"
  | "rejected"
  | "superseded"
  | "gave-up"
  | "refused-full";

export interface DeliveryFact {
  readonly sink: string;
  readonly outcome: DeliveryOutcome;
  /** Given for what a person should hear of: it makes a log line, and is never a label. */
  readonly log?: { readonly incidentId: string; readonly kind: string; readonly reason?: string };
}

/** Every fact, with what it is told. Emitting never throws and never waits. */
export interface Emit {
  /** `occurredAt` (epoch ms) of the latest of them also moves the feed's last-event gauge. */
  eventsAccepted(fact: Counted & { readonly feed: string; readonly occurredAt?: EpochMs }): void;
  recordsRejected(fact: Counted & { readonly feed: string; readonly code: ProblemCode }): void;
  duplicatesDropped(fact: Counted & { readonly feed: string }): void;
  /** Stamps that lay in the future, or so far in the past that they were flagged. */
  stampsSkewed(fact: Counted & { readonly feed: string; readonly skew: "future" | "past" }): void;
  /** Events older than the watermark when they came: mostly beyond the lateness allowed. */
  eventsLate(fact: Counted & { readonly feed: string }): void;
  recordsApplied(fact: Counted & { readonly stage: string }): void;
  batchFailed(fact: Counted & { readonly stage: string }): void;
  eventsParked(fact: Counted): void;
  eventsReleased(fact: Counted & { readonly reason: string }): void;
  /** What a bounded memory let go: windows, builds, alerts, …; `reason` says at which bound. */
  evicted(fact: Counted & { readonly what: string; readonly reason: string }): void;
  matches(fact: Counted & { readonly kind: string }): void;
  alertsOpened(fact: Counted): void;
  incidentsOpened(fact: Counted): void;
  /** Pages not promised because their feed told of the event too late. */
  pagesWithheld(fact: Counted): void;
  noticesPromised(fact: Counted & { readonly kind: string }): void;
  deliveries(fact: DeliveryFact): void;
  /** How long one try took. */
  deliverySeconds(fact: { readonly sink: string; readonly seconds: number }): void;
  /** From the receipt of an incident's deciding event to the delivery of its page. */
  receiveToDeliverySeconds(fact: { readonly sink: string; readonly seconds: number }): void;
  /** Age of the oldest notice still owed to the sink; 0 when none is. */
  outboxOldestSeconds(fact: { readonly sink: string; readonly seconds: number }): void;
  /** Seconds since 1970 of the latest event of a feed; never moves back. */
  feedLastEventTimestampSeconds(fact: { readonly feed: string; readonly seconds: number }): void;
  busAppendSeconds(fact: { readonly seconds: number }): void;
}

export interface Telemetry {
  readonly emit: Emit;
  /**
   * For what is rare and a person may act on: start, stop, a failing part. Never one line per
   * event.
   */
  readonly log: Logger;
  /** Everything in the Prometheus text format. */
  metrics(): Promise<string>;
}

export interface TelemetrySettings {
  /** trace, debug, info, warn, error, fatal or silent. */
  readonly level: string;
  /** Where log lines go; stderr when not given. */
  readonly destination?: DestinationStream;
  /** Also the metrics of the process itself: memory, event loop, garbage collection. */
  readonly processMetrics?: boolean;
}

/**
 * Values one label may take; what comes after is counted as `other`, so that no caller can grow
 * memory.
 */
const labelValuesMax = 64;

const attemptBuckets = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 15];
const journeyBuckets = [0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3_600];
const appendBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];

export function createTelemetry(settings: TelemetrySettings): Telemetry {
  const registry = new Registry();
  if (settings.processMetrics === true) collectDefaultMetrics({ register: registry });
  const log = pino(
    {
      level: settings.level,
      base: { service: "pipewarden" },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    settings.destination ?? destination({ fd: 2, sync: true }),
  );
  return { emit: createEmit(registry, log), log, metrics: () => registry.metrics() };
}

/** Counts like the other and says nothing: for tests and for `replay`. */
export function silentTelemetry(): Telemetry {
  return createTelemetry({ level: "silent", destination: { write: () => undefined } });
}

function createEmit(registry: Registry, log: Logger): Emit {
  const { counter, gauge, histogram } = instruments(registry);
  const accepted = counter("events_accepted", "Events taken in.", "feed");
  const lastEvent = gauge(
    "feed_last_event_timestamp_seconds",
    "When the latest event of the feed occurred, in seconds since 1970.",
    "feed",
  );
  const latest = new Map<string, number>();
  const moveLastEvent: Emit["feedLastEventTimestampSeconds"] = ({ feed, seconds }) => {
    if (seconds <= (latest.get(feed) ?? 0)) return;
    if (latest.has(feed) || latest.size < labelValuesMax) latest.set(feed, seconds);
    lastEvent({ feed, seconds });
  };
  const deliveries = counter(
    "deliveries",
    "Tries to deliver a notice, and promises that will not be tried again.",
    "sink",
    "outcome",
  );
  return {
    eventsAccepted: ({ occurredAt = 0, ...fact }) => {
      accepted(fact);
      moveLastEvent({ feed: fact.feed, seconds: occurredAt / secondMs });
    },
    recordsRejected: counter("records_rejected", "Records that could not be read.", "feed", "code"),
    duplicatesDropped: counter("duplicates_dropped", "Deliveries that were repeats.", "feed"),
    stampsSkewed: counter(
      "stamps_skewed",
      "Events stamped in the future (pulled back to receipt) or far in the past (kept).",
      "feed",
      "skew",
    ),
    eventsLate: counter("events_late", "Events older than the watermark when they came.", "feed"),
    recordsApplied: counter("records_applied", "Bus records a stage has applied.", "stage"),
    batchFailed: counter("batches_failed", "Batches that failed and are tried again.", "stage"),
    eventsParked: counter("events_parked", "Events that wait for their build."),
    eventsReleased: counter("events_released", "Parked events let go, and why.", "reason"),
    evicted: counter("evicted", "What bounded memory let go, and why.", "what", "reason"),
    matches: counter("matches", "Matches of rules.", "kind"),
    alertsOpened: counter("alerts_opened", "Alerts opened."),
    incidentsOpened: counter("incidents_opened", "Incidents opened."),
    pagesWithheld: counter("pages_withheld", "Pages not promised: their feed told too late."),
    noticesPromised: counter("notices_promised", "Notices promised to at least one sink.", "kind"),
    deliveries: ({ sink, outcome, log: line }) => {
      deliveries({ sink, outcome });
      if (line !== undefined) logDelivery(log, { sink, outcome, log: line });
    },
    ...measures(histogram),
    outboxOldestSeconds: gauge(
      "outbox_oldest_seconds",
      "Age of the oldest notice still owed to the sink.",
      "sink",
    ),
    feedLastEventTimestampSeconds: moveLastEvent,
  };
}

type Instruments = ReturnType<typeof instruments>;

function measures(
  histogram: Instruments["histogram"],
): Pick<Emit, "deliverySeconds" | "receiveToDeliverySeconds" | "busAppendSeconds"> {
  return {
    deliverySeconds: histogram("delivery_seconds", {
      help: "How long one try to deliver took.",
      buckets: attemptBuckets,
      labels: ["sink"],
    }),
    receiveToDeliverySeconds: histogram("receive_to_delivery_seconds", {
      help: "From the receipt of the deciding event to the delivery of the page.",
      buckets: journeyBuckets,
      labels: ["sink"],
    }),
    busAppendSeconds: histogram("bus_append_seconds", {
      help: "How long an append took to become durable.",
      buckets: appendBuckets,
      labels: [],
    }),
  };
}

function logDelivery(log: Logger, { sink, outcome, log: line }: DeliveryFact): void {
  const fields = { sink, outcome, incident_id: line?.incidentId, kind: line?.kind };
  if (outcome === "delivered") log.info(fields, "notice delivered");
  else log.error({ ...fields, reason: shown(line?.reason ?? "", 300) }, "notice not delivered");
}

/** Makers of metrics in one registry, each answering the function that takes the fact. */
function instruments(registry: Registry) {
  const registers = [registry];
  function counter<L extends string>(name: string, help: string, ...labels: readonly L[]) {
    const labelNames = [...labels];
    const metric = new Counter({ name: `pipewarden_${name}_total`, help, labelNames, registers });
    const bounded = boundedLabels(labels);
    return (fact: Counted & Readonly<Record<L, string>>): void =>
      metric.inc(bounded(fact), amount(fact.count ?? 1));
  }
  function gauge<L extends string>(name: string, help: string, ...labels: readonly L[]) {
    const labelNames = [...labels];
    const metric = new Gauge({ name: `pipewarden_${name}`, help, labelNames, registers });
    const bounded = boundedLabels(labels);
    return (fact: { readonly seconds: number } & Readonly<Record<L, string>>): void =>
      metric.set(bounded(fact), amount(fact.seconds));
  }
  function histogram<L extends string>(
    name: string,
    options: { help: string; buckets: number[]; labels: readonly L[] },
  ) {
    const { help, buckets } = options;
    const labelNames = [...options.labels];
    const metric = new Histogram({
      name: `pipewarden_${name}`,
      help,
      buckets,
      labelNames,
      registers,
    });
    const bounded = boundedLabels(options.labels);
    return (fact: { readonly seconds: number } & Readonly<Record<L, string>>): void =>
      metric.observe(bounded(fact), amount(fact.seconds));
  }
  return { counter, gauge, histogram };
}

/**
 * The metrics library throws on what is not a number, and a fact must never stop the work it tells
 * of.
 */
function amount(value: number): number {
  return Number.isFinite(value) ? Math.max(0, value) : 0;
}

/** Picks the labels out of a fact; a value beyond the bound becomes `other`. */
function boundedLabels<L extends string>(
  labels: readonly L[],
): (fact: Readonly<Record<L, string>>) => Record<L, string> {
  const known = new Map<L, Set<string>>(labels.map((label) => [label, new Set()]));
  return (fact) => {
    const picked = {} as Record<L, string>;
    for (const label of labels) {
      const values = known.get(label);
      const value = fact[label];
      if (values === undefined) continue;
      if (!values.has(value) && values.size < labelValuesMax) values.add(value);
      picked[label] = values.has(value) ? value : "other";
    }
    return picked;
  };
}
