// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are placeholders of test files

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runRuleTests } from "../../src/pipeline/rule-test.ts";
import { bodyOf, offsetMs } from "../../src/pipeline/rule-test-file.ts";

let directory = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "rule-test-"));
  write("exfiltration/fetch.yml", rule("condition: selection"));
});

afterEach(() => rmSync(directory, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), text);
}

function rule(condition: string): string {
  return `
title: A fetch
id: 3f9a1c52-0c55-4b52-9d3e-2f1d5f0a7b11
logsource: { product: ci }
detection:
  selection:
    http.request.method: GET
    destination.domain|expand: "%watched_hosts%"
  ${condition}
level: low
pipewarden: { reason: "{source.ip} fetched from {destination.domain}" }
`;
}

const line =
  "${squid} 12 10.0.0.9 TCP_MISS/200 5 GET http://files.example/a - HIER_DIRECT/192.0.2.4 -";

function tests(body: string): string {
  return `
lists: { watched_hosts: [files.example] }
tests:
  - name: a fetch
    input: [{ at: 1m, feed: egress, text: "${line}" }]
    ${body}
`;
}

async function explanationOf(testFile: string): Promise<string> {
  write("exfiltration/fetch.test.yml", testFile);
  const results = await runRuleTests({ directory });
  expect(results).toHaveLength(1);
  const [result] = results;
  expect(result?.rule).toBe("exfiltration/fetch");
  expect(result?.passed).toBe(result?.explanation === "");
  return result?.explanation ?? "no result";
}

describe("a test file", () => {
  it.each([
    ["fires: 1", ""],
    ["fires: 1\n    reason: fetched from files.example", ""],
    ["fires: 1\n    expect: { source.ip: 10.0.0.9, http.response.status_code: 200 }", ""],
    ["fires: 2", "expected 2 alerts, got 1"],
    ["silent: true", "expected 0 alerts, got 1"],
    ["signals: 1", "expected 1 signal, got 0"],
    ["fires: 1\n    reason: posted", 'expected the reason to hold "posted"'],
    ["fires: 1\n    expect: { source.ip: 10.0.0.8 }", 'expected source.ip to be "10.0.0.8"'],
    ["fires: 1\n    expect: { http.response.status_code: '200' }", "got 200"],
  ])("with %j is judged", async (body, explanation) => {
    const found = await explanationOf(tests(body));
    if (explanation === "") expect(found).toBe("");
    else expect(found).toContain(explanation);
  });

  it("that fails tells what each input became", async () => {
    const found = await explanationOf(tests("silent: true"));
    expect(found).toContain("1m egress allow GET http://files.example/a: A fetch");
  });

  it.each([
    ["tests: [{ name: a, input: [], fires: 1 }]", "shape-unexpected"],
    [tests("fires: 1\n    silent: true"), "one of fires, signals and silent"],
    [tests("fires: 0"), "shape-unexpected"],
    [tests("fires: 1").replace("at: 1m", "at: soon"), "/tests/0/input/0/at"],
    [tests("fires: 1").replace("text:", "words:"), "shape-unexpected"],
    [tests("fires: 1").replace("feed: egress,", "feed: egress, record: {},"), "text or record"],
    ["tests: [", "yaml-invalid"],
    [`given: [nowhere]\n${tests("fires: 1")}`, "'nowhere'"],
    [tests("fires: 1").replace("lists", "list"), "shape-unexpected"],
  ])("that cannot be read says where", async (text, explanation) => {
    expect(await explanationOf(text)).toContain(explanation);
  });

  it("fails for an input that its collector refuses", async () => {
    const refused = tests("silent: true").replace(line, "what is this");
    expect(await explanationOf(refused)).toContain("input 1 (1m egress)/record 1");
  });

  it("fails for a rule that does not load", async () => {
    write("exfiltration/fetch.yml", rule("condition: selection and"));
    expect(await explanationOf(tests("silent: true"))).toContain("condition-expected");
    write("exfiltration/fetch.yml", "");
    expect(await explanationOf(tests("silent: true"))).toContain("rule-invalid");
  });

  it("fails for a list that nobody has", async () => {
    const text = tests("silent: true").replace("watched_hosts", "other");
    expect(await explanationOf(text)).toContain("list-unknown");
  });
});

describe("contexts", () => {
  it("come before the test's input, with their runners", async () => {
    const job = {
      action: "in_progress",
      workflow_job: {
        ...{ id: 7, run_id: 6, run_attempt: 1, name: "build", workflow_name: "ci" },
        ...{ runner_name: "box", labels: ["self-hosted"], started_at: "${iso}", head_sha: "c0" },
      },
      repository: { id: 1, full_name: "acme/app" },
      sender: { login: "ann" },
    };
    const input = { at: "-1m", feed: "github-webhook", event: "workflow_job", record: job };
    const context = {
      description: "A job on box.",
      runners: [{ name: "box", addresses: ["10.0.0.9"] }],
      input: [input],
    };
    write("testing/job.yml", JSON.stringify(context));
    const text = tests("fires: 1\n    expect: { cicd.pipeline.task.name: build }");
    expect(await explanationOf(text)).toContain("got undefined");
    expect(await explanationOf(`given: [job]\n${text}`)).toBe("");
  });
});

describe("a changed rule", () => {
  it("is tested as changed, and only where asked", async () => {
    write("exfiltration/fetch.test.yml", tests("fires: 1"));
    const change = (text: string) => text.replace("GET", "PUT");
    const [result] = await runRuleTests({ directory, change });
    expect(result?.explanation).toContain("expected 1 alert, got 0");
    expect(await runRuleTests({ directory, only: () => false })).toEqual([]);
  });
});

describe("offsets", () => {
  it.each([
    ["0s", 0],
    ["90s", 90_000],
    ["-1m30s", -90_000],
    ["21d5m", 21 * 86_400_000 + 300_000],
    ["2h", 7_200_000],
  ])("%s", (text, ms) => expect(offsetMs(text)).toBe(ms));
});

describe("placeholders", () => {
  const at = Date.UTC(2026, 10, 24, 2, 8, 0, 500);
  const filled = (record: unknown) => {
    return JSON.parse(bodyOf({ at: "0s", feed: "falco", record }, at, 3).toString());
  };

  it.each([
    ["${iso}", "2026-11-24T02:08:00.500Z"],
    ["${iso_ns}", "2026-11-24T02:08:00.500000000Z"],
    ["${epoch_ms}", at],
    ["at ${epoch_ms}", `at ${at}`],
    ["${epoch_s}", at / 1_000],
    ["${squid}", (at / 1_000).toFixed(3)],
    ["id-${n}", "id-3"],
    ["${iso", "${iso"],
    ["${unknown}", "${unknown}"],
    [7, 7],
    [null, null],
  ])("%j", (text, value) => {
    expect(filled(text)).toEqual(value);
    expect(filled({ list: [text] })).toEqual({ list: [value] });
  });
});
