/**
 * @module Runs every collector over a folder of real records and checks that none is lost and no id
 * is rounded.
 *
 * `node test/conformance/corpus.ts PATH [--json]`. Which files are ours and which are not is the two lists below, never
 * what the collectors happen to accept. Exit code 0: all held; 1: something did not; 2: wrong use.
 */

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import type { Delivery, Intake } from "../../src/collector/collector.ts";
import { collectors, readAny } from "../../src/collector/collectors.ts";
import { problemLine } from "../../src/error.ts";
import { type Event, type Feed, textOf } from "../../src/event/event.ts";

/** Of feeds, or in formats, that pipewarden does not read. First match wins over `inScope`. */
const outOfScope: readonly (readonly [pattern: RegExp, why: string])[] = [
  [/(^|\/)README\.md$/, "the corpus' own index"],
  [/(^|\/)tetragon\//, "Tetragon is not a feed"],
  [/(^|\/)tracee\//, "Tracee is not a feed"],
  [/(^|\/)supply-chain\//, "bundles, attestations and SBOMs are read by provenance"],
  [/(^|\/)runner-egress\/zeek-/, "Zeek is not a feed"],
  [/(^|\/)runner-egress\/suricata-/, "Suricata is not a feed"],
  [/(^|\/)runner-egress\/coredns-/, "CoreDNS is not a feed"],
  [/(^|\/)runner-egress\/.*\.conf$/, "a configuration"],
  [/(^|\/)runner-egress\/harden-runner-config-/, "a configuration"],
  [/(^|\/)runner-egress\/.*manifest\.json$/, "a manifest"],
  [/(^|\/)trivy\/.*sarif/, "SARIF is refused by name"],
  [/(^|\/)trivy\/.*spdx/, "SPDX is refused by name"],
  [/(^|\/)trivy\/.*cyclonedx/, "CycloneDX is refused by name"],
  [/(^|\/)trivy\/operator-/, "the operator's reports are not a feed yet"],
];

const inScope: readonly (readonly [pattern: RegExp, feed: Feed])[] = [
  [/(^|\/)falco\//, "falco"],
  [/(^|\/)github-audit\//, "github-audit"],
  [/(^|\/)github-webhooks\//, "github-webhook"],
  [/(^|\/)runner-egress\/(squid|awf|harden-runner)/, "egress"],
  [/(^|\/)trivy\//, "trivy"],
  [/(^|\/)registry\//, "registry"],
];

interface FileReport {
  readonly file: string;
  readonly feed?: Feed;
  readonly outOfScope?: string;
  readonly records: number;
  readonly events: number;
  readonly rejected: number;
  readonly skipped: number;
  /** Numbers of the raw text compared digit by digit. */
  readonly exact: number;
  readonly reasons: readonly string[];
  /** What did not hold; [] when all did. */
  readonly failures: readonly string[];
}

/** A fixed receipt, after every stamp of the corpus, so that runs repeat and nothing is clamped. */
const receivedAt = Date.parse("2027-01-01T00:00:00Z");

function checkFile(root: string, file: string): FileReport {
  const counts = { records: 0, events: 0, rejected: 0, skipped: 0, exact: 0 };
  const base = { file, ...counts, reasons: [], failures: [] };
  const name = file === "" ? root : `/${file}`;
  const foreign = outOfScope.find(([pattern]) => pattern.test(name));
  if (foreign !== undefined) return { ...base, outOfScope: foreign[1] };
  const feed = inScope.find(([pattern]) => pattern.test(name))?.[1];
  if (feed === undefined) return { ...base, failures: ["in neither list of this script"] };
  const body = readFileSync(join(root, file));
  const delivery: Delivery = { receivedAt, headers: headersOf(feed, name), place: file };
  const failures: string[] = [];
  let intake: Intake;
  try {
    intake = collectors.get(feed)?.read(body, delivery) ?? failed();
    // replay meets the same file without being told its feed.
    const alone = readAny(body, { ...delivery, headers: {} });
    const strangers = alone.events.filter((event) => event.feed !== feed);
    if (strangers.length > 0) failures.push(`readAny took ${strangers.length} for another feed`);
    if (alone.events.length === 0) failures.push("readAny made no event");
  } catch (error) {
    return { ...base, feed, failures: [`crashed: ${String(error)}`] };
  }
  const compared = intake.events.flatMap(comparedNumbers);
  failures.push(...accountFailures(intake), ...compared.flatMap(({ failure }) => failure ?? []));
  return {
    file,
    feed,
    records: intake.records,
    events: intake.events.length,
    rejected: intake.rejections.length,
    skipped: intake.skipped,
    exact: compared.length,
    reasons: intake.rejections.map(({ problem }) => problemLine(problem)),
    failures,
  };
}

function failed(): never {
  throw new Error("no collector for the feed");
}

/** The event's name stands in the file's: `workflow_job__queued.payload.json`. */
function headersOf(feed: Feed, file: string): Record<string, string> {
  const name = /([a-z_]+?)__[^/]*$/.exec(file)?.[1];
  return feed === "github-webhook" && name !== undefined ? { "x-github-event": name } : {};
}

/** A record is in one place only. Events of one report share its record: their ids begin alike. */
function accountFailures(intake: Intake): string[] {
  const failures: string[] = [];
  const recordsOfEvents = new Set(
    intake.events.map((event, index) =>
      event.feed === "trivy" ? textOf(event.fields, "pipewarden.trivy.report_id") : index,
    ),
  ).size;
  const accounted = recordsOfEvents + intake.rejections.length + intake.skipped;
  if (accounted !== intake.records) {
    failures.push(`${intake.records} records, ${accounted} accounted for`);
  }
  if (intake.events.length === 0) failures.push("no event");
  return failures;
}

/** Which number of the raw record must stand in which field, digit by digit. */
const exactPaths: ReadonlyMap<string, readonly (readonly [path: string, field: string])[]> =
  new Map<string, readonly (readonly [string, string])[]>([
    [
      "github-webhook",
      [
        ["sender/id", "user.id"],
        ["repository/id", "pipewarden.repository.id"],
        ["organization/id", "organization.id"],
        ["workflow_job/id", "cicd.pipeline.task.run.id"],
        ["workflow_job/run_id", "cicd.pipeline.run.id"],
        ["workflow_run/id", "cicd.pipeline.run.id"],
        ["check_run/id", "pipewarden.check_run.id"],
      ],
    ],
    [
      "github-audit",
      [
        ["actor_id", "user.id"],
        ["org_id", "organization.id"],
        ["workflow_run_id", "cicd.pipeline.run.id"],
        ["repo_id", "pipewarden.repository.id"],
      ],
    ],
  ]);

/** Reads the raw text on its own, not with the collector's reader. */
function comparedNumbers(event: Event): { readonly failure?: string }[] {
  if (event.feed === "trivy" || event.feed === "egress") return [];
  return numbersIn(event.raw).flatMap(([path, digits]) => {
    const field = fieldFor(event.feed, path);
    if (field === undefined) return [];
    const held = textOf(event.fields, field);
    const failure = `${event.id}: ${path} is ${digits}, ${field} holds ${held}`;
    return [held === digits ? {} : { failure }];
  });
}

function fieldFor(feed: Feed, path: string): string | undefined {
  if (feed === "falco") {
    const key = /^output_fields\/(evt\.time.*)$/.exec(path)?.[1];
    return key === undefined ? undefined : `pipewarden.falco.${key}`;
  }
  if (feed === "github-audit" && /_id$/.test(path) && !path.includes("/")) {
    return (
      exactPaths.get(feed)?.find(([known]) => known === path)?.[1] ?? `pipewarden.audit.${path}`
    );
  }
  return exactPaths.get(feed)?.find(([known]) => known === path)?.[1];
}

/** Every integer of a JSON text with its path, as written. */
function numbersIn(raw: string): [path: string, digits: string][] {
  const found: [string, string][] = [];
  const walk = (path: string, value: unknown): void => {
    if (typeof value === "string" && value.startsWith("\u0000")) found.push([path, value.slice(1)]);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return;
    for (const [key, item] of Object.entries(value))
      walk(path === "" ? key : `${path}/${key}`, item);
  };
  walk("", JSON.parse(markIntegers(raw)));
  return found;
}

function markIntegers(raw: string): string {
  return raw.replace(
    /("(?:[^"\\]|\\.)*")|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g,
    (all, text, number) =>
      text === undefined && /^-?\d+$/.test(number ?? "") ? `"\\u0000${number}"` : all,
  );
}

/** One file is judged by its whole path, so that its folder still tells what it is. */
function filesUnder(root: string): string[] {
  if (statSync(root).isFile()) return [""];
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

function print(reports: readonly FileReport[]): void {
  const width = Math.max(...reports.map(({ file }) => file.length), 4);
  const row = (cells: readonly (string | number)[], file: string): string =>
    `${file.padEnd(width)} ${cells.map((cell) => String(cell).padStart(9)).join("")}`;
  console.log(row(["records", "events", "rejected", "skipped"], "file"));
  for (const report of reports) {
    if (report.outOfScope !== undefined) {
      console.log(`${report.file.padEnd(width)}  out of scope: ${report.outOfScope}`);
      continue;
    }
    const { records, events, rejected, skipped } = report;
    console.log(row([records, events, rejected, skipped], report.file));
    for (const reason of report.reasons) console.log(`    rejected: ${reason}`);
    for (const failure of report.failures) console.log(`    FAILED: ${failure}`);
  }
}

function main(args: readonly string[]): number {
  const paths = args.filter((arg) => !arg.startsWith("--"));
  const options = args.filter((arg) => arg.startsWith("--"));
  const [path] = paths;
  if (path === undefined || paths.length > 1 || options.some((option) => option !== "--json")) {
    console.error("usage: node test/conformance/corpus.ts PATH [--json]");
    return 2;
  }
  if (!existsSync(path)) {
    console.error(`no such file or folder: ${path}`);
    return 2;
  }
  const reports = filesUnder(path).map((file) => checkFile(path, file));
  const read = reports.filter((report) => report.outOfScope === undefined);
  const failing = read.filter((report) => report.failures.length > 0);
  const sum = (key: "records" | "events" | "rejected" | "skipped" | "exact"): number =>
    read.reduce((total, report) => total + report[key], 0);
  const summary = {
    files: reports.length,
    inScope: read.length,
    outOfScope: reports.length - read.length,
    records: sum("records"),
    events: sum("events"),
    rejected: sum("rejected"),
    skipped: sum("skipped"),
    exact: sum("exact"),
    failing: failing.length,
  };
  if (options.includes("--json")) {
    console.log(JSON.stringify({ summary, files: reports }, undefined, 2));
  } else {
    print(reports);
    console.log(
      `\n${summary.files} files: ${summary.inScope} in scope, ${summary.outOfScope} out of scope; ` +
        `${summary.records} records, ${summary.events} events, ${summary.rejected} rejected, ` +
        `${summary.skipped} skipped; ${summary.exact} ids and times compared; ${summary.failing} files failing`,
    );
  }
  const replayed = replayAll(read.map(({ file }) => join(path, file)));
  console.error(replayed.line);
  // A folder without one file of ours proves nothing.
  return failing.length > 0 || read.length === 0 || !replayed.whole ? 1 : 0;
}

/** `pipewarden replay` over every file in scope: it ends well, and accounts for every record. */
function replayAll(files: readonly string[]): { readonly whole: boolean; readonly line: string } {
  const run = spawnSync(process.execPath, ["src/main.ts", "replay", "--json", ...files], {
    encoding: "utf8",
  });
  const count = (what: string): number => {
    const found = new RegExp(`^${what} +([\\d,]+)`, "m").exec(run.stderr)?.[1] ?? "-1";
    return Number(found.replaceAll(",", ""));
  };
  const [records, events, rejected] = [count("read"), count("events"), count("rejected")];
  // A Trivy report is more events than one; no other record is fewer than one.
  const whole = run.status === 0 && records > 0 && events + rejected >= records;
  const told = `replay of all of them: exit ${run.status}, ${records} records, ${events} events`;
  return { whole, line: `${told}, ${rejected} rejected${whole ? "" : `\n${run.stderr}`}` };
}

process.exitCode = main(process.argv.slice(2));
