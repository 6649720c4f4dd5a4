/**
 * @module Change: one match or lineage change on its way through the incidents, and what it brought
 * about.
 */

import type { EpochMs } from "../clock.ts";
import type { Match } from "../detection/detection.ts";
import { runKey } from "../event/build.ts";
import type { Lineage, Taint } from "../lineage/lineage.ts";
import { type Correction, correctIncident } from "./correct.ts";
import {
  bySurvival,
  incidentId,
  listAlert,
  mergeIncidents,
  openIncident,
  taintKey,
} from "./incident.ts";
import { buildsOf, type CausalKeys, causalKeysOf, isSuspicious, rankOf } from "./match.ts";
import { type AlertMemory, type AlertRecord, holderOf, survivorOf } from "./memory.ts";
import type { AlertChange, Incident } from "./model.ts";
import { outcomeOf } from "./outcome.ts";
import type { PageAgeMaxOf } from "./page-age.ts";
import { taintKeys } from "./ties.ts";

/** Latest holders of a token that are looked at. */
const holdersMax = 16;
/** From this level on an alert makes its run the likely leak of a token it held. */
const leakRank = rankOf("high");

export interface ChangeSettings {
  readonly memory: AlertMemory;
  readonly lineage: Lineage;
  readonly pageAgeMaxOf: PageAgeMaxOf;
  /** How near in time matches without a build must be to share an incident by their place. */
  readonly placeMs: number;
}

export interface AttachOptions {
  /** The alert is new, or has a run it had not: its runs become suspicious. */
  readonly isNews: boolean;
  /** An incident it belongs to whatever its keys say. */
  readonly with?: string;
}

/** Holds what one change touched, from its first step to `finish`; used once. */
export class Change {
  readonly #settings: ChangeSettings;
  readonly #now: EpochMs;
  readonly #alerts = new Set<string>();
  /** Incidents touched, with what they were before; undefined for one opened now. */
  readonly #before = new Map<string, Incident | undefined>();
  readonly #taints = new Map<string, Taint[]>();
  readonly #corrected = new Set<string>();
  #cause: { readonly alertId: string; readonly match: Match } | undefined;

  constructor(settings: ChangeSettings, now: EpochMs) {
    this.#settings = settings;
    this.#now = now;
  }

  /** Saves the alert and counts its revision. */
  save(record: AlertRecord): AlertRecord {
    const saved = { ...record, revision: record.revision + 1 };
    this.#settings.memory.alerts.put(saved.id, saved);
    this.#alerts.add(saved.id);
    return saved;
  }

  /**
   * Gives the alert its incident by everything the match is tied to; merges what that ties
   * together.
   */
  attach(alert: AlertRecord, match: Match, how: AttachOptions): void {
    const { memory, lineage } = this.#settings;
    this.#cause = { alertId: alert.id, match };
    const keys = causalKeysOf(match);
    const taints = buildsOf(match).flatMap((build) => lineage.taintsOf(runKey(build)));
    const strong = [...keys.runs, ...keys.causes, ...taintKeys(taints)];
    const ids = new Set<string>();
    this.#add(ids, this.#living(alert.incidentId));
    if (how.with !== undefined) this.#add(ids, this.#living(how.with));
    for (const key of strong) this.#add(ids, holderOf(memory, key));
    if (keys.place !== undefined) this.#add(ids, this.#nearby(keys.place, match.occurredAt));
    for (const token of keys.tokens) this.#addHolders(ids, token, match.occurredAt);
    for (const event of match.events) {
      const seen = memory.unplaced.get(event.id);
      if (seen !== undefined) this.#add(ids, this.#living(seen.incident));
    }
    if (how.isNews && rankOf(match.rule.level) >= leakRank) {
      for (const build of buildsOf(match)) this.#addNamedTokens(ids, runKey(build));
    }
    const id = ids.size > 0 ? this.#merge([...ids]) : this.#open(alert);
    this.#touch(id);
    if (survivorOf(memory, alert.incidentId) !== id) this.#list(id, alert.id);
    this.#learn(id, taints);
    this.#claim(id, strong, match);
    this.#claimOwn(id, keys, match);
    this.#noteUnplaced(id, keys, match);
    if (!how.isNews || !isSuspicious(match)) return;
    for (const build of buildsOf(match)) {
      this.relink(lineage.suspect(runKey(build), match.occurredAt));
    }
  }

