/**
 * @module One group's memory over event time, bounded in time and size, and the episodes it shows.
 */

import type { EpochMs } from "../clock.ts";
import type { Event } from "../event/event.ts";
import type { Aggregate } from "./aggregate.ts";
import { Closing } from "./closing.ts";
import { Coverage } from "./coverage.ts";
import { Entries, type EntriesSettings } from "./entries.ts";
import { type ClosedWindow, type Entry, type GroupRow, type Segment, slimOf } from "./entry.ts";
import { FullEntries } from "./evidence.ts";
import { remainderWith } from "./remainder.ts";

/** Where a window's changes are kept. */
export interface WindowRows {
  putEntry(entry: Entry): void;
  deleteEntry(id: string): void;
  putGroup(row: GroupRow): void;
}

export interface WindowSettings extends EntriesSettings {
  readonly aggregate: Aggregate;
  readonly timespanMs: number;
  /** How long an entry is kept after its time: timespan and lateness. */
  readonly keepMs: number;
  readonly entriesMax: number;
}

/** What a group shows: the entries that make the condition hold. */
export interface Episode {
  /** Id of the first match of it: gives the result its id. */
  readonly anchor: string;
  readonly count: number;
  readonly last: Entry;
  readonly evidence: readonly Event[];
}

export class GroupWindow {
  readonly #settings: WindowSettings;
  readonly #rows: WindowRows;
  readonly #entries: Entries;
  readonly #full = new FullEntries();
  readonly #coverage: Coverage;
  readonly #closing: Closing | undefined;
  #row: GroupRow;
  #weighted = false;

