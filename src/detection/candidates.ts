/**
 * @module Which rules could match an event: by its logsource, worked out once for each distinct
 * one.
 */

import type { Logsource } from "../event/event.ts";
import type { CompiledRule } from "../sigma/sigma.ts";

/** The rules worth trying on an event. A superset of those that match; the fewer, the faster. */
export type Candidates = (logsource: Logsource) => readonly CompiledRule[];

/**
 * Feeds know some thirty logsources, but plugins bring names of their own, and those come from
 * outside.
 */
const logsourcesMax = 1_000;

/**
 * Rules whose logsource allows the event's. Past 1,000 distinct logsources the answer is worked out
 * each time.
 */
export function candidatesByLogsource(rules: readonly CompiledRule[]): Candidates {
  const known = new Map<string, readonly CompiledRule[]>();
  return (logsource) => {
    const { product = "", category = "", service = "" } = logsource;
    const key = `${product}|${category}|${service}`;
    const cached = known.get(key);
    if (cached !== undefined) return cached;
    const allowed = rules.filter(({ rule }) => allows(rule.logsource, logsource));
    // A name with the separator in it could pass for another logsource.
    const isPlain = key.split("|").length === 3;
    if (isPlain && known.size < logsourcesMax) known.set(key, allowed);
    return allowed;
  };
}

/** Whether each key the rule sets equals the event's. */
export function allows(rule: Logsource, event: Logsource): boolean {
  return (
    (rule.product === undefined || rule.product === event.product) &&
    (rule.category === undefined || rule.category === event.category) &&
    (rule.service === undefined || rule.service === event.service)
  );
}