  /**
   * The alert had a wrong run: its incident is corrected, and told of if it was paged. Answers the
   * alert, without an incident if it left its own.
   */
  correct(correction: Correction): AlertRecord {
    const { memory } = this.#settings;
    const { alert, before } = correction;
    const held = memory.incidents.get(survivorOf(memory, before.incidentId));
    if (held === undefined) return alert;
    const { id, pagedAt } = held.incident;
    this.#touch(id);
    if (pagedAt !== undefined) this.#corrected.add(id);
    const { record, leaves } = correctIncident(this.#settings, held, correction);
    memory.incidents.put(id, record);
    if (!leaves) return alert;
    const free = { ...alert, incidentId: "" };
    memory.alerts.put(free.id, free);
    return free;
  }

  /** Incidents of these runs learn their origins and merge with those that share them. */
  relink(runs: readonly string[]): void {
    const { memory, lineage } = this.#settings;
    for (const run of runs) {
      const held = holderOf(memory, `run:${run}`);
      if (held === undefined) continue;
      const taints = lineage.taintsOf(run);
      const keys = taintKeys(taints);
      const ids = new Set([held]);
      for (const key of keys) this.#add(ids, holderOf(memory, key));
      const level = memory.causes.get(`run:${run}`)?.level;
      if (level !== undefined && rankOf(level) >= leakRank) this.#addNamedTokens(ids, run);
      const id = this.#merge([...ids]);
      const known = new Set(memory.incidents.get(id)?.incident.origins.map(taintKey));
      if (taints.some((taint) => !known.has(taintKey(taint)))) this.#touch(id);
      this.#learn(id, taints);
      this.#claim(id, keys);
    }
  }

  /** Saves the incidents as they are now; answers all that changed and the notices owed. */
  finish(): AlertChange {
    return outcomeOf({
      ...this.#settings,
      now: this.#now,
      alertIds: this.#alerts,
      before: this.#before,
      taints: this.#taints,
      corrected: this.#corrected,
      cause: this.#cause,
    });
  }

  #noteUnplaced(incident: string, keys: CausalKeys, match: Match): void {
    if (keys.place === undefined) return;
    const { unplaced } = this.#settings.memory;
    for (const { id } of match.events) unplaced.put(id, { incident, touchedAt: this.#now });
  }

  #living(id: string): string | undefined {
    const { memory } = this.#settings;
    const survivor = survivorOf(memory, id);
    return memory.incidents.get(survivor) === undefined ? undefined : survivor;
  }

  #add(ids: Set<string>, id: string | undefined): void {
    if (id !== undefined) ids.add(id);
  }

