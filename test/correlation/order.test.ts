import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Match, matchId } from "../../src/detection/detection.ts";
import {
  Bench,
  type CorrelationText,
  type Happening,
  outerId,
  rulesetOf,
  second,
  start,
} from "./bench-rule.ts";

/**
 * One event of a generated stream: small numbers, so that stamps, values and windows collide often.
 */
interface Drop {
  readonly action: "a" | "b" | "c";
  /** Seconds. */
  readonly at: number;
  readonly repository: "x" | "y" | "z";
  readonly actor: "ann" | "bob";
}

const drop: fc.Arbitrary<Drop> = fc.record({
  action: fc.constantFrom("a", "b", "c"),
  at: fc.integer({ min: 0, max: 60 }),
  repository: fc.constantFrom("x", "y", "z"),
  actor: fc.constantFrom("ann", "bob"),
});
const stream = fc.array(drop, { maxLength: 24, size: "max" });

const timespan = 10;
const rules: readonly { readonly name: string; readonly text: CorrelationText }[] = [
  { name: "event_count gte 3", text: count(["gte: 3"]) },
  { name: "event_count gt 1", text: count(["gt: 1"]) },
  { name: "value_count gte 2", text: value(["gte: 2"]) },
  { name: "value_count gte 3", text: value(["gte: 3"]) },
  { name: "temporal", text: temporal("temporal") },
  { name: "temporal gte 2", text: { ...temporal("temporal"), condition: ["gte: 2"] } },
  { name: "temporal_ordered", text: temporal("temporal_ordered") },
  {
    name: "temporal_ordered gte 2",
    text: { ...temporal("temporal_ordered"), condition: ["gte: 2"] },
  },
];
const waiting: readonly { readonly name: string; readonly text: CorrelationText }[] = [
  { name: "event_count lt 3", text: count(["lt: 3"]) },
  { name: "event_count eq 2", text: count(["eq: 2"]) },
  { name: "value_count neq 2", text: value(["neq: 2"]) },
  { name: "temporal lte 1", text: { ...temporal("temporal"), condition: ["lte: 1"] } },
];

function count(condition: readonly string[]): CorrelationText {
  return { type: "event_count", rules: ["a", "b"], timespan: `${timespan}s`, condition };
}

function value(condition: readonly string[]): CorrelationText {
  const lines = ["field: repo", ...condition];
  return { type: "value_count", rules: ["a", "b"], timespan: `${timespan}s`, condition: lines };
}

function temporal(type: string): CorrelationText {
  return { type, rules: ["a", "b", "c"], timespan: `${timespan}s` };
}

function happening({ action, at, repository, actor }: Drop, index: number): Happening {
  const fields = { "user.name": actor, "vcs.repository.name": repository };
  return { action, at: at * second, id: String(index).padStart(3, "0"), fields };
}

// The oracle: the definition of coverage.ts over the whole stream at once, by brute force.

interface Placed extends Drop {
  readonly matchId: string;
}

function measured(text: CorrelationText, window: readonly Placed[]): number {
  switch (text.type) {
    case "event_count":
      return window.length;
    case "value_count":
      return new Set(window.map(({ repository }) => repository)).size;
    case "temporal":
      return new Set(window.map(({ action }) => action)).size;
    default:
      return longestChain(window);
  }
}

/** Every subset of the rules, in order, tried greedily and without any cleverness. */
function longestChain(window: readonly Placed[]): number {
  const subsets = [["a", "b", "c"], ["a", "b"], ["a", "c"], ["b", "c"], ["a"], ["b"], ["c"]];
  const held = subsets.filter((subset) => hasChain(subset, window));
  return Math.max(0, ...held.map(({ length }) => length));
}

function hasChain([action, ...rest]: readonly string[], window: readonly Placed[]): boolean {
  if (action === undefined) return true;
  return window.some(
    (step) =>
      step.action === action &&
      hasChain(
        rest,
        window.filter(({ at }) => at >= step.at),
      ),
  );
}

function bound(text: CorrelationText, key: string): number | undefined {
  const line = text.condition?.find((candidate) => candidate.startsWith(`${key}:`));
  return line === undefined ? undefined : Number(line.split(":")[1]);
}

