/** @module The correlations of one rule set over their windows in State. */

import { dayMs, type EpochMs, hourMs } from "../clock.ts";
import {
  fillReason,
  type Match,
  type MatchedRule,
  matchedRule,
  matchId,
  type Ruleset,
} from "../detection/detection.ts";
import type { CorrelationRule } from "../sigma/sigma.ts";
import type { StateTable } from "../state/state.ts";
import { aggregateOf } from "./aggregate.ts";
import type {
  CorrelatedMatch,
  CorrelationSettings,
  EvictedFact,
  WindowedCorrelation,
} from "./correlate-contract.ts";
import { type Entry, entryOf, type GroupRow, isJoined } from "./entry.ts";
import { createRouter, type RoutedMatch, type Router, valuesOf } from "./group-key.ts";
import { DueHeap } from "./sorted.ts";
import { type Episode, GroupWindow, type WindowRows, type WindowSettings } from "./window.ts";

/** A rule with its groups, least recently touched first. */
interface RuleState {
  readonly rule: CorrelationRule;
  readonly snapshot: MatchedRule;
  readonly settings: WindowSettings;
  readonly groups: Map<string, GroupState>;
}

interface GroupState {
  window: GroupWindow;
  /** When it is next looked at; an earlier entry in the heap with another time is stale. */
  dueAt: EpochMs;
}

interface Due {
  readonly correlation: string;
  readonly groupKey: string;
  readonly at: EpochMs;
}

/** What one step may cost: the least for an entry that expires, most for a match that is shown. */
const stepCostMax = 5_000;
const groupCost = 10;
const shownCost = 50;

/**
 * Rows of a rule that is gone are kept this much longer than its windows: a broken file must not
 * cost 30 days.
 */
const orphanGraceMs = 7 * dayMs;

/**
 * Correlates over what State holds. Indexes are built here from the rows, so after a `rollback` of
 * the State make a new one. Results are the same for any arrival order of the same matches as far
 * as they are still kept (coverage.ts), with one id per episode: rule, group and the episode's
 * first match. A late match before the first one gives the episode another id; alerts fold both by
 * rule and group.
 */
export function createCorrelation(settings: CorrelationSettings): WindowedCorrelation {
  return new Windows(settings);
}

class Windows implements WindowedCorrelation {
  readonly #ruleset: Ruleset;
  readonly #route: Router;
  readonly #rules = new Map<string, RuleState>();
  readonly #due = new DueHeap<Due>();
  readonly #entries: StateTable<Entry>;
  readonly #groups: StateTable<GroupRow>;
  readonly #clock: StateTable<EpochMs>;
  readonly #groupsMax: number;
  readonly #onEvicted: (fact: EvictedFact) => void;
  #watermark: EpochMs;
  #behind = false;

