/** @module Trivy reports. */

import { describe, expect, it } from "vitest";
import { trivyCollector } from "../../src/collector/trivy.ts";
import { foundMax } from "../../src/collector/trivy-report.ts";
import type { Event } from "../../src/event/event.ts";
import { codes, read, receivedAt } from "./deliver.ts";
import { trivyReport } from "./samples.ts";

const events = (report: unknown, path?: string): readonly Event[] =>
  read(trivyCollector, report, path === undefined ? {} : { path }).events;
const kind = (report: unknown, category: string): Event[] =>
  events(report).filter((event) => event.logsource.category === category);

describe("a report", () => {
  it("is one event for the scan and one for each thing found", () => {
    const intake = read(trivyCollector, trivyReport);
    expect(intake).toMatchObject({ records: 1, rejections: [], skipped: 0 });
    expect(intake.events.map((event) => event.fields["event.action"])).toEqual([
      "scan",
      "vulnerability",
      "vulnerability",
      "misconfiguration",
      "secret",
      "license",
    ]);
    expect(new Set(intake.events.map(({ id }) => id)).size).toBe(6);
    expect(intake.events[0]?.id).toBe(`trivy:${trivyReport.ReportID}`);
    for (const event of intake.events) {
      expect(event.id.startsWith(`trivy:${trivyReport.ReportID}`)).toBe(true);
      expect(event.occurredAt).toBe(Date.parse("2026-11-24T09:05:00Z"));
      expect(event.fields).toMatchObject({
        "event.dataset": "trivy.report",
        "pipewarden.time_ns": "1795511100000000005",
        "pipewarden.trivy.version": "0.74.0",
        "pipewarden.trivy.artifact_type": "container_image",
        "container.image.name": "registry.example:5000/acme/parcel",
        "container.image.tag": ["1.4"],
        "artifact.hash": ["sha256:22"],
        "container.image.hash.all": ["sha256:22"],
      });
    }
  });

  it("counts on the scan what was found, passed and suppressed", () => {
    expect(kind(trivyReport, "scan")[0]?.fields).toMatchObject({
      "pipewarden.trivy.results": 4,
      "pipewarden.trivy.count.vulnerability": 2,
      "pipewarden.trivy.count.secret": 1,
      "pipewarden.trivy.count.misconfiguration": 1,
      "pipewarden.trivy.count.license": 1,
      "pipewarden.trivy.count.critical": 1,
      "pipewarden.trivy.count.high": 2,
      "pipewarden.trivy.count.passed": 2,
      "pipewarden.trivy.count.suppressed": 1,
      "pipewarden.trivy.suppressed_ids": ["CVE-2026-0002"],
      "pipewarden.trivy.suppressed_by": [".trivyignore"],
    });
  });

  it("has the vulnerability, scored by the source of its severity", () => {
    const [first, second] = kind(trivyReport, "vulnerability");
    expect(first?.logsource).toEqual({
      product: "trivy",
      category: "vulnerability",
      service: "report",
    });
    expect(first?.fields).toMatchObject({
      "vulnerability.id": "CVE-2026-0001",
      "vulnerability.severity": "critical",
      "vulnerability.score.base": 9.8,
      "log.level": "critical",
      "package.name": "left",
      "package.version": "1.0.0",
      "package.fixed_version": ">= 1.0.1, < 2",
      "package.type": "npm",
      "file.path": "package-lock.json",
      "pipewarden.trivy.purl": "pkg:npm/left@1.0.0",
      "pipewarden.trivy.status": "fixed",
    });
    expect(first?.raw).toBe(JSON.stringify(trivyReport.Results[0]?.Vulnerabilities?.[0]));
    expect(second?.fields).not.toHaveProperty(["package.fixed_version"]);
    expect(second?.fields).not.toHaveProperty(["vulnerability.score.base"]);
  });

  it("has the secret without its lines, the misconfiguration and the license", () => {
    const secret = kind(trivyReport, "secret")[0]?.fields ?? {};
    expect(secret).toMatchObject({ "rule.name": "npm-token", "pipewarden.trivy.line": 3 });
    expect(JSON.stringify(secret)).not.toContain("****");
    expect(kind(trivyReport, "misconfiguration")[0]?.fields).toMatchObject({
      "rule.name": "DS-0002",
      "pipewarden.trivy.line": 4,
    });
    expect(kind(trivyReport, "license")[0]?.fields).toMatchObject({ "package.license": "GPL-3.0" });
  });
});

