import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import type { Alert } from "../../src/alert/alert.ts";
import { minuteMs } from "../../src/clock.ts";
import { blobPost, environmentRead, imagePulls } from "../../src/demo/midnight-commit.ts";
import { type Ran, type RunSettings, run, steering } from "../cli/streams.ts";
import { night, shortHistory } from "./company.ts";

const folder = mkdtempSync(join(tmpdir(), "pipewarden-replay-"));

afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const posts = [
  ...shortHistory(),
  environmentRead(night),
  blobPost(night),
  ...imagePulls(night + 4 * minuteMs),
];
const lines = posts.flatMap(({ door, body }) => body.split("\n").map((line) => ({ door, line })));
const doors = [...new Set(lines.map(({ door }) => door))];
const files = doors.map((door) => {
  const own = lines.filter((line) => line.door === door).map(({ line }) => `${line}\n`);
  return fileOf(`${door.replaceAll("/", "-").slice(1)}.log`, own.join(""));
});
const mixed = lines.map(({ line }) => `${line}\n`).join("");

const config = ["--config", "deploy/demo/pipewarden.yml"];

function replay(args: readonly string[], settings?: RunSettings): Promise<Ran> {
  return run(["replay", ...config, ...args], settings);
}

function alertsOf(ran: Ran): readonly Alert[] {
  return ran.out
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Alert);
}

/** What must not depend on how the input was cut into files. */
function gist(ran: Ran): unknown {
  return alertsOf(ran).map(({ id, incidentId, count, build }) => [
    ...[id, incidentId, count, build?.runNumber],
  ]);
}

/** The summary's lines by their label, the time it took left out. */
function summaryOf(text: string): Map<string, string> {
  const labels = text.matchAll(/^(read|events|rejected|matched|alerts) +(.*)$/gm);
  return new Map([...labels].map(([, label = "", rest = ""]) => [label, rest]));
}

describe("replay of a file of each feed", () => {
  it("recognises each, tells the page and sums up", async () => {
    expect(doors).toHaveLength(5);
    const ran = await replay(files);
    expect(ran.code).toBe(0);
    expect(ran.err).toBe("");
    expect(ran.out).toContain("integration of acme/payments sent data (3981 bytes) by POST");
    expect(ran.out).toContain("fork PR #41 of acme/build-tools");
    const summary = summaryOf(ran.out);
    expect(summary.get("read")).toMatch(/^\d+ records in \d+\.\d s, 0 skipped$/);
    for (const feed of ["falco", "github-webhook", "github-audit", "egress", "registry"]) {
      expect(summary.get("events")).toMatch(new RegExp(`\\b${feed} \\d`));
    }
    expect(summary.get("events")).toMatch(new RegExp(`^${lines.length} `));
    expect(summary.get("rejected")).toBe("0");
    expect(summary.get("alerts")).toBe("6 in 1 incidents, 1 would page");
    expect(ran.out).not.toMatch(steering);
  });

  it("prints one alert a line with --json, and the summary on stderr", async () => {
    const ran = await replay(["--json", ...files]);
    expect(ran.code).toBe(0);
    const alerts = alertsOf(ran);
    expect(alerts).toHaveLength(6);
    expect(new Set(alerts.map(({ incidentId }) => incidentId)).size).toBe(1);
    expect(alerts.map(({ firstSeen }) => firstSeen)).toEqual(
      alerts.map(({ firstSeen }) => firstSeen).sort((a, b) => a - b),
    );
    expect(summaryOf(ran.err).get("alerts")).toBe("6 in 1 incidents, 1 would page");
    expect(summaryOf(ran.out).size).toBe(0);
  });

  it("comes to the same whatever the order of the files, mixed, or from stdin", async () => {
    const known = gist(await replay(["--json", ...files]));
    expect(gist(await replay(["--json", ...files.toReversed()]))).toEqual(known);
    const turned = [...files.slice(2), ...files.slice(0, 2)];
    expect(gist(await replay(["--json", ...turned]))).toEqual(known);
    expect(gist(await replay(["--json", fileOf("mixed.log", mixed)]))).toEqual(known);
    const cut = Buffer.from(mixed);
    const stdin = [cut.subarray(0, 1_001), cut.subarray(1_001, 70_000), cut.subarray(70_000)];
    expect(gist(await replay(["--json", "-"], { stdin }))).toEqual(known);
    expect(gist(await replay(["--json"], { stdin }))).toEqual(known);
    // A file given twice is the same records twice.
    expect(gist(await replay(["--json", ...files, ...files]))).toEqual(known);
  });

  it("takes two events of one time in the same order, however the files are given", async () => {
    const read = lines.findLast(({ door }) => door === "/v1/falco")?.line ?? "";
    // A machine in no list: nothing waits for its build, and the first event names the alert.
    const line = read.replaceAll("build-07", "build-99");
    const one = fileOf("one.log", line);
    const other = fileOf("other.log", line.replaceAll("/proc/2114/", "/proc/2115/"));
    const known = await replay(["--json", one, other]);
    expect(alertsOf(known).map(({ count }) => count)).toEqual([2]);
    expect((await replay(["--json", other, one])).out).toBe(known.out);
  });

  it("shows progress on a terminal only, and takes it away", async () => {
    const [first = ""] = files;
    const quiet = await replay(["--json", first]);
    expect(quiet.err).not.toContain("replaying");
    expect(quiet.err).not.toContain("\r");
    const shown = await replay(["--json", first], { isTTY: true });
    expect(shown.err).toMatch(/\rreplaying 100 %: [\d,]+ events/);
    const [, after = ""] = shown.err.split(/\r\s*\r(?!.*\r)/s);
    expect(after).toMatch(/^read /);
  });
});

