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
  type Key = string | undefined;
  const known = new Map<Key, Map<Key, Map<Key, readonly CompiledRule[]>>>();
  let count = 0;
  return (logsource) => {
    const { product, category, service } = logsource;
    const cached = known.get(product)?.get(category)?.get(service);
    if (cached !== undefined) return cached;
    const allowed = rules.filter(({ rule }) => allows(rule.logsource, logsource));
    if (count < logsourcesMax) {
      count += 1;
      const categories = known.get(product) ?? new Map<Key, Map<Key, readonly CompiledRule[]>>();
      const services = categories.get(category) ?? new Map<Key, readonly CompiledRule[]>();
      known.set(product, categories.set(category, services.set(service, allowed)));
    }
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
