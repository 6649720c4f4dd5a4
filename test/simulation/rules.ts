/** @module The simulator's own rule set: small enough that what must page is plain to see. */

import { loadRuleset, type Ruleset } from "../../src/detection/detection.ts";

export const cacheHost = "cache.corp.example";

interface RuleText {
  readonly name: string;
  readonly level: string;
  readonly body: string;
  readonly more?: string;
}

const proxy = "logsource: { product: ci, category: proxy }";
const falco = "logsource: { product: linux, service: falco }";

const rules: readonly RuleText[] = [
  {
    name: "exfil-post",
    level: "critical",
    body: `${proxy}
detection:
  post: { http.request.method: POST, pipewarden.egress.bare_address: true }
  inside: { destination.ip|cidr: 10.0.0.0/8 }
  condition: post and not inside`,
    more: "page: true",
  },
  {
    name: "shell",
    level: "high",
    body: `${falco}
detection:
  shell: { rule.name: Terminal shell on runner }
  condition: shell`,
    more: "page: true",
  },
  {
    name: "cron-write",
    level: "high",
    body: `${falco}
detection:
  path: { file.path|startswith: /etc/cron }
  package: { process.name: dpkg }
  condition: path and not package`,
    more: "page: true",
  },
  {
    name: "marker",
    level: "informational",
    body: `${proxy}
detection:
  get: { http.request.method: GET, url.domain: mirror.corp.example }
  condition: get`,
    // One alert for each event: the store then shows whether any was lost.
    more: "dedupe: { by: [url.path], for: 6h }",
  },
  {
    name: "cache-saved",
    level: "high",
    body: `${proxy}
detection:
  put: { http.request.method: PUT, url.domain: ${cacheHost}, pipewarden.run.trust: untrusted }
  condition: put`,
  },
  {
    name: "env-read",
    level: "low",
    body: `${falco}
detection:
  read: { file.path|re: '^/proc/[0-9]+/environ$' }
  condition: read`,
  },
  {
    name: "drop-post",
    level: "low",
    body: `${proxy}
detection:
  post: { http.request.method: POST, url.domain|endswith: .drop.example }
  condition: post`,
  },
  {
    name: "refused",
    level: "informational",
    body: `${proxy}
detection:
  deny: { pipewarden.egress.decision: deny }
  condition: deny`,
  },
  {
    name: "far-host",
    level: "informational",
    body: `${proxy}
detection:
  get: { http.request.method: GET, url.domain|endswith: .far.example }
  condition: get`,
  },
  {
    name: "read-and-drop",
    level: "critical",
    body: `correlation:
  type: temporal
  rules: [env-read, drop-post]
  group-by: [cicd.pipeline.run.id]
  timespan: 2m`,
    more: "page: true",
  },
  {
    name: "many-refused",
    level: "high",
    body: `correlation:
  type: event_count
  rules: [refused]
  group-by: [cicd.pipeline.run.id]
  timespan: 2m
  condition: { gte: 3 }`,
    more: "page: true",
  },
  {
    name: "many-far-hosts",
    level: "high",
    body: `correlation:
  type: value_count
  rules: [far-host]
  group-by: [cicd.pipeline.run.id]
  timespan: 2m
  condition: { field: url.domain, gte: 3 }`,
    more: "page: true",
  },
];

/** Titles of those that need several matches. */
export const correlations: ReadonlySet<string> = new Set(
  rules.filter(({ body }) => body.startsWith("correlation:")).map(({ name }) => name),
);

function fileOf({ name, level, body, more = "page: false" }: RuleText, index: number) {
  const id = `5e5e0000-0000-4000-8000-${String(index).padStart(12, "0")}`;
  const head = `title: ${name}\nid: ${id}\nname: ${name}\nstatus: test\nlevel: ${level}\n`;
  const text = `${head}${body}\npipewarden:\n  reason: "${name}"\n  ${more}\n`;
  return { path: `${name}.yml`, text };
}

export function simulationRules(): Ruleset {
  const { ruleset, problems } = loadRuleset({ files: rules.map(fileOf), lists: new Map() });
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  return ruleset;
}