describe("older and other reports", () => {
  it("are the same when sent again without ReportID, and differ by content", () => {
    const { ReportID: _id, ...old } = trivyReport;
    const ids = (report: unknown): string[] => events(report).map(({ id }) => id);
    expect(ids(old)).toEqual(ids(JSON.stringify(old, undefined, 2)));
    expect(ids(old)[0]).not.toBe(ids({ ...old, ArtifactName: "x" })[0]);
  });

  it("tell a clean scan, with and without results", () => {
    for (const Results of [undefined, null, [], [{ Target: "go.mod", Class: "lang-pkgs" }]]) {
      const [scan, ...rest] = events({ ...trivyReport, Results });
      expect(rest).toEqual([]);
      expect(scan?.fields["pipewarden.trivy.count.vulnerability"]).toBe(0);
    }
  });

  it("are lists of results before 0.20, of one report", () => {
    const intake = read(trivyCollector, trivyReport.Results);
    expect(intake.records).toBe(1);
    expect(intake.events).toHaveLength(6);
    expect(intake.events[0]).toMatchObject({ timeSource: "receipt", occurredAt: receivedAt });
  });

  it("may come several in one file", () => {
    const indented = JSON.stringify(trivyReport, undefined, 2);
    const intake = read(trivyCollector, `${indented}\n${JSON.stringify(trivyReport)}`);
    expect(intake.records).toBe(2);
    expect(intake.events).toHaveLength(12);
  });

  it.each([
    ["https://github.example/acme/parcel", "acme/parcel"],
    ["https://github.example/acme/parcel.git", "acme/parcel"],
    ["git@github.example:acme/parcel.git", "acme/parcel"],
    ["https://github.example/acme", undefined],
    ["file:///x/y", undefined],
  ])("of repository %s join %s", (RepoURL, repository) => {
    const [scan] = events({ ...trivyReport, Metadata: { RepoURL, Branch: "main", Commit: "s" } });
    expect(scan?.join.repository).toBe(repository);
    expect(scan?.fields).toMatchObject({
      "vcs.ref.head.name": "main",
      "vcs.ref.head.revision": "s",
    });
  });

  it("uploaded by a job join its run by the door's path", () => {
    const path = "github/acme/parcel/actions/runs/77/attempts/2";
    for (const event of events(trivyReport, path)) {
      expect(event.join).toEqual({ repository: "acme/parcel", runId: "77", runAttempt: 2 });
    }
  });

  it("have a bounded number of events, and say how many are missing", () => {
    const Vulnerabilities = Array.from({ length: foundMax + 3 }, (_, n) => ({
      VulnerabilityID: `V${n}`,
    }));
    const all = events({ ...trivyReport, Results: [{ Target: "t", Vulnerabilities }] });
    expect(all).toHaveLength(foundMax + 1);
    expect(all[0]?.fields["pipewarden.trivy.dropped"]).toBe(3);
  });

  it("survive lists of anything", () => {
    const odd = { Target: {}, Vulnerabilities: [null, 1, {}, []], Secrets: {} };
    expect(events({ ...trivyReport, Results: [null, 1, "x", [], odd] })).toHaveLength(2);
  });
});

describe("what is refused", () => {
  it.each([
    ["SARIF", { version: "2.1.0", runs: [] }],
    ["CycloneDX", { bomFormat: "CycloneDX", specVersion: "1.6" }],
    ["SPDX", { spdxVersion: "SPDX-2.3" }],
    ["a trivy k8s summary", { ClusterName: "c", Resources: [] }],
    [
      "a resource of the Trivy operator",
      { apiVersion: "aquasecurity.github.io/v1alpha1", kind: "VulnerabilityReport" },
    ],
    ["a resource of the Trivy operator", { verb: "delete", operatorObject: {} }],
    ["a GitHub dependency snapshot", { manifests: {}, detector: { name: "trivy" } }],
    ["AWS Security Finding Format", { Findings: [{ AwsAccountId: "1" }] }],
    ["a Syft SBOM", { artifacts: [], descriptor: { name: "syft" } }],
    ["SchemaVersion 1", { ...trivyReport, SchemaVersion: 1 }],
  ])("%s by name", (name, report) => {
    const intake = read(trivyCollector, report);
    expect(codes(intake)).toEqual(["format-unsupported"]);
    expect(intake.rejections[0]?.problem.found).toBe(name);
  });

  it.each([
    ["a table", "left 1.0.0 CVE-2026-0001 HIGH", "json-invalid"],
    ["another object", { a: 1 }, "field-missing"],
    [
      "a version of another type",
      { ...trivyReport, SchemaVersion: { toString: false } },
      "field-missing",
    ],
    ["results that are no list", { ...trivyReport, Results: { a: 1 } }, "shape-unexpected"],
    ["a report cut off", JSON.stringify(trivyReport).slice(0, 300), "json-invalid"],
  ])("%s", (_name, body, code) => {
    expect(codes(read(trivyCollector, body))).toEqual([code]);
  });
});
