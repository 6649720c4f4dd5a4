/** @module What the alert tests share: matches and builds, a timeline, the midnight chain. */

import {
  type Alert,
  type AlertChange,
  type AlertSettings,
  createAlerts,
  type Incident,
  type Notice,
} from "../../src/alert/alert.ts";
import { dayMs, hourMs, minuteMs } from "../../src/clock.ts";
import type { Match, MatchedRule } from "../../src/detection/detection.ts";
import { type BuildContext, type BuildJoin, runKey } from "../../src/event/build.ts";
import type { Event, Feed, Fields, JoinKeys } from "../../src/event/event.ts";
import { createLineage, type LineageFact } from "../../src/lineage/lineage.ts";
import { KeptState } from "../state/kept.ts";

/** Midnight of the attack. */
export const midnight: number = Date.UTC(2026, 10, 23, 0, 13, 7);

export function rule(parts: Partial<MatchedRule> & Pick<MatchedRule, "id">): MatchedRule {
  return {
    title: `Rule ${parts.id}`,
    level: "medium",
    tags: [],
    page: false,
    response: [],
    falsePositives: [],
    dedupe: [],
    dedupeMs: hourMs,
    causes: {},
    ...parts,
  };
}

export function build(parts: Partial<BuildContext> & Pick<BuildContext, "runId">): BuildContext {
  const repository = parts.repository ?? "acme/payments";
  return {
    repository,
    workflow: "nightly",
    runAttempt: 1,
    runUrl: `https://github.example/${repository}/actions/runs/${parts.runId}`,
    sha: "4be1f0c2d3a4958677685940312233445566778f",
    fork: false,
    ...parts,
  };
}

export interface MatchParts {
  readonly id: string;
  readonly rule: MatchedRule;
  readonly at: number;
  /** When its feed told of it; 200 ms after it occurred unless given. */
  readonly receivedAt?: number;
  readonly build?: BuildContext;
  /** How sure the join is; none given is certain. */
  readonly confidence?: BuildJoin["confidence"];
  readonly reason?: string;
  readonly feed?: Feed;
  readonly fields?: Fields;
  readonly join?: JoinKeys;
  readonly group?: Match["group"];
  readonly raw?: string;
  /** Ids of the events; default one, named after the match. */
  readonly eventIds?: readonly string[];
}

export function match(parts: MatchParts): Match {
  const { id, at, feed = "falco", eventIds = [`${feed}/${id}`], receivedAt = at + 200 } = parts;
  const events = eventIds.map((eventId, index): Event => {
    const event: Event = {
      id: eventId,
      feed,
      logsource: { product: "linux" },
      occurredAt: at - eventIds.length + 1 + index,
      receivedAt,
      timeSource: "feed",
      fields: parts.fields ?? {},
      join: parts.join ?? {},
      raw: parts.raw ?? "{}",
    };
    const { build: joined, confidence } = parts;
    if (joined === undefined) return event;
    if (confidence === undefined) return { ...event, build: joined };
    const buildJoin: BuildJoin = { method: "runner-name", confidence, candidates: [] };
    return { ...event, build: joined, buildJoin };
  });
  return {
    id,
    rule: parts.rule,
    reason: parts.reason ?? parts.rule.title,
    occurredAt: at,
    receivedAt,
    group: parts.group ?? [],
    events,
    eventCount: events.length,
  };
}

export type Step = { readonly match: Match } | { readonly fact: LineageFact };

/** Alerts over a State that can crash, with everything that came out of it. */
export class Timeline {
  readonly #kept = new KeptState();
  readonly #settings: Partial<AlertSettings>;
  readonly notices: Notice[] = [];
  readonly incidents: Map<string, Incident> = new Map();
  readonly alerts: Map<string, Alert> = new Map();

  constructor(settings: Partial<AlertSettings> = {}) {
    this.#settings = settings;
  }

  /** Applies and commits; `now` is just after the match unless given. */
  step(step: Step, now?: number): AlertChange {
    const change = this.apply(step, now);
    void this.#kept.state.commit();
    return change;
  }

  /** Applies without commit: what a crash will take back. */
  apply(step: Step, now?: number): AlertChange {
    // Made afresh each time: neither may remember what is not in the state.
    const { state } = this.#kept;
    const lineage = createLineage({ state });
    const alerts = createAlerts({
      pageAgeMaxOf: () => hourMs,
      ...this.#settings,
      state,
      lineage,
    });
    const change =
      "match" in step
        ? alerts.apply(step.match, now ?? step.match.occurredAt + 500)
        : alerts.relink(
            [...lineage.apply(step.fact), runKey(step.fact.run)],
            now ?? step.fact.occurredAt + 500,
          );
    this.notices.push(...change.notices);
    for (const incident of change.incidents) {
      this.incidents.set(incident.id, incident);
      for (const id of incident.mergedIds) this.incidents.delete(id);
    }
    for (const alert of change.alerts) this.alerts.set(alert.id, alert);
    return change;
  }

  crash(): void {
    this.#kept.reopen();
  }

  /** The incidents the state holds: without those a crash took back. */
  living(): Incident[] {
    return this.rows<{ readonly incident: Incident }>("incidents").map(([, row]) => row.incident);
  }

