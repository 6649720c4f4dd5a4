/** @module What a Trivy report holds, and its fields under the names of docs/fields.md. */

import {
  type FieldSet,
  isRecord,
  listAt,
  numberAt,
  type OpenRecord,
  textAt,
  textsAt,
  valueAt,
} from "../event/fields.ts";

/**
 * More than this in one report is counted in `pipewarden.trivy.dropped`, and stays in the scan's
 * raw text.
 */
export const foundMax = 20_000;

export type FoundKind = "vulnerability" | "secret" | "misconfiguration" | "license";

/** One thing found, and the result (the scanned file or package set) it stands in. */
export interface Found {
  readonly kind: FoundKind;
  readonly result: OpenRecord;
  readonly item: OpenRecord;
}

export interface Counts {
  readonly byKind: ReadonlyMap<FoundKind, number>;
  readonly bySeverity: ReadonlyMap<string, number>;
  /** Misconfiguration checks that passed or were excepted. */
  readonly passed: number;
  readonly dropped: number;
}

const lists: readonly (readonly [key: string, kind: FoundKind])[] = [
  ["Vulnerabilities", "vulnerability"],
  ["Secrets", "secret"],
  ["Misconfigurations", "misconfiguration"],
  ["Licenses", "license"],
];

/** All that was found, in the report's order. */
export function foundIn(report: OpenRecord): { found: readonly Found[]; counts: Counts } {
  const found: Found[] = [];
  const byKind = new Map<FoundKind, number>();
  const bySeverity = new Map<string, number>();
  let passed = 0;
  let dropped = 0;
  for (const result of listAt(report, "Results")) {
    if (!isRecord(result)) continue;
    for (const [key, kind] of lists) {
      for (const item of listAt(result, key)) {
        if (!isRecord(item)) continue;
        if (kind === "misconfiguration" && (textAt(item, "Status") ?? "FAIL") !== "FAIL") {
          passed++;
          continue;
        }
        byKind.set(kind, (byKind.get(kind) ?? 0) + 1);
        const severity = severityOf(item);
        bySeverity.set(severity, (bySeverity.get(severity) ?? 0) + 1);
        if (found.length < foundMax) found.push({ kind, result, item });
        else dropped++;
      }
    }
  }
  return { found, counts: { byKind, bySeverity, passed, dropped } };
}

const severities = new Set(["critical", "high", "medium", "low", "unknown"]);

function severityOf(item: OpenRecord): string {
  const severity = (textAt(item, "Severity") ?? "unknown").toLowerCase();
  return severities.has(severity) ? severity : "unknown";
}

/** The scan's own event: how much was found, and what someone told Trivy to pass over. */
export function mapSummary(fields: FieldSet, report: OpenRecord, counts: Counts): void {
  for (const [, kind] of lists) {
    fields.set(`pipewarden.trivy.count.${kind}`, counts.byKind.get(kind) ?? 0);
  }
  for (const severity of severities) {
    fields.set(`pipewarden.trivy.count.${severity}`, counts.bySeverity.get(severity) ?? 0);
  }
  // Suppression is an act of its own: an ignore file, or a VEX statement.
  const suppressed = listAt(report, "Results").flatMap((result) =>
    listAt(result, "ExperimentalModifiedFindings"),
  );
  const ids = suppressed.flatMap((one) => idIn(valueAt(one, "Finding")) ?? []);
  fields
    .set("pipewarden.trivy.results", listAt(report, "Results").length)
    .set("pipewarden.trivy.count.passed", counts.passed)
    .set("pipewarden.trivy.count.suppressed", suppressed.length)
    .set("pipewarden.trivy.dropped", counts.dropped === 0 ? undefined : counts.dropped);
  if (ids.length > 0) {
    fields
      .set("pipewarden.trivy.suppressed_ids", ids)
      .set("pipewarden.trivy.suppressed_by", distinct(suppressed, "Source"))
      .set("pipewarden.trivy.suppressed_status", distinct(suppressed, "Status"));
  }
}

function distinct(items: readonly unknown[], key: string): string[] {
  return [...new Set(items.flatMap((item) => textAt(item, key) ?? []))];
}

function idIn(item: unknown): string | undefined {
  return (
    textAt(item, "VulnerabilityID") ??
    textAt(item, "ID") ??
    textAt(item, "AVDID") ??
    textAt(item, "RuleID") ??
    textAt(item, "Name")
  );
}

/**
 * What was scanned, on every event of the report. Answers `owner/name` when it was a repository.
 */
