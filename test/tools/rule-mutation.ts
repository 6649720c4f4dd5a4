/** Changes to a rule's text that its tests must notice. */

import { dump, load } from "js-yaml";

/** A rule file as plain YAML, as far as the changes need it. */
export interface WrittenRule {
  author: string;
  date: string;
  status: string;
  detection?: Record<string, unknown> & { condition: string };
  correlation?: { "group-by": string[] };
}

export function changedRule(text: string, change: (rule: WrittenRule) => void): string {
  const rule = load(text) as WrittenRule;
  change(rule);
  return dump(rule);
}

/** No event has this field: a search for it never holds, and no match comes to a group by it. */
const noSuchField = "pipewarden.no.such.field";

/** The rule's condition can never hold. */
export function neverTrue({ detection, correlation }: WrittenRule): void {
  if (correlation !== undefined) correlation["group-by"] = [noSuchField];
  if (detection === undefined) return;
  const [search] = Object.keys(detection);
  detection.condition = `${search} and not ${search}`;
}

export function searchesOf({ detection }: WrittenRule): string[] {
  return Object.keys(detection ?? {}).filter((search) => search !== "condition");
}

/** The search stays a name that the condition may use, and holds for nothing. */
export function withoutSearch({ detection }: WrittenRule, search: string): void {
  if (detection !== undefined) detection[search] = { [noSuchField]: "never" };
}
