/**
 * @module Who saved, restored, published or used what and when: the edges of the graph, by thing
 * and by run.
 */

import type { EpochMs } from "../clock.ts";
import type { LineageKind } from "./lineage-fact.ts";

/** A fact with its run by key; as it stands in State. */
export interface Edge {
  /** Event, kind and thing: one fact. */
  readonly key: string;
  readonly kind: LineageKind;
  readonly thing: string;
  readonly run: string;
  readonly at: EpochMs;
  readonly job?: string;
  readonly step?: string;
}

interface Thing {
  /** In order of time. */
  readonly saves: Edge[];
  readonly restores: Edge[];
  /** Publications and uses. */
  readonly others: Edge[];
  lastAt: EpochMs;
}

interface Links {
  readonly saves: Set<Edge>;
  readonly restores: Set<Edge>;
  readonly others: Set<Edge>;
}

/** Answered where there is nothing; never written to. */
const nothing: ReadonlySet<Edge> = new Set();
const noEdges: readonly Edge[] = [];

/** Keeps no bound of its own: the graph evicts. */
export class Edges {
  readonly #byKey = new Map<string, Edge>();
  readonly #things = new Map<string, Thing>();
  readonly #links = new Map<string, Links>();

  get thingCount(): number {
    return this.#things.size;
  }

  /** `edge.key` must be new. */
  add(edge: Edge): void {
    this.#byKey.set(edge.key, edge);
    const thing = this.#things.get(edge.thing) ?? {
      saves: [],
      restores: [],
      others: [],
      lastAt: edge.at,
    };
    this.#things.set(edge.thing, thing);
    thing.lastAt = Math.max(thing.lastAt, edge.at);
    const list = thing[listOf(edge.kind)];
    list.splice(indexAfter(list, edge), 0, edge);
    const links = this.#links.get(edge.run) ?? {
      saves: new Set<Edge>(),
      restores: new Set<Edge>(),
      others: new Set<Edge>(),
    };
    this.#links.set(edge.run, links);
    links[listOf(edge.kind)].add(edge);
  }

  remove(key: string): void {
    const edge = this.#byKey.get(key);
    if (edge === undefined) return;
    this.#byKey.delete(key);
    const thing = this.#things.get(edge.thing);
    if (thing !== undefined) {
      const list = thing[listOf(edge.kind)];
      const index = list.indexOf(edge);
      if (index >= 0) list.splice(index, 1);
      const { saves, restores, others } = thing;
      if (saves.length + restores.length + others.length === 0) this.#things.delete(edge.thing);
    }
    const links = this.#links.get(edge.run);
    links?.[listOf(edge.kind)].delete(edge);
    if (links !== undefined && links.saves.size + links.restores.size + links.others.size === 0) {
      this.#links.delete(edge.run);
    }
  }

  /** What stood in the thing at `time`: the save that came last. */
  contentAt(thing: string, time: EpochMs): Edge | undefined {
    const saves = this.#things.get(thing)?.saves ?? noEdges;
    return saves[lowerBound(saves, time + 1) - 1];
  }

  /** Restores that read what this save put there: until the next save of the thing. */
  readersOf(save: Edge): readonly Edge[] {
    const thing = this.#things.get(save.thing);
    if (thing === undefined) return [];
    const index = thing.saves.findIndex((other) => other.key === save.key);
    const next = thing.saves[index + 1];
    const from = lowerBound(thing.restores, save.at);
    const to = next === undefined ? thing.restores.length : lowerBound(thing.restores, next.at);
    return thing.restores.slice(from, to);
  }

  savesOf(run: string): Iterable<Edge> {
    return this.#links.get(run)?.saves ?? nothing;
  }

  restoresOf(run: string): Iterable<Edge> {
    return this.#links.get(run)?.restores ?? nothing;
  }

  edgesOfRun(run: string): readonly Edge[] {
    const links = this.#links.get(run);
    return links === undefined ? [] : [...links.saves, ...links.restores, ...links.others];
  }

  edgesOfThing(thing: string): readonly Edge[] {
    const found = this.#things.get(thing);
    return found === undefined ? [] : [...found.saves, ...found.restores, ...found.others];
  }

  /** Publications and uses of a thing, in order of time. */
  othersOf(thing: string): readonly Edge[] {
    return this.#things.get(thing)?.others ?? noEdges;
  }

  /** The oldest edge of the same list when it has more than `max`. */
  overflow(edge: Edge, max: number): Edge | undefined {
    const list = this.#things.get(edge.thing)?.[listOf(edge.kind)] ?? noEdges;
    return list.length > max ? list[0] : undefined;
  }

  /** Things with the time they were last touched. */
  *ages(): Iterable<readonly [string, EpochMs]> {
    for (const [name, thing] of this.#things) yield [name, thing.lastAt];
  }
}

function listOf(kind: LineageKind): "saves" | "restores" | "others" {
  if (kind === "cache-saved") return "saves";
  return kind === "cache-restored" ? "restores" : "others";
}

/** Index of the first edge at or after `time`. */
function lowerBound(edges: readonly Edge[], time: EpochMs): number {
  let low = 0;
  let high = edges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((edges[middle]?.at ?? 0) < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where an edge belongs: by time, then by key, so that arrival order leaves no trace. */
function indexAfter(edges: readonly Edge[], edge: Edge): number {
  let index = lowerBound(edges, edge.at + 1);
  for (; index > 0; index--) {
    const before = edges[index - 1];
    if (before === undefined || before.at < edge.at || before.key < edge.key) break;
  }
  return index;
}
