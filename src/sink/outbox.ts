/**
 * @module The outbox: what was promised to sinks and not yet delivered, and what was delivered, in
 * State.
 *
 * The tables are the truth. The lanes (pending rows by sink and incident, in order) only say where
 * to look: a key in them whose row is gone belongs to a batch that was rolled back and is forgotten
 * when it is met.
 */

import type { Notice } from "../alert/alert.ts";
import type { EpochMs } from "../clock.ts";
import type { State, StateTable } from "../state/state.ts";
import { keptNotice } from "./evidence.ts";
import type { Delivery, DeliveryStatus } from "./model.ts";
import { giveUpMs, waitMs } from "./retry.ts";

/**
 * A promise that is still owed. `order` counts promises: within a lane the lower one goes first.
 */
export interface PendingRow extends DeliveryStatus {
  readonly order: number;
  readonly notice: Notice;
}

/** What a row came to, told once, for metrics and the log. */
export interface Settled {
  readonly row: DeliveryStatus;
  readonly as: "delivered" | "rejected" | "gave-up" | "superseded" | "refused-full";
}

export interface OutboxSettings {
  readonly state: State;
  /** Names of the sinks there are. */
  readonly sinks: readonly string[];
  /** Most rows of one sink that are sent at one time. */
  readonly concurrencyMax: number;
  /** Most pending rows per sink. */
  readonly queueMax: number;
  /** How long a settled row is kept, to know a repeated promise again. */
  readonly keepDeliveredMs: number;
  /** Most settled rows kept, oldest let go first. */
  readonly settledMax: number;
}

/** Keys of one incident's pending rows at one sink, in the order of their promises. */
type Lane = string[];

export function rowKey(noticeKey: string, sink: string): string {
  return `${noticeKey}\u0000${sink}`;
}

export class Outbox {
  readonly #settings: OutboxSettings;
  readonly #pending: StateTable<PendingRow>;
  readonly #settled: StateTable<DeliveryStatus>;
  readonly #lanes = new Map<string, Map<string, Lane>>();
  readonly #busy = new Map<string, string>();
  #news: Settled[] = [];
  /** Rows that came or changed since they were last taken, by key. */
  #changed = new Map<string, DeliveryStatus>();
  #order = 0;

  constructor(settings: OutboxSettings) {
    this.#settings = settings;
    this.#pending = settings.state.table<PendingRow>("pending");
    this.#settled = settings.state.table<DeliveryStatus>("settled");
    this.rebuild();
  }

