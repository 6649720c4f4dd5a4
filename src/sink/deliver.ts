/**
 * @module The chain from promise to delivery: route → dedup → queue → count → retry → timeout →
 * send.
 *
 * A promise is a row in State, saved with the batch that made it. A row is sent only after a commit
 * that came after it, and marked only after it was sent. A crash in between sends it again with the
 * same key: twice perhaps, never not.
 */

import type { Notice } from "../alert/alert.ts";
import { type Clock, dayMs, hourMs, secondMs } from "../clock.ts";
import { shown } from "../error.ts";
import type { State } from "../state/state.ts";
import type { Telemetry } from "../telemetry.ts";
import { type Attempt, counted, guarded, timed } from "./attempt.ts";
import type { Delivery, DeliveryStatus, Sink } from "./model.ts";
import { Outbox, type PendingRow } from "./outbox.ts";

export interface DeliverySettings {
  readonly sinks: readonly Sink[];
  /** Of its own, shared with no other stage than the one that calls `promise`. */
  readonly state: State;
  readonly clock: Clock;
  /**
   * Runs `change` between two batches and saves what it put in the state, together with what it
   * answers: how far each notice has come that moved. Rejects when that failed.
   */
  readonly commit: (change: () => readonly DeliveryStatus[]) => Promise<void>;
  readonly telemetry: Telemetry;
  /** Default 15 s. */
  readonly attemptTimeoutMs?: number;
  /**
   * Most notices owed to one sink. Full: updates are refused, a page takes an update's place.
   * Default 5 000.
   */
  readonly queueMax?: number;
  /** How long a delivered notice is known again. Default 7 days, and at most 100 000 notices. */
  readonly keepDeliveredMs?: number;
  /** How long `stop` lets attempts finish. Default 5 s. */
  readonly stopGraceMs?: number;
}

export interface DeliveryChain {
  /**
   * Owes the notice to each sink that wants it. Saved by the caller's commit; a promise made before
   * changes nothing.
   */
  promise(notice: Notice): void;
  /** What the promises since the last call came to, to be saved with them. */
  takeChanged(): readonly DeliveryStatus[];
  /** Begins to send, first what an earlier process still owed. */
  start(): void;
  /**
   * Starts nothing new, lets attempts finish or cuts them, saves what came of them. The sinks stay
   * open: another chain may go on with them.
   */
  stop(): Promise<void>;
  /**
   * Resolves when nothing is being sent and no row is due; rows that wait for their next try do not
   * count.
   */
  idle(): Promise<void>;
}

export function createDelivery(settings: DeliverySettings): DeliveryChain {
  return new Chain(settings);
}

/** Attempts at one time to one sink: a stuck incident holds one of them, not the sink. */
const concurrencyMax = 4;
const settledMax = 100_000;
/** How often the age of the oldest row is told while nothing else happens. */
const gaugeMs = 15 * secondMs;
const commitRetryMs = secondMs;

class Chain implements DeliveryChain {
  readonly #settings: DeliverySettings;
  readonly #outbox: Outbox;
  readonly #attempts: ReadonlyMap<string, Attempt>;
  readonly #stopping = new AbortController();
  /** What came of attempts and is not saved yet. */
  #outcomes: { readonly row: PendingRow; readonly delivery?: Delivery; readonly at: number }[] = [];
  #inFlight = 0;
  #started = false;
  #draining = false;
  #rounds: Promise<void> | undefined;
  #again = false;
  #expireAt = 0;
  #cancelTimer: () => void = () => undefined;
  #waiters: { readonly done: () => boolean; readonly resolve: () => void }[] = [];

