/** @module What a rule says, after parsing: plain data with the place of all that can be wrong. */

export const levels = ["informational", "low", "medium", "high", "critical"] as const;
export type Level = (typeof levels)[number];

export interface Logsource {
  readonly product?: string;
  readonly category?: string;
  readonly service?: string;
}

/** What Sigma lacks, under the one key `pipewarden:`; other Sigma tools ignore it. */
export interface PipewardenExtension {
  /**
   * True: an alert of this rule wakes someone. Default false: it is kept, shown and joined to
   * incidents.
   */
  readonly page: boolean;
  /** One sentence with `{field.name}` placeholders; starts the page. */
  readonly reason?: string;
  /** What a person does now, in order. */
  readonly response: readonly string[];
  /** Path or URL of the runbook. */
  readonly runbook?: string;
  /**
   * Alerts with equal values of these fields fold into one. Default: the run, else the place it
   * happened.
   */
  readonly dedupe: readonly string[];
  /** How long after the last match a further one still folds, in ms. Default one hour. */
  readonly dedupeMs: number;
  /** What else the alert belongs to: field names whose values are causal keys, by kind. */
  readonly causes: Readonly<Record<string, string>>;
}

/** What every rule document carries. */
export interface RuleMeta {
  readonly id: string;
  readonly name?: string;
  readonly title: string;
  readonly description: string;
  readonly level: Level;
  readonly status: string;
  readonly tags: readonly string[];
  readonly references: readonly string[];
  readonly falsePositives: readonly string[];
  readonly pipewarden: PipewardenExtension;
  /** `path:line` of the document. */
  readonly place: string;
}

/** A detection: search identifiers and the condition over them. */
export interface DetectionRule extends RuleMeta {
  readonly kind: "detection";
  readonly logsource: Logsource;
  /** The `detection:` section; `condition` may be a list (OR). */
  readonly detection: DetectionSection;
}

export interface DetectionSection {
  readonly searches: ReadonlyMap<string, Search>;
  readonly condition: Condition;
}

/** What one search identifier holds. */
export type Search =
  | { readonly kind: "all"; readonly parts: readonly Search[] } // a map, or keywords with |all
  | { readonly kind: "any"; readonly parts: readonly Search[] } // a list
  | { readonly kind: "field"; readonly field: string; readonly test: ValueTest }
  | { readonly kind: "keyword"; readonly test: ValueTest };

/** One field's values and modifiers, as written. */
export interface ValueTest {
  readonly modifiers: readonly string[];
  readonly values: readonly (string | number | boolean | null)[];
  readonly place: string;
}

export type Condition =
  | { readonly kind: "search"; readonly name: string }
  | { readonly kind: "not"; readonly of: Condition }
  | { readonly kind: "and" | "or"; readonly of: readonly Condition[] };