  /** Makes the lanes anew from the tables: at start, and after a change that could not be saved. */
  rebuild(): void {
    this.#lanes.clear();
    this.#news = [];
    this.#changed.clear();
    const rows = [...this.#pending.entries()].sort(([, a], [, b]) => a.order - b.order);
    for (const [key, row] of rows) this.#laneOf(row.sink, row.incidentId).push(key);
    this.#order = Math.max(this.#order, (rows.at(-1)?.[1].order ?? -1) + 1);
  }

  /** Owes `notice` to `sink`, unless it was ever promised before. True when this is new. */
  promise(notice: Notice, sink: string, now: EpochMs): boolean {
    const key = rowKey(notice.key, sink);
    if (this.#pending.get(key) !== undefined || this.#settled.get(key) !== undefined) return false;
    const row: PendingRow = {
      noticeKey: notice.key,
      sink,
      incidentId: notice.incident.id,
      kind: notice.kind,
      status: "pending",
      retries: 0,
      promisedAt: now,
      dueAt: now,
      order: this.#order++,
      notice: keptNotice(notice),
    };
    if (this.#isFull(sink) && !this.#makeRoom(row, now)) {
      return true;
    }
    this.#put(key, row);
    const lane = this.#laneOf(sink, row.incidentId);
    if (!lane.includes(key)) lane.push(key);
    return true;
  }

  /**
   * The due rows of a sink that may be sent now, pages first, then by order; at most the head of
   * each lane, and none of a lane that is busy. Older updates behind which a newer one waits are
   * superseded on the way.
   */
  pick(sink: string, now: EpochMs): readonly PendingRow[] {
    const heads: PendingRow[] = [];
    for (const [incidentId, lane] of this.#lanes.get(sink) ?? []) {
      const rows = this.#collapsed(lane, now);
      if (rows.length === 0) this.#lanes.get(sink)?.delete(incidentId);
      const head = rows[0];
      if (head === undefined || head.dueAt > now) continue;
      if (!lane.some((key) => this.#busy.has(key))) heads.push(head);
    }
    const rank = (row: PendingRow) => (row.kind === "page" ? 0 : 1);
    heads.sort((a, b) => rank(a) - rank(b) || a.order - b.order);
    return heads.slice(0, this.#slotsOf(sink));
  }

  /** Marks a row as being sent; not saved, so after a crash it is simply due again. */
  begin(row: PendingRow): void {
    this.#busy.set(rowKey(row.noticeKey, row.sink), row.sink);
  }

  end(row: PendingRow): void {
    this.#busy.delete(rowKey(row.noticeKey, row.sink));
  }

  /** Puts down what came of one try. Again for the same row: nothing. */
  settle(tried: PendingRow, delivery: Delivery, now: EpochMs): void {
    const row = this.#pending.get(rowKey(tried.noticeKey, tried.sink));
    if (row === undefined || row.retries !== tried.retries) return;
    if (delivery.kind === "delivered") {
      const { receipt } = delivery;
      this.#close(
        { ...row, status: "delivered", ...(receipt === undefined ? {} : { receipt }) },
        now,
      );
    } else if (delivery.kind === "rejected") {
      this.#close({ ...row, status: "rejected", reason: delivery.reason }, now);
    } else if (now - row.promisedAt >= giveUpMs) {
      this.#giveUp(row, delivery.reason, now);
    } else {
      const retries = row.retries + 1;
      const key = rowKey(row.noticeKey, row.sink);
      const dueAt = now + waitMs(key, retries, delivery.afterMs);
      this.#put(key, { ...row, retries, dueAt, reason: delivery.reason });
    }
  }

  /** Gives up what is owed to sinks that are no longer configured, and lets old settled rows go. */
  expire(now: EpochMs): void {
    const known = new Set(this.#settings.sinks);
    for (const [, row] of [...this.#pending.entries()]) {
      // Not at once: a mistake in the configuration that is put right the same day loses nothing.
      if (known.has(row.sink) || now - row.promisedAt < giveUpMs) continue;
      this.#giveUp(row, "no such sink is configured", now);
    }
    const settled = [...this.#settled.entries()];
    settled.sort(([, a], [, b]) => (a.settledAt ?? 0) - (b.settledAt ?? 0));
    const surplus = settled.length - this.#settings.settledMax;
    for (const [index, [key, row]] of settled.entries()) {
      const old = now - (row.settledAt ?? 0) > this.#settings.keepDeliveredMs;
      if (old || index < surplus) this.#settled.delete(key);
    }
  }

  /**
   * When `pick` next has a row to give, unless an attempt ends before; undefined when only that can
   * change it.
   */
  nextDue(): EpochMs | undefined {
    let next: EpochMs | undefined;
    for (const sink of this.#settings.sinks) {
      if (this.#slotsOf(sink) === 0) continue;
      for (const lane of this.#lanes.get(sink)?.values() ?? []) {
        const head = this.#rowsOf(lane)[0];
        if (head === undefined || lane.some((key) => this.#busy.has(key))) continue;
        next = Math.min(next ?? Number.POSITIVE_INFINITY, head.dueAt);
      }
    }
    return next;
  }

  /** The rows still owed to a sink. */
  pendingOf(sink: string): readonly PendingRow[] {
    return [...(this.#lanes.get(sink)?.values() ?? [])].flatMap((lane) => this.#rowsOf(lane));
  }

  /** What was settled since the last call. */
  takeNews(): readonly Settled[] {
    const news = this.#news;
    this.#news = [];
    return news;
  }

  /** How far each row has come that came or changed since the last call. */
  takeChanged(): readonly DeliveryStatus[] {
    const changed = [...this.#changed.values()];
    this.#changed.clear();
    return changed;
  }

  get settledCount(): number {
    return this.#settled.size;
  }

  #put(key: string, row: PendingRow): void {
    this.#pending.put(key, row);
    this.#changed.set(key, statusOf(row));
  }

  #slotsOf(sink: string): number {
    const busy = [...this.#busy.values()].filter((name) => name === sink);
    return Math.max(0, this.#settings.concurrencyMax - busy.length);
  }

  #laneOf(sink: string, incidentId: string): Lane {
    const lanes = this.#lanes.get(sink) ?? new Map<string, Lane>();
    this.#lanes.set(sink, lanes);
    const lane = lanes.get(incidentId) ?? [];
    lanes.set(incidentId, lane);
    return lane;
  }

  #isFull(sink: string): boolean {
    let keys = 0;
    for (const lane of this.#lanes.get(sink)?.values() ?? []) keys += lane.length;
    // Keys of rolled back batches count too until they are met; only a full queue looks closer.
    const { queueMax } = this.#settings;
    return keys >= queueMax && this.pendingOf(sink).length >= queueMax;
  }

  #rowsOf(lane: Lane): PendingRow[] {
    return lane.flatMap((key) => this.#pending.get(key) ?? []);
  }

  /**
   * The lane's rows after forgetting keys without a row and superseding all waiting updates but the
   * newest.
   */
  #collapsed(lane: Lane, now: EpochMs): readonly PendingRow[] {
    const waiting = this.#rowsOf(lane).filter(
      (row) => row.kind === "update" && !this.#busy.has(rowKey(row.noticeKey, row.sink)),
    );
    const newest = waiting.pop();
    if (newest !== undefined && waiting.length > 0) {
      // The newest waits as long as the ones it replaces had to: the service asked for that wait.
      const dueAt = Math.max(newest.dueAt, ...waiting.map((row) => row.dueAt));
      this.#pending.put(rowKey(newest.noticeKey, newest.sink), { ...newest, dueAt });
      for (const row of waiting) {
        this.#close({ ...row, status: "superseded", reason: "a newer update took its place" }, now);
      }
    }
    const kept = lane.filter((key) => this.#pending.get(key) !== undefined);
    lane.splice(0, lane.length, ...kept);
    return this.#rowsOf(lane);
  }

  /**
   * Whether `row` may be queued at a full sink: a page takes the place of the oldest waiting
   * update.
   */
  #makeRoom(row: PendingRow, now: EpochMs): boolean {
    const waiting = this.pendingOf(row.sink).filter(
      (other) => other.kind === "update" && !this.#busy.has(rowKey(other.noticeKey, other.sink)),
    );
    waiting.sort((a, b) => a.order - b.order);
    const oldest = row.kind === "page" ? waiting[0] : undefined;
    const loser = oldest ?? row;
    this.#close({ ...loser, status: "rejected", reason: "outbox full" }, now, "refused-full");
    return oldest !== undefined;
  }

  #giveUp(row: PendingRow, reason: string, now: EpochMs): void {
    this.#close({ ...row, status: "rejected", reason: `gave up: ${reason}` }, now, "gave-up");
  }

  #close(row: PendingRow, now: EpochMs, as?: Settled["as"]): void {
    const key = rowKey(row.noticeKey, row.sink);
    const status = { ...statusOf(row), settledAt: now };
    this.#pending.delete(key);
    this.#settled.put(key, status);
    this.#changed.set(key, status);
    if (row.status !== "pending") this.#news.push({ row: status, as: as ?? row.status });
  }
}

/** A row without the notice, which is kept only while it is owed. */
function statusOf(row: PendingRow): DeliveryStatus {
  const { notice: _notice, order: _order, ...status } = row;
  return status;
}
