/** @module The fields of GitHub webhooks about security alerts, packages and releases. */

import {
  booleanAt,
  type FieldSet,
  listAt,
  type OpenRecord,
  textAt,
  valueAt,
} from "../event/fields.ts";

/** The three alert events share a frame and differ in what the alert is about. */
export function mapAlert(fields: FieldSet, payload: OpenRecord, event: string): void {
  const alert = valueAt(payload, "alert");
  const prefix = `pipewarden.${event}`;
  fields
    .set(`${prefix}.number`, textAt(alert, "number"))
    .set(`${prefix}.state`, textAt(alert, "state"))
    .set(`${prefix}.url`, textAt(alert, "html_url"))
    .set(`${prefix}.dismissed_by`, textAt(alert, "dismissed_by", "login"))
    .set(`${prefix}.dismissed_reason`, textAt(alert, "dismissed_reason"));
  if (event === "secret_scanning_alert") mapSecret(fields, prefix, alert);
  else if (event === "code_scanning_alert") mapCode(fields, prefix, payload);
  else mapDependency(fields, prefix, alert);
}

function mapSecret(fields: FieldSet, prefix: string, alert: unknown): void {
  fields
    .set(`${prefix}.secret_type`, textAt(alert, "secret_type"))
    .set(`${prefix}.resolution`, textAt(alert, "resolution"))
    .set(`${prefix}.resolved_by`, textAt(alert, "resolved_by", "login"))
    .set(`${prefix}.validity`, textAt(alert, "validity"))
    .set(`${prefix}.publicly_leaked`, booleanAt(alert, "publicly_leaked"))
    .set(`${prefix}.push_protection_bypassed`, booleanAt(alert, "push_protection_bypassed"))
    .set(
      `${prefix}.push_protection_bypassed_by`,
      textAt(alert, "push_protection_bypassed_by", "login"),
    );
}

function mapCode(fields: FieldSet, prefix: string, payload: OpenRecord): void {
  const alert = valueAt(payload, "alert");
  const instance = valueAt(alert, "most_recent_instance") ?? listAt(alert, "instances")[0];
  const ref = textAt(payload, "ref") ?? textAt(instance, "ref");
  fields
    .set("rule.name", textAt(alert, "rule", "id"))
    .set("log.level", textAt(alert, "rule", "security_severity_level") ?? ruleSeverity(alert))
    .set("vcs.ref.head.name", ref?.replace(/^refs\/(?:heads|tags)\//, ""))
    .set("vcs.ref.head.revision", textAt(payload, "commit_oid") ?? textAt(instance, "commit_sha"))
    .set("file.path", textAt(instance, "location", "path"))
    .set(`${prefix}.tool`, textAt(alert, "tool", "name"))
    .set(`${prefix}.description`, textAt(alert, "rule", "description"));
}

function ruleSeverity(alert: unknown): string | undefined {
  return textAt(alert, "rule", "severity")?.toLowerCase();
}

function mapDependency(fields: FieldSet, prefix: string, alert: unknown): void {
  const advisory = valueAt(alert, "security_advisory");
  const vulnerability = valueAt(alert, "security_vulnerability");
  const ghsa = textAt(advisory, "ghsa_id");
  fields
    .set("vulnerability.id", textAt(advisory, "cve_id") ?? ghsa)
    .set("vulnerability.severity", textAt(vulnerability, "severity"))
    .set("vulnerability.score.base", valueAt(advisory, "cvss", "score"))
    .set("log.level", textAt(vulnerability, "severity")?.toLowerCase())
    .set("package.name", textAt(alert, "dependency", "package", "name"))
    .set("package.type", textAt(alert, "dependency", "package", "ecosystem"))
    .set("package.fixed_version", textAt(vulnerability, "first_patched_version", "identifier"))
    .set("file.path", textAt(alert, "dependency", "manifest_path"))
    .set(`${prefix}.ghsa_id`, ghsa)
    .set(`${prefix}.scope`, textAt(alert, "dependency", "scope"))
    .set(`${prefix}.vulnerable_range`, textAt(vulnerability, "vulnerable_version_range"));
}

/**
 * `package` and its older name `registry_package`. A container's version is named by its digest.
 */
export function mapPackage(fields: FieldSet, payload: OpenRecord, event: string): void {
  const object = valueAt(payload, event);
  const version = valueAt(object, "package_version");
  const digest = [textAt(version, "name"), textAt(version, "version")].find((name) =>
    name?.startsWith("sha256:"),
  );
  fields
    .set("package.name", textAt(object, "name"))
    .set("package.version", textAt(version, "version"))
    .set("package.type", textAt(object, "package_type")?.toLowerCase())
    .set("vcs.ref.head.revision", textAt(version, "target_oid"))
    .set("vcs.ref.head.name", textAt(version, "target_commitish"))
    .set("pipewarden.package.id", textAt(object, "id"))
    .set("pipewarden.package.namespace", textAt(object, "namespace"))
    .set("pipewarden.package.visibility", textAt(object, "visibility"))
    .set("pipewarden.package.version_id", textAt(version, "id"))
    .set("pipewarden.package.author", textAt(version, "author", "login"))
    .set("pipewarden.package.tag", textAt(version, "container_metadata", "tag", "name"))
    .set("pipewarden.package.release_tag", textAt(version, "tag_name"));
  if (digest !== undefined) fields.set("artifact.hash", [digest]);
}

export function mapRelease(fields: FieldSet, payload: OpenRecord): void {
  const release = valueAt(payload, "release");
  const assets = listAt(release, "assets");
  fields
    .set("vcs.ref.head.name", textAt(release, "tag_name"))
    .set("vcs.ref.head.type", "tag")
    .set("pipewarden.release.id", textAt(release, "id"))
    .set("pipewarden.release.tag", textAt(release, "tag_name"))
    .set("pipewarden.release.name", textAt(release, "name"))
    .set("pipewarden.release.target", textAt(release, "target_commitish"))
    .set("pipewarden.release.author", textAt(release, "author", "login"))
    .set("pipewarden.release.draft", booleanAt(release, "draft"))
    .set("pipewarden.release.prerelease", booleanAt(release, "prerelease"))
    .set("pipewarden.release.immutable", booleanAt(release, "immutable"))
    .set(
      "pipewarden.release.assets",
      assets.flatMap((asset) => textAt(asset, "name") ?? []),
    );
  const digests = assets.flatMap((asset) => textAt(asset, "digest") ?? []);
  if (digests.length > 0) fields.set("artifact.hash", digests);
}