export function mapArtifact(fields: FieldSet, report: OpenRecord): string | undefined {
  const metadata = valueAt(report, "Metadata");
  const tags = textsAt(metadata, "RepoTags");
  const digests = textsAt(metadata, "RepoDigests").flatMap((one) => one.split("@")[1] ?? []);
  const url = textAt(metadata, "RepoURL");
  const repository = repositoryIn(url);
  fields
    .set("pipewarden.trivy.version", textAt(report, "Trivy", "Version"))
    .set("pipewarden.trivy.artifact_name", textAt(report, "ArtifactName"))
    .set("pipewarden.trivy.artifact_type", textAt(report, "ArtifactType"))
    .set("pipewarden.trivy.image_id", textAt(metadata, "ImageID"))
    .set("pipewarden.trivy.os", textAt(metadata, "OS", "Family"))
    .set("pipewarden.trivy.os_end_of_life", valueAt(metadata, "OS", "EOSL"))
    .set("vcs.repository.url.full", url)
    .set("vcs.repository.name", repository)
    .set("vcs.owner.name", repository?.split("/", 1)[0])
    .set("vcs.ref.head.name", textAt(metadata, "Branch"))
    .set("vcs.ref.head.revision", textAt(metadata, "Commit"));
  if (digests.length > 0) {
    fields.set("artifact.hash", digests).set("container.image.hash.all", digests);
  }
  const [first] = tags;
  if (first !== undefined) {
    const colon = first.lastIndexOf(":");
    const named = colon > first.lastIndexOf("/");
    fields.set("container.image.name", named ? first.slice(0, colon) : first).set(
      "container.image.tag",
      tags.flatMap((tag) => (/:([^:/]+)$/.exec(tag) ?? [])[1] ?? []),
    );
  }
  return repository;
}

/** `owner/name` of `https://host/owner/name(.git)` and `git@host:owner/name.git`. */
function repositoryIn(url: string | undefined): string | undefined {
  return /^(?:https?:\/\/[^/]+\/|(?:ssh:\/\/)?git@[^:/]+[:/])([\w.-]+\/[\w.-]+?)(?:\.git)?\/?$/.exec(
    url ?? "",
  )?.[1];
}

export function mapFound(fields: FieldSet, { kind, result, item }: Found): void {
  fields
    .set("log.level", severityOf(item))
    .set("file.path", textAt(result, "Target"))
    .set("pipewarden.trivy.target", textAt(result, "Target"))
    .set("pipewarden.trivy.class", textAt(result, "Class"))
    .set("pipewarden.trivy.type", textAt(result, "Type"))
    .set("pipewarden.trivy.title", textAt(item, "Title"))
    .set("pipewarden.trivy.status", textAt(item, "Status"))
    .set("pipewarden.trivy.fingerprint", textAt(item, "Fingerprint"))
    .set("pipewarden.trivy.primary_url", textAt(item, "PrimaryURL"));
  if (kind === "vulnerability") mapVulnerability(fields, result, item);
  else if (kind === "secret") mapSecret(fields, item);
  else if (kind === "misconfiguration") mapMisconfiguration(fields, item);
  else mapLicense(fields, item);
}

function mapVulnerability(fields: FieldSet, result: OpenRecord, item: OpenRecord): void {
  fields
    .set("vulnerability.id", textAt(item, "VulnerabilityID"))
    .set("vulnerability.severity", severityOf(item))
    .set("vulnerability.score.base", scoreOf(item))
    .set("package.name", textAt(item, "PkgName"))
    .set("package.version", textAt(item, "InstalledVersion"))
    // Free text: `2.6.9, 3.1.0`, `>= 2.1.0`.
    .set("package.fixed_version", textAt(item, "FixedVersion"))
    .set("package.type", textAt(result, "Type"))
    .set("package.path", textAt(item, "PkgPath"))
    .set("pipewarden.trivy.purl", textAt(item, "PkgIdentifier", "PURL"))
    .set("pipewarden.trivy.published_at", textAt(item, "PublishedDate"))
    .set("pipewarden.trivy.cwe", textsAt(item, "CweIDs"));
}

/**
 * The score of the source the severity was taken from, else the National Vulnerability Database's.
 */
function scoreOf(item: OpenRecord): number | undefined {
  for (const source of [textAt(item, "SeveritySource") ?? "", "nvd"]) {
    const scores = valueAt(item, "CVSS", source);
    const score =
      numberAt(scores, "V40Score") ?? numberAt(scores, "V3Score") ?? numberAt(scores, "V2Score");
    if (score !== undefined) return score;
  }
  return undefined;
}

/**
 * The matched line is masked by Trivy, the lines around it are not: they stay out of the fields.
 */
function mapSecret(fields: FieldSet, item: OpenRecord): void {
  fields
    .set("rule.name", textAt(item, "RuleID"))
    .set("rule.category", textAt(item, "Category"))
    .set("pipewarden.trivy.line", numberAt(item, "StartLine"));
}

function mapMisconfiguration(fields: FieldSet, item: OpenRecord): void {
  fields
    .set("rule.name", textAt(item, "ID") ?? textAt(item, "AVDID"))
    .set("rule.category", textAt(item, "Type"))
    .set("pipewarden.trivy.message", textAt(item, "Message"))
    .set("pipewarden.trivy.resolution", textAt(item, "Resolution"))
    .set("pipewarden.trivy.provider", textAt(item, "CauseMetadata", "Provider"))
    .set("pipewarden.trivy.line", numberAt(item, "CauseMetadata", "StartLine"));
}

function mapLicense(fields: FieldSet, item: OpenRecord): void {
  fields
    .set("rule.name", textAt(item, "Name"))
    .set("rule.category", textAt(item, "Category"))
    .set("package.name", textAt(item, "PkgName"))
    .set("package.license", textAt(item, "Name"));
}