function holds(text: CorrelationText, number: number): boolean {
  const least = text.type.startsWith("temporal") ? 3 : 1;
  const hasCondition = ["gt", "gte", "lt", "lte", "eq", "neq"].some(
    (key) => bound(text, key) !== undefined,
  );
  return (
    number > (bound(text, "gt") ?? -1) &&
    number >= (bound(text, "gte") ?? (hasCondition ? 0 : least)) &&
    number < (bound(text, "lt") ?? Infinity) &&
    number <= (bound(text, "lte") ?? Infinity) &&
    number === (bound(text, "eq") ?? number) &&
    number !== bound(text, "neq")
  );
}

function inTimeOrder(group: readonly Placed[]): readonly Placed[] {
  return group.toSorted(
    (left, right) => left.at - right.at || (left.matchId < right.matchId ? -1 : 1),
  );
}

function coveredEpisodes(text: CorrelationText, group: readonly Placed[]): Placed[][] {
  const whole = text.type === "temporal_ordered" && text.condition === undefined;
  const covered = new Set<Placed>();
  for (const { at } of group) {
    let window = group.filter((other) => other.at >= at - timespan && other.at <= at);
    if (!holds(text, measured(text, window))) continue;
    if (whole && !window.some((other) => other.action === "c" && other.at === at)) continue;
    if (whole) {
      const first = Math.min(...window.filter(({ action }) => action === "a").map((a) => a.at));
      window = window.filter((other) => other.at >= first);
    }
    for (const other of window) covered.add(other);
  }
  const episodes: Placed[][] = [];
  for (const placed of inTimeOrder(group)) {
    if (!covered.has(placed)) continue;
    const episode = episodes.at(-1);
    const last = episode?.at(-1);
    if (episode === undefined || last === undefined || placed.at - last.at > timespan) {
      episodes.push([placed]);
    } else episode.push(placed);
  }
  return episodes;
}

function closedWindows(text: CorrelationText, group: readonly Placed[]): Placed[][] {
  const windows: Placed[][] = [];
  let open: Placed[] | undefined;
  for (const placed of inTimeOrder(group)) {
    if (open?.[0] === undefined || placed.at > open[0].at + timespan) {
      open = [];
      windows.push(open);
    }
    open.push(placed);
  }
  return windows.filter((window) => holds(text, measured(text, window)));
}

interface Shown {
  readonly id: string;
  readonly count: number;
  readonly occurredAt: number;
  readonly group: string;
}

function oracle(
  text: CorrelationText,
  placed: readonly Placed[],
  episodesOf: typeof coveredEpisodes,
): Shown[] {
  const shown: Shown[] = [];
  for (const [group, members] of Map.groupBy(placed, ({ actor }) => actor)) {
    const own = members.filter(({ action }) => text.rules.includes(action));
    for (const episode of episodesOf(text, own)) {
      const [first, last] = [episode[0], episode.at(-1)];
      if (first === undefined || last === undefined) continue;
      const occurredAt = start + last.at * second;
      const id = matchId(outerId, JSON.stringify([group]), first.matchId);
      shown.push({ id, count: episode.length, occurredAt, group });
    }
  }
  return shown.toSorted(byGroupAndTime);
}

function byGroupAndTime(left: Shown, right: Shown): number {
  return left.group < right.group
    ? -1
    : left.group > right.group
      ? 1
      : left.occurredAt - right.occurredAt;
}

/** Matches in the oracle's terms. */
function shownOf(matches: readonly Match[]): Shown[] {
  return matches
    .map(({ id, eventCount, occurredAt, group }) => ({
      id,
      count: eventCount,
      occurredAt,
      group: group[0]?.[1] ?? "",
    }))
    .toSorted(byGroupAndTime);
}

function identities(matches: readonly Match[]): string[] {
  return matches
    .map((match) => {
      const events = match.events.map(({ id }) => id).join(",");
      return `${match.id} ${match.eventCount} ${match.reason} ${events}`;
    })
    .sort();
}

function shuffled(length: number): fc.Arbitrary<readonly number[]> {
  return fc.shuffledSubarray(
    Array.from({ length }, (_, index) => index),
    { minLength: length, maxLength: length },
  );
}

const ordered = stream.chain((drops) =>
  fc.tuple(
    fc.constant(drops),
    shuffled(drops.length),
    fc.array(fc.nat(24), { maxLength: 3 }),
    fc.array(fc.nat(23), { maxLength: 5 }),
  ),
);

const runs = { seed: 20_261_124, numRuns: 300 } as const;

