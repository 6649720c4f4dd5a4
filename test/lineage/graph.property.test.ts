import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type BuildContext, isUntrusted, runKey } from "../../src/event/build.ts";
import { createLineage, type LineageFact } from "../../src/lineage/lineage.ts";
import { emptyState } from "../../src/state/memory.ts";
import { build, outsider, restored, saved } from "./fixture.ts";

const runs: readonly BuildContext[] = [
  outsider("0"),
  outsider("1", { pullRequest: 50 }),
  ...["2", "3", "4", "5", "6"].map((runId) => build(runId)),
];

/** Distinct moments, so that "before" needs no tie-break in the model. */
const story = fc
  .array(
    fc.record({
      save: fc.boolean(),
      run: fc.nat({ max: runs.length - 1 }),
      thing: fc.constantFrom("a", "b", "c"),
    }),
    { minLength: 2, maxLength: 14 },
  )
  .map((steps) =>
    steps.map(({ save, run, thing }, index): LineageFact => {
      return (save ? saved : restored)(runs[run]!, thing, index);
    }),
  );

interface Applied {
  readonly taints: unknown;
  readonly origins: ReadonlyMap<string, ReadonlySet<string>>;
  readonly silent: readonly string[];
}

/** The taints after all facts, and runs whose taints changed without being answered. */
function applied(
  facts: readonly LineageFact[],
  suspects: readonly { readonly run: string; readonly before: number }[] = [],
): Applied {
  const graph = createLineage({ state: emptyState() });
  const shown = (): Map<string, string> =>
    new Map(runs.map((run) => [runKey(run), JSON.stringify(graph.taintsOf(runKey(run)))]));
  const silent: string[] = [];
  let before = shown();
  const note = (answered: readonly string[]): void => {
    const after = shown();
    for (const [run, text] of after) {
      if (text !== before.get(run) && !answered.includes(run)) silent.push(run);
    }
    before = after;
  };
  for (const [index, fact] of facts.entries()) {
    for (const suspect of suspects.filter((one) => one.before === index)) {
      note(graph.suspect(suspect.run, 5));
    }
    note(graph.apply(fact));
  }
  for (const suspect of suspects.filter((one) => one.before >= facts.length)) {
    note(graph.suspect(suspect.run, 5));
  }
  const origins = new Map(
    runs.map((run): [string, ReadonlySet<string>] => {
      return [runKey(run), new Set(graph.taintsOf(runKey(run)).map((one) => runKey(one.origin)))];
    }),
  );
  return { taints: [...before], origins, silent };
}

/** The story told in order of time: content carries the origins its saver had at that moment. */
function model(facts: readonly LineageFact[], suspect?: string): ReadonlyMap<string, Set<string>> {
  const held = new Map(runs.map((run) => [runKey(run), new Set<string>()]));
  const contents = new Map<string, { saver: string; origins: ReadonlySet<string> }>();
  for (const fact of facts) {
    const run = runKey(fact.run);
    const mine = held.get(run)!;
    if (fact.kind === "cache-saved") {
      const own = isUntrusted(fact.run) || run === suspect ? [run] : [];
      contents.set(fact.thing, { saver: run, origins: new Set([...mine, ...own]) });
      continue;
    }
    const content = contents.get(fact.thing);
    if (content === undefined || content.saver === run) continue;
    for (const origin of content.origins) if (origin !== run) mine.add(origin);
  }
  return held;
}

describe("lineage", () => {
  it("finds what the story told in order of time finds, in whatever order it is told", () => {
    fc.assert(
      fc.property(
        story.chain((facts) =>
          fc.tuple(
            fc.constant(facts),
            fc.shuffledSubarray(facts, { minLength: facts.length }),
            fc.array(fc.constantFrom(...facts), { maxLength: 4 }),
          ),
        ),
        ([facts, shuffled, again]) => {
          const straight = applied(facts);
          const other = applied([...shuffled, ...again]);
          expect(straight.origins).toEqual(model(facts));
          expect(other.taints).toEqual(straight.taints);
          expect([...straight.silent, ...other.silent]).toEqual([]);
        },
      ),
      { seed: 5, numRuns: 400 },
    );
  });

  it("does not depend on when a run is suspected", () => {
    fc.assert(
      fc.property(story, fc.constantFrom(...runs), fc.nat({ max: 14 }), (facts, run, before) => {
        const suspect = { run: runKey(run), before };
        const result = applied(facts, [suspect]);
        expect(result.origins).toEqual(model(facts, suspect.run));
        expect(result.taints).toEqual(applied(facts, [{ ...suspect, before: 0 }]).taints);
        expect(result.silent).toEqual([]);
      }),
      { seed: 6, numRuns: 300 },
    );
  });
});