  /** The incident of the same place, if its latest event is near enough. */
  #nearby(place: string, at: EpochMs): string | undefined {
    const { memory, placeMs } = this.#settings;
    const cause = memory.causes.get(place);
    if (cause === undefined || Math.abs(at - cause.seenAt) > placeMs) return undefined;
    return holderOf(memory, place);
  }

  /** Incidents of suspicious runs that held the token: one of them leaked it. */
  #addHolders(ids: Set<string>, token: string, at: EpochMs): void {
    const { memory, lineage } = this.#settings;
    for (const build of lineage.holdersOf(token, at).slice(0, holdersMax)) {
      const key = `run:${runKey(build)}`;
      const level = memory.causes.get(key)?.level;
      if (level !== undefined && rankOf(level) >= leakRank) this.#add(ids, holderOf(memory, key));
    }
  }

  /** The other way round: incidents that name a token this run held. */
  #addNamedTokens(ids: Set<string>, run: string): void {
    const { memory, lineage } = this.#settings;
    for (const [token, named] of memory.tokens.entries()) {
      const id = survivorOf(memory, named.incident);
      if (ids.has(id) || memory.incidents.get(id) === undefined) continue;
      const holders = lineage.holdersOf(token, named.at).slice(0, holdersMax);
      if (holders.some((build) => runKey(build) === run)) ids.add(id);
    }
  }

  #open(alert: AlertRecord): string {
    const { incidents, merged } = this.#settings.memory;
    const id = incidentId(alert, (taken) => {
      return incidents.get(taken) !== undefined || merged.get(taken) !== undefined;
    });
    this.#before.set(id, undefined);
    incidents.put(id, openIncident(alert, { id, now: this.#now }));
    return id;
  }

  #touch(id: string): void {
    if (this.#before.has(id)) return;
    this.#before.set(id, this.#settings.memory.incidents.get(id)?.incident);
  }

  /** Makes one incident of these; answers which. */
  #merge(ids: readonly string[]): string {
    const { memory } = this.#settings;
    const records = ids.flatMap((id) => memory.incidents.get(id) ?? []).sort(bySurvival);
    const [survivor, ...others] = records;
    if (survivor === undefined) throw new TypeError("a merge of no incident");
    const { id } = survivor.incident;
    if (others.length === 0) return id;
    this.#touch(id);
    let merged = survivor;
    for (const other of others) {
      merged = mergeIncidents(merged, other);
      const goneId = other.incident.id;
      memory.incidents.delete(goneId);
      memory.merged.put(goneId, { into: id, touchedAt: this.#now });
      this.#learn(id, this.#taints.get(goneId) ?? []);
      this.#before.delete(goneId);
      if (this.#corrected.delete(goneId)) this.#corrected.add(id);
      for (const alertId of other.incident.alertIds) this.#place(alertId, id);
    }
    memory.incidents.put(id, merged);
    return id;
  }

  #list(id: string, alertId: string): void {
    const { memory } = this.#settings;
    const [record, alert] = [memory.incidents.get(id), this.#place(alertId, id)];
    if (record === undefined || alert === undefined) return;
    memory.incidents.put(
      id,
      listAlert(record, alert, (listed) => memory.alerts.get(listed)),
    );
  }

  #place(alertId: string, incidentId: string): AlertRecord | undefined {
    const alert = this.#settings.memory.alerts.get(alertId);
    if (alert === undefined || alert.incidentId === incidentId) return alert;
    if (!this.#alerts.has(alertId)) return this.save({ ...alert, incidentId });
    // Counted in this change already.
    const placed = { ...alert, incidentId };
    this.#settings.memory.alerts.put(alertId, placed);
    return placed;
  }

  #learn(id: string, taints: readonly Taint[]): void {
    this.#taints.set(id, [...(this.#taints.get(id) ?? []), ...taints]);
  }

  /** The keys lead to this incident from now on. */
  #claim(id: string, keys: readonly string[], match?: Match): void {
    const { causes } = this.#settings.memory;
    for (const key of keys) {
      const cause = causes.get(key);
      const seenAt = Math.max(cause?.seenAt ?? 0, match?.occurredAt ?? 0);
      causes.put(key, { ...cause, incident: id, seenAt, touchedAt: this.#now });
    }
  }

  /**
   * The keys that stand for more than a link: the run's own level, the place with its time, the
   * tokens named.
   */
  #claimOwn(id: string, keys: CausalKeys, match: Match): void {
    const { causes, tokens } = this.#settings.memory;
    const { level } = match.rule;
    for (const key of keys.runs) {
      const cause = causes.get(key);
      if (cause === undefined) continue;
      const higher = cause.level === undefined || rankOf(level) > rankOf(cause.level);
      if (higher) causes.put(key, { ...cause, level });
    }
    if (keys.place !== undefined) {
      const cause = causes.get(keys.place);
      // A late match of long ago must not take the place from the incident that is going on.
      if (cause === undefined || cause.seenAt <= match.occurredAt || this.#holds(keys.place, id)) {
        this.#claim(id, [keys.place], match);
      }
    }
    for (const token of keys.tokens) {
      const at = Math.max(tokens.get(token)?.at ?? 0, match.occurredAt);
      tokens.put(token, { incident: id, at, touchedAt: this.#now });
    }
  }

  #holds(key: string, id: string): boolean {
    return holderOf(this.#settings.memory, key) === id;
  }
}