  /** A group as State has it: its row and its entries, in any order. */
  constructor(
    settings: WindowSettings,
    rows: WindowRows,
    kept: { row: GroupRow; entries: Entry[] },
  ) {
    const { aggregate, timespanMs } = settings;
    this.#settings = settings;
    this.#rows = rows;
    this.#row = kept.row;
    this.#entries = new Entries(settings);
    const parts = { aggregate, timespanMs, entries: this.#entries };
    this.#coverage = new Coverage(parts);
    this.#closing = aggregate.waits
      ? new Closing({ ...parts, closed: kept.row.closed })
      : undefined;
    this.#load(kept.entries);
  }

  get group(): GroupRow["group"] {
    return this.#row.group;
  }

  /** Whether nothing is left that a further match could have to do with. */
  get isOver(): boolean {
    return this.#entries.length === 0 && (this.#closing?.closed.length ?? 0) === 0;
  }

  get newestAt(): EpochMs {
    return this.#entries.newest?.at ?? Number.NEGATIVE_INFINITY;
  }

  /** When, by the watermark, something is next to be done: entries expire or a window is over. */
  due(): EpochMs {
    const oldest = this.#entries.oldest?.at ?? this.#closing?.closed.at(-1)?.to;
    const expiry = (oldest ?? Number.NEGATIVE_INFINITY) + this.#settings.keepMs;
    return Math.min(expiry, this.#closing?.due() ?? Infinity);
  }

  /**
   * Whether an entry of this time would belong to what went because the group was full, or to a
   * closed window of which a part is gone.
   */
  isGone(at: EpochMs): boolean {
    if (this.#row.floor !== undefined && at < this.#row.floor) return true;
    return this.#closing?.at(at)?.partial === true;
  }

  /**
   * Puts a new entry; answers the episode it belongs to, and how many entries went to make room.
   */
  add(entry: Entry): { episode: Episode | undefined; dropped: number } {
    this.#put(entry);
    this.#rows.putEntry(entry);
    this.#demote();
    let reopened: ClosedWindow | undefined;
    if (this.#closing === undefined) this.#coverage.extend(entry.at);
    else reopened = this.#closing.reopened(entry);
    if (reopened !== undefined) this.#save();
    const dropped = this.#makeRoom();
    return { episode: this.episodeAt(entry.at), dropped };
  }

  /** Puts another version of an entry in its place; answers the episode it belongs to. */
  replace(entry: Entry): Episode | undefined {
    this.#entries.replace(entry);
    this.#full.replace(entry);
    this.#rows.putEntry(entry);
    return this.episodeAt(entry.at);
  }

  /**
   * Takes entries away that turned out to be earlier versions of another. Rare: starts the group
   * anew.
   */
  without(ids: ReadonlySet<string>): GroupWindow {
    const entries = [...this.#entries].filter(({ id }) => !ids.has(id));
    for (const id of ids) this.#rows.deleteEntry(id);
    return new GroupWindow(this.#settings, this.#rows, { row: this.#row, entries });
  }

  /** Entries of correlations whose episode touches [from, to], for the same rule and group. */
  overlapping(of: Entry): readonly Entry[] {
    const { episode } = of;
    if (episode === undefined) return [];
    return [...this.#entries].filter(
      (entry) =>
        entry.rule === of.rule &&
        entry.episode?.group === episode.group &&
        entry.episode.from <= of.at &&
        entry.at >= episode.from,
    );
  }

  /** Closes what the watermark has passed; answers what then holds. */
  close(watermark: EpochMs): readonly Episode[] {
    if (this.#closing === undefined) return [];
    const before = this.#closing.closed.length;
    const held = this.#closing.close(watermark);
    if (this.#closing.closed.length !== before) this.#save();
    return held.flatMap((window) => this.#closedEpisode(window) ?? []);
  }

  /** Lets go of what is older than is kept, so many entries at most; answers how many went. */
  expire(watermark: EpochMs, most: number): number {
    let horizon = watermark - this.#settings.keepMs;
    const old = this.#entries.firstAt(horizon);
    const count = Math.min(old, most);
    // As far as if time had only come to the first that stays.
    if (count < old) horizon = this.#entries.at(count)?.at ?? horizon;
    if (count > 0) this.#drop(count, horizon);
    else if (this.#entries.length === 0) this.#closing?.trim(horizon);
    return count;
  }

  /** Lets go of everything. */
  clear(): number {
    const count = this.#entries.length;
    for (const { id } of this.#entries) this.#rows.deleteEntry(id);
    return count;
  }

  /** The episode or closed window that holds and covers a stamp. */
  episodeAt(stamp: EpochMs): Episode | undefined {
    if (this.#closing === undefined) return this.#coveredEpisode(this.#coverage.episodeAt(stamp));
    const window = this.#closing.at(stamp);
    if (window === undefined || !this.#closing.holds(window)) return undefined;
    return this.#closedEpisode(window);
  }

  /** Every episode that stands now, oldest first. */
  episodes(): readonly Episode[] {
    const stamps = this.#closing?.closed.map(({ from }) => from) ?? this.#coverage.episodeStamps();
    return stamps.flatMap((stamp) => this.episodeAt(stamp) ?? []);
  }

  #load(entries: readonly Entry[]): void {
    for (const entry of [...entries].sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1))) {
      this.#put(entry);
    }
    if (this.#closing !== undefined) return;
    for (const segment of this.#row.segments) this.#coverage.cover(segment);
    this.#coverage.extendAll();
    this.#coverage.trim();
  }

  #put(entry: Entry): void {
    this.#entries.add(entry);
    this.#full.add(entry);
    this.#weighted ||= entry.weight !== undefined;
  }

  #demote(): void {
    const newest = this.newestAt;
    const running = this.#coverage.episodeAt(this.#coverage.segments.at(-1)?.to ?? newest)[0]?.from;
    const floor = Math.min(running ?? newest, newest - this.#settings.timespanMs);
    const spare = this.#full.demote(floor);
    if (spare === undefined) return;
    const slim = slimOf(spare);
    this.#entries.replace(slim);
    this.#rows.putEntry(slim);
  }

  #makeRoom(): number {
    const { entriesMax } = this.#settings;
    if (this.#entries.length <= entriesMax) return 0;
    // A hundredth at once, so that a full group does not pay for each further entry.
    const count = this.#entries.length - entriesMax + Math.floor(entriesMax / 100);
    const floor = this.#entries.at(count - 1)?.at;
    this.#row = { ...this.#row, ...(floor === undefined ? {} : { floor }) };
    this.#drop(count, floor ?? Number.NEGATIVE_INFINITY);
    return count;
  }

  #drop(count: number, horizon: EpochMs): void {
    const dropped = this.#entries.dropFront(count);
    const covered = this.#coverage.segments.length > 0;
    let { remainder } = this.#row;
    for (const entry of dropped) {
      this.#rows.deleteEntry(entry.id);
      if (covered && this.#coverage.segmentAt(entry.at) !== undefined) {
        remainder = remainderWith(remainder, entry, this.#settings.timespanMs);
      }
    }
    this.#full.remove(dropped);
    this.#coverage.trim();
    this.#closing?.trim(horizon, dropped.at(-1)?.at);
    this.#row = { ...this.#row, ...(remainder === undefined ? {} : { remainder }) };
    if (!this.isOver) this.#save();
  }

  #save(): void {
    const { segments } = this.#coverage;
    this.#row = { ...this.#row, segments, closed: this.#closing?.closed ?? [] };
    this.#rows.putGroup(this.#row);
  }

  #coveredEpisode(segments: readonly Segment[]): Episode | undefined {
    const [first, last] = [segments[0], segments.at(-1)];
    if (first === undefined || last === undefined) return undefined;
    const { remainder } = this.#row;
    const isContinued =
      remainder !== undefined && first.from - remainder.to <= this.#settings.timespanMs;
    const anchor = isContinued ? remainder.anchor : this.#firstIdAt(first.from);
    return this.#episode({
      anchor,
      segments,
      to: last.to,
      ...(isContinued ? { before: remainder.first, countBefore: remainder.count } : {}),
    });
  }

  #closedEpisode(window: ClosedWindow): Episode | undefined {
    return this.#episode({ anchor: window.anchor, segments: [window], to: window.to });
  }

  #firstIdAt(stamp: EpochMs): string | undefined {
    return this.#entries.at(this.#entries.firstAt(stamp))?.id;
  }

  #episode(shown: {
    readonly anchor: string | undefined;
    readonly segments: readonly Segment[];
    readonly to: EpochMs;
    readonly before?: readonly Entry[];
    readonly countBefore?: number;
  }): Episode | undefined {
    const last = this.#entries.at(this.#entries.firstAfter(shown.to) - 1);
    if (last === undefined || shown.anchor === undefined) return undefined;
    let count = shown.countBefore ?? 0;
    for (const segment of shown.segments) {
      if (!this.#weighted) count += this.#entries.count(segment.from, segment.to);
      else for (const entry of this.#entries.within(segment)) count += entry.weight ?? 1;
    }
    const covers = ({ at }: Entry) => shown.segments.some(({ from, to }) => from <= at && at <= to);
    return {
      anchor: shown.anchor,
      count,
      last,
      evidence: this.#full.evidence(shown.before ?? [], covers),
    };
  }
}