  constructor(settings: CorrelationSettings) {
    const { ruleset, state, latenessMs = hourMs } = settings;
    const { groupsMax = 100_000, entriesMax = 20_000 } = settings;
    this.#ruleset = ruleset;
    this.#route = createRouter(ruleset);
    this.#groupsMax = groupsMax;
    this.#onEvicted = settings.onEvicted ?? (() => {});
    this.#entries = state.table("correlation.windows");
    this.#groups = state.table("correlation.groups");
    this.#clock = state.table("correlation.clock");
    this.#watermark = this.#clock.get("watermark") ?? Number.NEGATIVE_INFINITY;
    for (const rule of ruleset.correlations) {
      const aggregate = aggregateOf(rule);
      this.#rules.set(rule.id, {
        rule,
        snapshot: matchedRule(rule),
        settings: {
          aggregate,
          timespanMs: rule.timespanMs,
          keepMs: rule.timespanMs + latenessMs,
          entriesMax: Math.max(entriesMax, aggregate.threshold),
          byRule: rule.type === "temporal" || rule.type === "temporal_ordered",
          byValue: rule.type === "value_count",
        },
        groups: new Map(),
      });
    }
    this.#load();
    // Not told by what is due: a late group waits for the next watermark, also over a restart.
    this.#behind = this.#clock.get("behind") !== undefined;
  }

  get isBehind(): boolean {
    return this.#behind;
  }

  routes(match: Match): readonly RoutedMatch[] {
    return this.#route(match);
  }

  apply(routed: RoutedMatch): readonly CorrelatedMatch[] {
    const state = this.#rules.get(routed.correlation);
    // The rule left the rule set while its matches were on the way.
    if (state === undefined) return [];
    if (!this.#behind) return this.#put(state, routed);
    const before = this.#broughtUp(state, routed.groupKey);
    return [...before, ...this.#put(state, routed)];
  }

  #put(
    state: RuleState,
    { correlation, groupKey, group, match }: RoutedMatch,
  ): readonly CorrelatedMatch[] {
    const { rule, settings } = state;
    const known = this.#entries.get(rowKey(correlation, groupKey, match.id));
    if (known !== undefined) return this.#again(state, groupKey, { known, match });
    if (match.occurredAt + settings.keepMs < this.#watermark) return this.#late(correlation);
    const held = this.#groupState(state, groupKey, group);
    if (held.window.isGone(match.occurredAt)) return this.#late(correlation);
    const { field } = rule.condition;
    const values =
      field === undefined ? undefined : valuesOf(this.#ruleset, { rule, match, name: field });
    const entry = this.#superseding(held, entryOf(match, values));
    const { episode, dropped } = held.window.add(entry);
    if (dropped > 0) this.#onEvicted({ correlation, reason: "group-full", count: dropped });
    this.#schedule({ correlation, groupKey }, held);
    return this.#shown(state, groupKey, { window: held.window, episodes: asList(episode) });
  }

  advance(watermark: EpochMs): readonly CorrelatedMatch[] {
    if (watermark <= this.#watermark) return [];
    this.#watermark = watermark;
    this.#clock.put("watermark", watermark);
    // A batch may bring many watermarks: only the first of them does what one step may cost.
    return this.#behind ? [] : this.goOn();
  }

  goOn(): readonly CorrelatedMatch[] {
    const shown: CorrelatedMatch[] = [];
    const expired = new Map<string, number>();
    let cost = 0;
    while (cost < stepCostMax && this.#isDue()) {
      const due = this.#due.pop();
      const state = due && this.#rules.get(due.correlation);
      const held = due && state?.groups.get(due.groupKey);
      if (due === undefined || state === undefined || held?.dueAt !== due.at) continue;
      const done = this.#settle(state, { groupKey: due.groupKey, held });
      shown.push(...done.shown);
      expired.set(due.correlation, (expired.get(due.correlation) ?? 0) + done.expired);
      cost += groupCost + done.expired + shownCost * done.shown.length;
    }
    const behind = this.#isDue();
    if (behind && !this.#behind) this.#clock.put("behind", this.#watermark);
    if (!behind && this.#behind) this.#clock.delete("behind");
    this.#behind = behind;
    for (const [correlation, count] of expired) {
      if (count > 0) this.#onEvicted({ correlation, reason: "expired", count });
    }
    return shown;
  }

  #isDue(): boolean {
    return (this.#due.next() ?? Number.POSITIVE_INFINITY) < this.#watermark;
  }

  /** What time has brought about for one group; it stays due when that is very much. */
  #settle(
    state: RuleState,
    { groupKey, held }: { groupKey: string; held: GroupState },
  ): { readonly shown: readonly CorrelatedMatch[]; readonly expired: number } {
    const { window } = held;
    const episodes = window.close(this.#watermark);
    const shown = this.#shown(state, groupKey, { window, episodes });
    const expired = window.expire(this.#watermark, stepCostMax);
    held.dueAt = Number.NaN;
    if (window.isOver) this.#forget(state, groupKey);
    else this.#schedule({ correlation: state.rule.id, groupKey }, held);
    return { shown, expired };
  }

  /** Before a match is put: its group, and what stands in the way of a new one. */
  #broughtUp(state: RuleState, groupKey: string): readonly CorrelatedMatch[] {
    const held = state.groups.get(groupKey);
    if (held === undefined) return state.groups.size >= this.#groupsMax ? this.goOn() : [];
    if (!(held.dueAt < this.#watermark)) return [];
    const { shown, expired } = this.#settle(state, { groupKey, held });
    const correlation = state.rule.id;
    if (expired > 0) this.#onEvicted({ correlation, reason: "expired", count: expired });
    return shown;
  }

  standing(): readonly Match[] {
    return [...this.#rules.values()].flatMap((state) =>
      [...state.groups].flatMap(([groupKey, { window }]) =>
        this.#shown(state, groupKey, { window, episodes: window.episodes() }).map(
          ({ match }) => match,
        ),
      ),
    );
  }

  #again(
    state: RuleState,
    groupKey: string,
    { known, match }: { known: Entry; match: Match },
  ): readonly CorrelatedMatch[] {
    const held = state.groups.get(groupKey);
    if (held === undefined) return [];
    const correlation = state.rule.id;
    const fresh = entryOf(match, known.values);
    // Another version of an episode may by now have grown over one that was separate before.
    const swallowed = held.window.overlapping(fresh).filter(({ id }) => id !== known.id);
    if (swallowed.length > 0) {
      held.window = held.window.without(new Set(swallowed.map(({ id }) => id)));
    }
    if (known.joined === true || !isJoined(match)) return [];
    // When it happened stays as it was first told; only what is known of it grows.
    const { events: _slim, ...slim } = known;
    const joined = { ...slim, joined: true };
    const kept = known.events === undefined || fresh.events === undefined;
    const entry = kept ? joined : { ...joined, events: fresh.events };
    const episode = held.window.replace(entry);
    this.#schedule({ correlation, groupKey }, held);
    return this.#shown(state, groupKey, { window: held.window, episodes: asList(episode) });
  }

  /**
   * A correlation's episode that got an earlier first match comes under a new id. It replaces what
   * its group showed for that time before, or the outer correlation would count one episode twice.
   * It keeps the earlier time of completion.
   */
  #superseding(held: GroupState, entry: Entry): Entry {
    const earlier = held.window.overlapping(entry);
    if (earlier.length === 0) return entry;
    held.window = held.window.without(new Set(earlier.map(({ id }) => id)));
    return { ...entry, at: Math.min(entry.at, ...earlier.map(({ at }) => at)) };
  }

  #late(correlation: string): readonly CorrelatedMatch[] {
    this.#onEvicted({ correlation, reason: "late", count: 1 });
    return [];
  }

  #groupState(state: RuleState, groupKey: string, group: Match["group"]): GroupState {
    const known = state.groups.get(groupKey);
    if (known !== undefined) {
      // Last in the map is most recently touched.
      state.groups.delete(groupKey);
      state.groups.set(groupKey, known);
      return known;
    }
    if (state.groups.size >= this.#groupsMax) this.#evictGroup(state);
    const row: GroupRow = { group, keepMs: state.settings.keepMs, segments: [], closed: [] };
    const rows = this.#rowsOf(state.rule.id, groupKey);
    rows.putGroup(row);
    const window = new GroupWindow(state.settings, rows, { row, entries: [] });
    const added = { window, dueAt: Number.NaN };
    state.groups.set(groupKey, added);
    return added;
  }

  #evictGroup(state: RuleState): void {
    const [oldest] = state.groups;
    if (oldest === undefined) return;
    const [groupKey, { window }] = oldest;
    const count = window.clear();
    this.#forget(state, groupKey);
    this.#onEvicted({ correlation: state.rule.id, reason: "groups-full", count });
  }

  #forget(state: RuleState, groupKey: string): void {
    state.groups.delete(groupKey);
    this.#groups.delete(groupRowKey(state.rule.id, groupKey));
  }

  #schedule(of: { correlation: string; groupKey: string }, held: GroupState): void {
    const at = held.window.due();
    // A later due time is found out when the earlier one comes up.
    if (held.dueAt <= at) return;
    held.dueAt = at;
    this.#due.push(at, { correlation: of.correlation, groupKey: of.groupKey, at });
  }

  #shown(
    state: RuleState,
    groupKey: string,
    { window, episodes }: { window: GroupWindow; episodes: readonly Episode[] },
  ): readonly CorrelatedMatch[] {
    const alerts = this.#ruleset.alerts(state.rule.id);
    return episodes.map((episode) => {
      const { anchor, count, evidence, last } = episode;
      const latest = evidence.at(-1);
      const { group } = window;
      const receivedAt = Math.max(last.receivedAt, ...evidence.map((event) => event.receivedAt));
      const match: Match = {
        id: matchId(state.rule.id, groupKey, anchor),
        rule: state.snapshot,
        reason: fillReason(state.rule, { group, ...(latest === undefined ? {} : { latest }) }),
        occurredAt: last.at,
        receivedAt,
        group,
        events: evidence,
        eventCount: count,
      };
      return { match, alerts };
    });
  }

  #rowsOf(correlation: string, groupKey: string): WindowRows {
    return {
      putEntry: (entry) => this.#entries.put(rowKey(correlation, groupKey, entry.id), entry),
      deleteEntry: (id) => this.#entries.delete(rowKey(correlation, groupKey, id)),
      putGroup: (row) => this.#groups.put(groupRowKey(correlation, groupKey), row),
    };
  }

  #load(): void {
    const kept = new Map<string, Entry[]>();
    for (const [key, entry] of this.#entries.entries()) {
      const group = key.slice(0, key.lastIndexOf("\0"));
      const known = kept.get(group);
      if (known === undefined) kept.set(group, [entry]);
      else known.push(entry);
    }
    const loaded: { state: RuleState; groupKey: string; window: GroupWindow }[] = [];
    for (const [key, row] of [...this.#groups.entries()]) {
      const [correlation, groupKey] = splitGroupKey(key);
      const entries = kept.get(key) ?? [];
      const state = this.#rules.get(correlation);
      const rows = this.#rowsOf(correlation, groupKey);
      if (state === undefined) {
        this.#expireOrphan({ key, row, entries, rows });
        continue;
      }
      const window = new GroupWindow(state.settings, rows, { row, entries });
      loaded.push({ state, groupKey, window });
    }
    // What was touched last is not recorded; the newest entry comes close.
    loaded.sort((left, right) => left.window.newestAt - right.window.newestAt);
    for (const { state, groupKey, window } of loaded) {
      const held = { window, dueAt: Number.NaN };
      state.groups.set(groupKey, held);
      this.#schedule({ correlation: state.rule.id, groupKey }, held);
    }
  }

  #expireOrphan(orphan: {
    readonly key: string;
    readonly row: GroupRow;
    readonly entries: readonly Entry[];
    readonly rows: WindowRows;
  }): void {
    const newest = Math.max(...orphan.entries.map(({ at }) => at));
    if (newest + orphan.row.keepMs + orphanGraceMs >= this.#watermark) return;
    for (const { id } of orphan.entries) orphan.rows.deleteEntry(id);
    this.#groups.delete(orphan.key);
  }
}

function asList<T>(value: T | undefined): readonly T[] {
  return value === undefined ? [] : [value];
}

// Rule ids and the JSON of a group hold no NUL, so these keys fall apart in one way only.
function groupRowKey(correlation: string, groupKey: string): string {
  return `${correlation}\0${groupKey}`;
}

function rowKey(correlation: string, groupKey: string, id: string): string {
  return `${correlation}\0${groupKey}\0${id}`;
}

function splitGroupKey(key: string): [correlation: string, groupKey: string] {
  const cut = key.indexOf("\0");
  return [key.slice(0, cut), key.slice(cut + 1)];
}
