/**
 * @module What correlation tests share: rules as YAML text, events, and a bench that runs them over
 * State in memory.
 */

import type { EpochMs } from "../../src/clock.ts";
import {
  type CorrelationSettings,
  createCorrelation,
  type EvictedFact,
  type RoutedMatch,
  type WindowedCorrelation,
} from "../../src/correlation/correlation.ts";
import {
  createDetection,
  loadRuleset,
  type Match,
  type Ruleset,
} from "../../src/detection/detection.ts";
import { problemLine } from "../../src/error.ts";
import type { BuildContext } from "../../src/event/build.ts";
import type { Event, Fields } from "../../src/event/event.ts";
import { KeptState } from "../state/kept.ts";

export const second = 1_000;
export const minute = 60 * second;
export const hour = 60 * minute;
export const day = 24 * hour;
/** Where the timelines begin. */
export const start: EpochMs = Date.UTC(2026, 10, 24, 2, 0, 0);

/** Signals a, b and c: an event fires the one its `event.action` names. */
const signals = ["a", "b", "c"].map(
  (name, index) => `title: Signal ${name}
id: 00000000-0000-4000-8000-00000000000${index + 1}
name: ${name}
status: test
description: Fires on action ${name}.
level: low
logsource:
  product: github
  service: audit
detection:
  selection:
    action: ${name}
  condition: selection
`,
);

/** Id of a correlation that gives none. */
export const outerId = "10000000-0000-4000-8000-000000000001";

export interface CorrelationText {
  readonly name?: string;
  readonly id?: string;
  readonly type: string;
  readonly rules: readonly string[];
  readonly groupBy?: readonly string[];
  readonly timespan: string;
  /** Lines of the condition, such as `gte: 3`. */
  readonly condition?: readonly string[];
  /** Lines below `aliases:`. */
  readonly aliases?: readonly string[];
  readonly generate?: boolean;
  readonly reason?: string;
}

export function correlationYaml(text: CorrelationText): string {
  const { name = "outer", id = outerId } = text;
  const block = (key: string, lines: readonly string[] | undefined, indent: string) =>
    lines === undefined ? "" : `  ${key}:\n${lines.map((line) => `${indent}${line}\n`).join("")}`;
  const blocks = [
    block("rules", text.rules, "    - "),
    block("group-by", text.groupBy ?? ["actor"], "    - "),
    block("aliases", text.aliases, "    "),
    block("condition", text.condition, "    "),
  ];
  return `title: Correlation ${name}
id: ${id}
name: ${name}
status: test
description: Under test.
level: high
correlation:
  type: ${text.type}
${blocks.join("")}  timespan: ${text.timespan}
  generate: ${text.generate ?? false}
pipewarden:
  page: true
  reason: "${text.reason ?? "{user.name} did it"}"
`;
}

export function rulesetOf(...texts: readonly CorrelationText[]): Ruleset {
  const files = [...signals, ...texts.map(correlationYaml)].map((text, index) => ({
    path: `rules/${index}.yml`,
    text,
  }));
  const { ruleset, problems } = loadRuleset({ files, lists: new Map() });
  if (problems.length > 0) throw new Error(problems.map(problemLine).join("\n"));
  return ruleset;
}

export const build: BuildContext = {
  repository: "acme/shop",
  workflow: "nightly",
  runId: "7001",
  runAttempt: 1,
  runUrl: "https://github.example/acme/shop/actions/runs/7001",
  sha: "0".repeat(40),
  fork: false,
};

export interface Happening {
  readonly action: string;
  /** Ms after the start. */
  readonly at: number;
  readonly id?: string;
  readonly fields?: Fields;
  readonly build?: BuildContext;
}

export function eventOf({
  action,
  at,
  id = `${action}@${at}`,
  fields = {},
  build,
}: Happening): Event {
  return {
    id: `github-audit:${id}`,
    feed: "github-audit",
    logsource: { product: "github", service: "audit" },
    occurredAt: start + at,
    receivedAt: start + at + 250,
    timeSource: "feed",
    fields: { "event.action": action, "user.name": "mallory", ...fields },
    join: {},
    raw: "{}",
    ...(build === undefined ? {} : { build }),
  };
}

export class Bench {
  ruleset: Ruleset;
  readonly facts: EvictedFact[] = [];
  readonly #kept = new KeptState();
  readonly #settings: Partial<CorrelationSettings>;
  correlation: WindowedCorrelation;

  constructor(ruleset: Ruleset, settings: Partial<CorrelationSettings> = {}) {
    this.ruleset = ruleset;
    this.#settings = settings;
    this.correlation = this.#open();
  }

  #open(): WindowedCorrelation {
    return createCorrelation({
      ruleset: this.ruleset,
      state: this.#kept.state,
      latenessMs: 5 * minute,
      onEvicted: (fact) => this.facts.push(fact),
      ...this.#settings,
    });
  }

  /** As a crash right after a commit: everything in memory is gone, the State is read again. */
  restart(ruleset: Ruleset = this.ruleset): void {
    this.ruleset = ruleset;
    void this.#kept.state.commit();
    this.#kept.reopen();
    this.correlation = this.#open();
  }

  matchesOf(happening: Happening): readonly Match[] {
    return createDetection(this.ruleset)
      .detect(eventOf(happening))
      .map(({ match }) => match);
  }

  routed(happening: Happening): readonly RoutedMatch[] {
    return this.matchesOf(happening).flatMap((match) => this.correlation.routes(match));
  }

  /**
   * One event through detection and correlation, chains included; answers every correlated match.
   */
  push(happening: Happening): readonly Match[] {
    return this.#follow(this.routed(happening).flatMap((routed) => this.correlation.apply(routed)));
  }

  /** Moves the watermark to so many ms after the start. */
  advance(at: number): readonly Match[] {
    return this.#follow(this.correlation.advance(start + at));
  }

  /** Does more of what the last watermark brought about. */
  goOn(): readonly Match[] {
    return this.#follow(this.correlation.goOn());
  }

  rows(table: string): number {
    return this.#kept.state.table(table).size;
  }

  #follow(shown: ReturnType<WindowedCorrelation["apply"]>): readonly Match[] {
    return shown.flatMap(({ match }) => [
      match,
      ...this.#follow(
        this.correlation.routes(match).flatMap((routed) => this.correlation.apply(routed)),
      ),
    ]);
  }
}
