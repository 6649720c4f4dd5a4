/**
 * @module What the tests of this folder share: notices, a State that can be rolled back, a sink
 * that does as told.
 */

import type { Alert, Incident, Notice } from "../../src/alert/alert.ts";
import type { Event, Fields } from "../../src/event/event.ts";
import type { Delivery, Sink } from "../../src/sink/sink.ts";
import type { State, StateTable } from "../../src/state/state.ts";

export const start: number = Date.UTC(2026, 10, 23, 9, 0, 0);

export interface NoticeParts {
  readonly key?: string;
  readonly kind?: Notice["kind"];
  readonly incident?: string;
  readonly text?: string;
  readonly fields?: Fields;
  readonly raw?: string;
  readonly alerts?: number;
  readonly events?: number;
}

/**
 * A notice as the alert stage would make it, with `text` in every place that outsiders can write
 * to.
 */
export function noticeOf(parts: NoticeParts = {}): Notice {
  const { kind = "page", incident = "inc_1", text = "acme/api deploy", alerts = 1 } = parts;
  const alert = alertOf(parts);
  const body: Incident = {
    id: incident,
    revision: 1,
    level: "critical",
    title: text,
    reason: `${text} read a secret and reached an unknown host`,
    alertIds: [alert.id],
    mergedIds: [],
    ...(alert.build === undefined ? {} : { build: alert.build }),
    origins: [],
    secretsExposed: ["DEPLOY_TOKEN"],
    openedAt: start,
    firstSeen: start - 1_000,
    lastSeen: start - 500,
    pagedAt: start,
  };
  return {
    key: parts.key ?? `${incident}/${kind}/1`,
    kind,
    incident: body,
    alerts: Array.from({ length: alerts }, (_, index) => ({ ...alert, id: `alr_${index}` })),
    createdAt: start,
    latencyMs: 400,
  };
}

function alertOf({ text = "acme/api deploy", incident = "inc_1", ...parts }: NoticeParts): Alert {
  const event: Event = {
    id: "falco/1",
    feed: "falco",
    logsource: { product: "linux" },
    occurredAt: start - 500,
    receivedAt: start - 400,
    timeSource: "feed",
    fields: parts.fields ?? { "process.command_line": text, "destination.ip": "203.0.113.9" },
    join: {},
    raw: parts.raw ?? text,
  };
  return {
    id: "alr_0",
    revision: 1,
    fingerprint: "f",
    incidentId: incident,
    rule: {
      id: "6c0e7a9e-0000-4000-8000-000000000001",
      title: "Secret read then egress",
      level: "critical",
      tags: ["attack.exfiltration"],
      page: true,
      response: [],
      falsePositives: [],
      dedupe: [],
      dedupeMs: 60_000,
      causes: {},
    },
    reason: text,
    build: {
      repository: "acme/api",
      workflow: "deploy",
      runId: "9007199254740993",
      runAttempt: 2,
      runUrl: "https://ci.example/acme/api/runs/9007199254740993",
      sha: "0123456789abcdef0123456789abcdef01234567",
      ref: text,
      fork: false,
    },
    count: 1,
    firstSeen: start - 1_000,
    lastSeen: start - 500,
    events: Array.from({ length: parts.events ?? 1 }, () => event),
  };
}

/**
 * State in memory. What was not committed is lost by `rollback`, as it is by a crash. Values go
 * through JSON.
 */
export function memoryState(): State & { readonly commits: () => number } {
  const tables = new Map<string, { saved: Map<string, string>; now: Map<string, string> }>();
  let commits = 0;
  return {
    table<V>(name: string): StateTable<V> {
      const rows = tables.get(name) ?? { saved: new Map(), now: new Map() };
      tables.set(name, rows);
      const read = (text: string) => JSON.parse(text) as V;
      return {
        get: (key) => {
          const text = rows.now.get(key);
          return text === undefined ? undefined : read(text);
        },
        put: (key, value) => void rows.now.set(key, JSON.stringify(value)),
        delete: (key) => void rows.now.delete(key),
        *entries() {
          for (const [key, text] of rows.now) yield [key, read(text)] as [string, V];
        },
        get size() {
          return rows.now.size;
        },
      };
    },
    position: () => 0,
    advance: () => undefined,
    commit() {
      commits++;
      for (const rows of tables.values()) rows.saved = new Map(rows.now);
      return Promise.resolve();
    },
    rollback() {
      for (const rows of tables.values()) rows.now = new Map(rows.saved);
    },
    commits: () => commits,
  };
}

export interface FakeSink extends Sink {
  /** Keys in the order of the attempts. */
  readonly sent: string[];
  closed: boolean;
}

/** A sink that asks `answer` what to do with each notice. */
export function fakeSink(
  name: string,
  answer: (key: string, attempt: number) => Delivery | Promise<Delivery> = () => ({
    kind: "delivered",
  }),
  wants: Sink["wants"] = () => true,
): FakeSink {
  const sent: string[] = [];
  return {
    name,
    wants,
    sent,
    closed: false,
    async send(notice) {
      sent.push(notice.key);
      return answer(notice.key, sent.filter((key) => key === notice.key).length);
    },
    async close() {
      this.closed = true;
    },
  };
}