describe("arrival order", () => {
  it.each(rules)("leaves no trace: $name", ({ text }) => {
    const ruleset = rulesetOf(text);
    fc.assert(
      fc.property(ordered, ([drops, order, restarts, repeats]) => {
        const happenings = drops.map(happening);
        const straight = new Bench(ruleset);
        const placed = drops.map((one, index) => {
          const matchId = straight.matchesOf(happening(one, index))[0]?.id ?? "";
          return { ...one, matchId };
        });
        for (const one of happenings) straight.push(one);
        const mixed = new Bench(ruleset);
        const emitted = new Map<string, Match>();
        for (const [step, index] of [...order, ...repeats].entries()) {
          if (restarts.includes(step)) mixed.restart();
          const one = happenings[index];
          for (const match of one === undefined ? [] : mixed.push(one))
            emitted.set(match.id, match);
        }
        const expected = oracle(text, placed, coveredEpisodes);
        expect(shownOf(straight.correlation.standing())).toEqual(expected);
        expect(identities(mixed.correlation.standing())).toEqual(
          identities(straight.correlation.standing()),
        );
        // What stands at the end was told, in its last form.
        const standingIds = mixed.correlation.standing();
        expect(identities(standingIds.flatMap(({ id }) => emitted.get(id) ?? []))).toEqual(
          identities(standingIds),
        );
      }),
      runs,
    );
  });

  it.each(waiting)("leaves no trace before the watermark: $name", ({ text }) => {
    const ruleset = rulesetOf(text);
    fc.assert(
      fc.property(ordered, ([drops, order, restarts, repeats]) => {
        const straight = new Bench(ruleset);
        const placed = drops.map((one, index) => {
          const matchId = straight.matchesOf(happening(one, index))[0]?.id ?? "";
          return { ...one, matchId };
        });
        for (const [index, one] of drops.entries()) straight.push(happening(one, index));
        const mixed = new Bench(ruleset);
        for (const [step, index] of [...order, ...repeats].entries()) {
          if (restarts.includes(step)) mixed.restart();
          const one = drops[index];
          if (one !== undefined) expect(mixed.push(happening(one, index))).toEqual([]);
        }
        const far = 200 * second;
        const shown = straight.advance(far);
        expect(shownOf(shown)).toEqual(oracle(text, placed, closedWindows));
        expect(identities(mixed.advance(far))).toEqual(identities(shown));
        expect(identities(mixed.correlation.standing())).toEqual(identities(shown));
      }),
      runs,
    );
  });

  it.each(rules)("leaves no trace while old entries go: $name", ({ text }) => {
    const ruleset = rulesetOf(text);
    // Over five minutes; arrivals up to 20 s out of order, entries kept 10 s + 20 s.
    const latenessMs = 20 * second;
    const late = fc.array(
      fc.tuple(
        drop.map((one) => ({ ...one, actor: "ann" as const })),
        fc.integer({ min: 0, max: 300 }),
        fc.integer({ min: 0, max: 20 }),
      ),
      { maxLength: 60, size: "max" },
    );
    fc.assert(
      fc.property(late, fc.array(fc.nat(60), { maxLength: 3 }), (stream, restarts) => {
        const drops = stream.map(([one, at]) => ({ ...one, at }));
        const arrivals = stream
          .map(([, at, delay], index) => ({ index, arrival: at + delay }))
          .toSorted((left, right) => left.arrival - right.arrival);
        const bench = new Bench(ruleset, { latenessMs });
        const placed = drops.map((one, index) => {
          const matchId = bench.matchesOf(happening(one, index))[0]?.id ?? "";
          return { ...one, matchId };
        });
        const told = new Map<string, Match>();
        let newest = 0;
        for (const [step, { index }] of arrivals.entries()) {
          if (restarts.includes(step)) bench.restart();
          const one = drops[index];
          if (one === undefined) continue;
          for (const match of bench.push(happening(one, index))) told.set(match.id, match);
          newest = Math.max(newest, one.at);
          bench.advance(newest * second - latenessMs);
        }
        expect(bench.facts.filter(({ reason }) => reason !== "expired")).toEqual([]);
        for (const { id, count } of oracle(text, placed, coveredEpisodes)) {
          expect([id, told.get(id)?.eventCount]).toEqual([id, count]);
        }
      }),
      runs,
    );
  });
});