describe("replay of JSON documents", () => {
  it("reads a list of records and a whole indented document", async () => {
    const entries = lines.filter(({ door }) => door === "/v1/github/audit");
    const values = entries.map(({ line }) => JSON.parse(line) as unknown);
    const path = fileOf("audit.json", JSON.stringify(values, null, 2));
    const ran = await replay([path]);
    expect(summaryOf(ran.out).get("events")).toBe(
      `${values.length} (github-audit ${values.length})`,
    );
    expect(summaryOf(ran.out).get("rejected")).toBe("0");
  });

  it("reads a document that is larger than what it reads at once", async () => {
    const [entry] = lines.filter(({ door }) => door === "/v1/github/audit");
    const one = JSON.parse(entry?.line ?? "") as object;
    const values = Array.from({ length: 9 }, (_, index) => {
      return { ...one, _document_id: `doc-${index}`, note: `${index}`.repeat(1024 * 1024) };
    });
    const path = fileOf("large.json", JSON.stringify(values, null, 2));
    const ran = await replay([path]);
    expect(summaryOf(ran.out).get("events")).toBe("9 (github-audit 9)");
    expect(summaryOf(ran.out).get("rejected")).toBe("0");
  });

  it("names the line of a record beyond the first block", async () => {
    const line = lines.find(({ door }) => door === "/v1/egress")?.line ?? "";
    const count = Math.ceil((8.5 * 1024 * 1024) / line.length);
    const content = `${`${line}\n`.repeat(count)}{"broken": \n`;
    const ran = await replay([fileOf("long.log", content)]);
    const summary = summaryOf(ran.out);
    expect(summary.get("rejected")).toBe("1");
    const [, from, record] = /long\.log:(\d+)\/record (\d+): json-invalid/.exec(ran.out) ?? [];
    expect(Number(from) + Number(record) - 1).toBe(count + 1);
  });
});