  /** What the state holds in one of its tables. */
  rows<V>(table: string): [string, V][] {
    return [...this.#kept.state.table<V>(`alert.${table}`).entries()];
  }

  /** Keys of the pages, each as often as it was given out. */
  get pageKeys(): string[] {
    return this.notices.filter(({ kind }) => kind === "page").map(({ key }) => key);
  }
}

/** A rule that pages nobody. */
export const quiet: MatchedRule = rule({ id: "quiet" });

export const loud: MatchedRule = rule({ id: "loud", level: "high", page: true });

/** What a step that changes nothing comes to. */
export const nothing: AlertChange = { alerts: [], incidents: [], notices: [], withheld: 0 };

export const yesterday: BuildContext = build({
  runId: "100",
  runNumber: 811,
  startedAt: midnight - 24 * hourMs,
  secretsPassed: ["OLD_KEY"],
});

export const tonight: BuildContext = build({
  runId: "200",
  repository: "acme/site",
  startedAt: midnight - minuteMs,
  secretsPassed: ["NEW_KEY"],
});

/** A loud match that is first taken to be of yesterday's run. */
export const wrong: MatchParts = {
  id: "1",
  rule: loud,
  at: midnight,
  build: yesterday,
  confidence: "after-job",
};

const tooling = build({
  runId: "77",
  repository: "acme/tooling",
  workflow: "ci",
  runNumber: 301,
  pullRequest: 41,
  fork: true,
  headRepository: "stranger/tooling",
  trigger: "pull_request",
  actor: "stranger",
});

const nightly = build({
  runId: "9007",
  runNumber: 812,
  job: "reconcile",
  step: "Run tests",
  stepNumber: 4,
  ref: "main",
  actor: "octocat",
  trigger: "schedule",
  secretsPassed: ["REGISTRY_TOKEN", "LEDGER_KEY"],
  runner: { name: "runner-17", labels: ["self-hosted"], hosted: false },
});

const cache = "cache:https://cache.example/acme/node-modules-1";
const token = "registry.example/payments-bot";

const postRule = rule({
  id: "post",
  title: "Data sent to a bare address",
  level: "critical",
  page: true,
  response: ["Cancel the run.", "Rotate REGISTRY_TOKEN and LEDGER_KEY."],
  runbook: "docs/runbooks/exfiltration.md",
});

function pull(id: string, at: number): Step {
  return {
    match: match({
      id,
      rule: rule({
        id: "pull",
        title: "Registry token used from an unknown address",
        level: "high",
        causes: { token: "pipewarden.registry.token" },
      }),
      at,
      feed: "registry",
      reason: "payments-bot pulled acme/ledger from 198.51.100.9",
      fields: {
        "event.action": "pull",
        "user.name": "payments-bot",
        "source.ip": "198.51.100.9",
        "pipewarden.registry.token": token,
      },
    }),
  };
}

/**
 * A cache poisoned by a fork three weeks ago, one bad night, and what the thief did with the token
 * after.
 */
export const midnightChain: readonly Step[] = [
  {
    match: match({
      id: "m-tooling",
      rule: rule({ id: "tooling", title: "Fork run writes to the cache of main", level: "medium" }),
      at: midnight - 21 * dayMs - 660_000,
      build: tooling,
      reason: "fork PR #41 of acme/tooling wrote to a shared cache",
    }),
  },
  {
    fact: {
      eventId: "f-saved",
      kind: "cache-saved",
      thing: cache,
      run: tooling,
      occurredAt: midnight - 21 * dayMs - 600_000,
    },
  },
  {
    fact: {
      eventId: "f-token",
      kind: "token-used",
      thing: `token:${token}`,
      run: nightly,
      occurredAt: midnight - 180_000,
    },
  },
  {
    fact: {
      eventId: "f-restored",
      kind: "cache-restored",
      thing: cache,
      run: nightly,
      occurredAt: midnight - 120_000,
    },
  },
  {
    match: match({
      id: "m-restore",
      rule: rule({ id: "restore", title: "Tainted cache restored", level: "high" }),
      at: midnight - 120_000,
      build: nightly,
      feed: "github-webhook",
      reason: "nightly #812 of acme/payments restored a cache entry a fork had saved",
    }),
  },
  {
    match: match({
      id: "m-environ",
      rule: rule({ id: "environ", title: "Environment of another process read", level: "high" }),
      at: midnight - 31_000,
      build: nightly,
      reason: "A process read the environment of another process",
      fields: {
        "rule.name": "Read environment",
        "process.command_line": "cat /proc/812/environ",
        "file.path": "/proc/812/environ",
      },
    }),
  },
  {
    match: match({
      id: "m-post",
      rule: postRule,
      at: midnight,
      build: nightly,
      feed: "egress",
      reason: "nightly #812 of acme/payments sent 3,981 bytes by POST to 203.0.113.77:80",
      fields: {
        "event.action": "allow",
        "http.request.method": "POST",
        "url.full": "http://203.0.113.77/in?token=abcdef0123456789",
        "http.request.bytes": 3981,
        "process.name": "curl",
      },
    }),
  },
  pull("m-pull-1", midnight + 720_000),
  pull("m-pull-2", midnight + 4 * hourMs),
];