  constructor(settings: DeliverySettings) {
    const { clock, telemetry, attemptTimeoutMs = 15 * secondMs } = settings;
    this.#settings = settings;
    this.#outbox = new Outbox({
      state: settings.state,
      sinks: settings.sinks.map(({ name }) => name),
      concurrencyMax,
      queueMax: settings.queueMax ?? 5_000,
      keepDeliveredMs: settings.keepDeliveredMs ?? 7 * dayMs,
      settledMax,
    });
    this.#attempts = new Map(
      settings.sinks.map((sink) => [
        sink.name,
        counted(timed(guarded(sink), clock, attemptTimeoutMs), clock, telemetry),
      ]),
    );
  }

  promise(notice: Notice): void {
    const { sinks, clock, telemetry } = this.#settings;
    const wanting = sinks.filter((sink) => sink.wants(notice));
    const fresh = wanting.filter((sink) => this.#outbox.promise(notice, sink.name, clock.now()));
    if (fresh.length === 0) return;
    telemetry.emit.noticesPromised({ kind: notice.kind });
    this.#wake();
  }

  takeChanged(): readonly DeliveryStatus[] {
    return this.#outbox.takeChanged();
  }

  start(): void {
    if (this.#draining) return;
    this.#started = true;
    this.#wake();
  }

  async stop(): Promise<void> {
    const { clock, stopGraceMs = 5 * secondMs } = this.#settings;
    if (this.#draining) return;
    this.#draining = true;
    this.#cancelTimer();
    const cancelCut = clock.after(stopGraceMs, () => this.#stopping.abort());
    await this.#until(() => this.#inFlight === 0 && this.#rounds === undefined);
    cancelCut();
    // What is not saved by now is sent again after the next start, under the same key.
    if (this.#outcomes.length > 0) await this.#round();
    this.#tellWaiters();
  }

  idle(): Promise<void> {
    return this.#until(() => {
      const nothingOpen = this.#inFlight === 0 && this.#rounds === undefined;
      if (!nothingOpen || this.#outcomes.length > 0) return false;
      const next = this.#started && !this.#draining ? this.#outbox.nextDue() : undefined;
      return next === undefined || next > this.#settings.clock.now();
    });
  }

  /** Has a round run soon. Never at once: the caller may stand in the middle of its batch. */
  #wake(): void {
    if (!this.#started) return;
    this.#again = true;
    this.#rounds ??= Promise.resolve().then(() => this.#runRounds());
  }

  async #runRounds(): Promise<void> {
    let saved = true;
    while (this.#again && saved) {
      this.#again = false;
      saved = await this.#round();
    }
    this.#rounds = undefined;
    this.#arm(saved ? undefined : commitRetryMs);
    this.#tellWaiters();
  }

  /**
   * One commit: puts down what came of attempts and looks for due rows; then sends those. False:
   * not saved.
   */
  async #round(): Promise<boolean> {
    const { commit, telemetry } = this.#settings;
    const outcomes = [...this.#outcomes];
    let picked: readonly PendingRow[] = [];
    try {
      await commit(() => {
        for (const { row, delivery, at } of outcomes) {
          if (delivery !== undefined) this.#outbox.settle(row, delivery, at);
        }
        this.#expire();
        picked = this.#pick(outcomes.map(({ row }) => row));
        return this.#outbox.takeChanged();
      });
    } catch (error) {
      this.#outbox.rebuild();
      telemetry.emit.batchFailed({ stage: "deliver" });
      telemetry.log.error({ reason: shown(String(error), 300) }, "deliveries could not be saved");
      return false;
    }
    this.#outcomes = this.#outcomes.slice(outcomes.length);
    this.#tellNews();
    if (!this.#draining) for (const row of picked) this.#send(row);
    return true;
  }

  #pick(ended: readonly PendingRow[]): readonly PendingRow[] {
    const now = this.#settings.clock.now();
    // Their outcome is put down by this very change, so their lanes are free again. Should it not
    // be saved, the next round begins by putting it down once more, before it looks for due rows.
    for (const row of ended) this.#outbox.end(row);
    return this.#settings.sinks.flatMap(({ name }) => this.#outbox.pick(name, now));
  }

  #send(row: PendingRow): void {
    const attempt = this.#attempts.get(row.sink);
    if (attempt === undefined) return;
    this.#outbox.begin(row);
    this.#inFlight++;
    void attempt(row, this.#stopping.signal).then((delivery) => {
      this.#inFlight--;
      const at = this.#settings.clock.now();
      // Cut by our own stop: not the sink's fault, the row stays as it was.
      const cut = this.#stopping.signal.aborted && delivery.kind === "retry";
      this.#outcomes.push(cut ? { row, at } : { row, delivery, at });
      this.#wake();
    });
  }

  #expire(): void {
    const now = this.#settings.clock.now();
    if (now < this.#expireAt && this.#outbox.settledCount < settledMax * 1.1) return;
    this.#expireAt = now + hourMs;
    this.#outbox.expire(now);
  }

  #tellNews(): void {
    const { telemetry } = this.#settings;
    for (const { row, as } of this.#outbox.takeNews()) {
      const { sink, incidentId, kind, reason } = row;
      const quiet = as === "superseded" || (as === "delivered" && kind === "update");
      const log = { incidentId, kind, ...(reason === undefined ? {} : { reason }) };
      telemetry.emit.deliveries({ sink, outcome: as, ...(quiet ? {} : { log }) });
    }
  }

  #tellAge(): void {
    const { telemetry, clock, sinks } = this.#settings;
    for (const { name } of sinks) {
      const oldest = Math.min(...this.#outbox.pendingOf(name).map((row) => row.promisedAt));
      const seconds = Number.isFinite(oldest) ? (clock.now() - oldest) / secondMs : 0;
      telemetry.emit.outboxOldestSeconds({ sink: name, seconds });
    }
  }

  /**
   * Wakes for the next due row; while rows are owed, often enough to tell how old they have become.
   */
  #arm(delayMs?: number): void {
    this.#cancelTimer();
    this.#tellAge();
    if (this.#draining) return;
    const { clock } = this.#settings;
    const next = this.#outbox.nextDue();
    if (next === undefined && delayMs === undefined) return;
    const waitMs = delayMs ?? (next ?? 0) - clock.now();
    if (waitMs <= 0) {
      // Became due while the round ran.
      this.#wake();
      return;
    }
    this.#cancelTimer = clock.after(Math.min(waitMs, gaugeMs), () => {
      if (waitMs <= gaugeMs) return this.#wake();
      this.#arm();
    });
  }

  #until(done: () => boolean): Promise<void> {
    if (done()) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiters.push({ done, resolve });
    return promise;
  }

  #tellWaiters(): void {
    const ready = this.#waiters.filter(({ done }) => done());
    this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter));
    for (const { resolve } of ready) resolve();
  }
}
