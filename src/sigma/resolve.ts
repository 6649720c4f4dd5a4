/** @module Names to ids: ties correlations to the rules they wait for, over all that is loaded. */

import { type Problem, shown } from "../error.ts";
import { nearest } from "../nearest.ts";
import type { CorrelationRule, Rule } from "./correlation.ts";
import { type ParsedRules, withoutDuplicates } from "./parse.ts";

/**
 * The rules with each correlation's `rules` and alias keys as ids, in the order given. Reports and
 * leaves out: the later of two rules with one id or name, a correlation that names a rule which is
 * not there (or was itself left out) or names one twice, and correlations that wait for each other.
 */
export function resolveRules(rules: readonly Rule[]): ParsedRules {
  const distinct = withoutDuplicates(rules, []);
  const names = new Names(distinct.rules);
  const problems = [...distinct.problems];
  const loaded = new Set<string>();
  const waiting = new Map<string, CorrelationRule>();
  for (const rule of distinct.rules) {
    if (rule.kind === "detection") loaded.add(rule.id);
    else waiting.set(rule.id, withIds(rule, names));
  }
  const resolved = new Map(waiting);

  // Round by round, those that wait for nothing unsettled: a circle never gets its turn.
  for (let settled = -1; settled !== 0; ) {
    settled = 0;
    for (const [id, rule] of waiting) {
      if (rule.rules.some((reference) => waiting.has(reference))) continue;
      waiting.delete(id);
      settled++;
      const faults = faultsOf(rule, loaded, names);
      problems.push(...faults);
      if (faults.length === 0) loaded.add(id);
    }
  }
  for (const rule of waiting.values()) {
    const circular = rule.rules.filter((reference) => waiting.has(reference));
    problems.push({
      code: "rule-invalid",
      place: rule.place,
      expected: "correlations that do not wait for each other",
      found: shown(circular.join(", ")),
    });
  }
  const kept = distinct.rules.filter(({ id }) => loaded.has(id));
  return { rules: kept.map((rule) => resolved.get(rule.id) ?? rule), problems };
}

/** Ids by name. Where a name equals another rule's id, the id wins. */
class Names {
  readonly #ids = new Set<string>();
  readonly #idByName = new Map<string, string>();

  constructor(rules: readonly Rule[]) {
    for (const { id, name } of rules) {
      this.#ids.add(id);
      if (name !== undefined) this.#idByName.set(name, id);
    }
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  idOf(reference: string): string {
    return this.#ids.has(reference) ? reference : (this.#idByName.get(reference) ?? reference);
  }

  nearest(reference: string): string | undefined {
    return nearest(reference, [...this.#idByName.keys(), ...this.#ids]);
  }
}

function withIds(rule: CorrelationRule, names: Names): CorrelationRule {
  const aliases = new Map<string, ReadonlyMap<string, string>>();
  for (const [alias, fields] of rule.aliases) {
    aliases.set(alias, new Map([...fields].map(([name, field]) => [names.idOf(name), field])));
  }
  return { ...rule, rules: rule.rules.map((reference) => names.idOf(reference)), aliases };
}

/** Every rule it waits for is settled: loaded, refused, or not there at all. */
function faultsOf(
  rule: CorrelationRule,
  loaded: ReadonlySet<string>,
  names: Names,
): readonly Problem[] {
  const { place } = rule;
  const faults: Problem[] = [];
  const code = "rule-reference-unknown";
  for (const reference of rule.rules) {
    if (loaded.has(reference)) continue;
    const found = `'${shown(reference)}'`;
    const near = names.has(reference) ? undefined : names.nearest(reference);
    const expected = near === undefined ? "the id or name of a loaded rule" : `'${shown(near)}'`;
    const why = names.has(reference) ? ", which has a problem itself" : "";
    faults.push({ code, place, expected, found: `${found}${why}` });
  }
  if (new Set(rule.rules).size < rule.rules.length) {
    const found = "one rule under its id and its name";
    faults.push({ code: "rule-invalid", place, expected: "each rule named once", found });
  }
  return faults;
}