describe("replay of what cannot be read", () => {
  it("reports each rejected record with its place and reason, and goes on", async () => {
    const falco = lines.find(({ door }) => door === "/v1/falco")?.line ?? "";
    const content = [
      "who are you",
      '{"neither": "known"}',
      falco,
      "\u001b]0;owned\u0007\u202e",
      '{"cut": off',
      falco.replace("build-07", "build-08"),
    ].join("\n");
    const path = fileOf("odd.log", content);
    const ran = await replay([path]);
    expect(ran.code).toBe(0);
    const summary = summaryOf(ran.out);
    expect(summary.get("events")).toBe("2 (falco 2)");
    expect(summary.get("rejected")).toBe("4");
    for (const place of ["record 1: feed-unknown", "record 2: feed-unknown", "record 5: json-"]) {
      expect(ran.out).toContain(`odd.log:1/${place}`);
    }
    expect(ran.out).toContain("\\u001b]0;owned\\u0007\\u202e");
    expect(ran.out).not.toMatch(steering);
  });

  it("says so of gzip, which it does not unpack", async () => {
    const ran = await replay([fileOf("mixed.log.gz", gzipSync(mixed)), ...files]);
    expect(ran.code).toBe(0);
    expect(ran.out).toMatch(
      /mixed\.log\.gz: format-unsupported: expected text: unpack it first but found gzip data/,
    );
    const summary = summaryOf(ran.out);
    expect(summary.get("rejected")).toBe("1");
    expect(summary.get("alerts")).toBe("6 in 1 incidents, 1 would page");
  });

  it("lists the first twenty rejections and counts the rest", async () => {
    const ran = await replay([fileOf("noise.log", "noise\n".repeat(1_234))]);
    expect(summaryOf(ran.out).get("rejected")).toBe("1,234");
    expect(ran.out.match(/feed-unknown/g)).toHaveLength(20);
    expect(ran.out).toContain("and 1,214 more");
  });

  it("is content with an empty file", async () => {
    const ran = await replay([fileOf("empty.log", "")]);
    expect(ran.code).toBe(0);
    expect(summaryOf(ran.out).get("events")).toBe("0");
    expect(summaryOf(ran.out).get("alerts")).toBe("0 in 0 incidents, 0 would page");
  });

  it.each([
    ["no such file", () => join(folder, "absent.log")],
    [
      "a directory",
      () => {
        const path = join(folder, "directory");
        mkdirSync(path, { recursive: true });
        return path;
      },
    ],
  ])("ends with 2 and one line for %s", async (found, make) => {
    const path = make();
    const ran = await replay([...files, path]);
    expect(ran.code).toBe(2);
    expect(ran.out).toBe("");
    expect(ran.err).toBe(
      `${path}: input-unreadable: expected a file that can be read but found ${found}\n`,
    );
  });

  it("ends with 3 and one line for settings that are wrong", async () => {
    const path = fileOf("settings.yml", "listn: {}\n");
    const ran = await run(["replay", "--config", path, ...files]);
    expect(ran.code).toBe(3);
    expect(ran.err).toMatch(/settings\.yml: listn: config-invalid: .*perhaps "listen"/);
    expect(ran.err.trimEnd().split("\n")).toHaveLength(1);
  });
});

describe("hostile input", () => {
  it("never reaches the terminal raw, neither as page, nor in the table, nor as JSON", async () => {
    const evil = "\\u001b[2J\\u009b31m\\u202e";
    const content = mixed
      .replaceAll("python3 -m pytest tests/integration/deep", `python3 ${evil} deep`)
      .replaceAll('"nightly"', `"night${evil}ly"`)
      .replaceAll("quiet-otter-9", `quiet${evil}otter`)
      .replaceAll('"integration"', `"integ${evil}ration"`);
    const path = fileOf("hostile.log", content);
    const ran = await replay([path]);
    expect(summaryOf(ran.out).get("alerts")).toBe("6 in 1 incidents, 1 would page");
    expect(ran.out).toContain("\\u001b[2J\\u009b31m\\u202e");
    expect(ran.out).not.toMatch(steering);
    const json = await replay(["--json", path]);
    expect(json.out).not.toMatch(steering);
    expect(JSON.stringify(alertsOf(json))).toContain("\u009b31m\u202e");
  });
});
