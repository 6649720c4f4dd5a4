/**
 * @module Names the report formats that Trivy and its neighbours write and that are not read here.
 */

import { isRecord, listAt, textAt, valueAt } from "../event/fields.ts";

const has = (value: unknown, ...path: readonly string[]): boolean =>
  valueAt(value, ...path) !== undefined;

const formats: readonly (readonly [name: string, test: (value: unknown) => boolean])[] = [
  ["SARIF", (value) => Array.isArray(valueAt(value, "runs")) && has(value, "version")],
  ["CycloneDX", (value) => textAt(value, "bomFormat") === "CycloneDX"],
  ["SPDX", (value) => has(value, "spdxVersion") || has(value, "SPDXID")],
  ["a trivy k8s summary", (value) => has(value, "ClusterName")],
  [
    "a resource of the Trivy operator",
    (value) =>
      textAt(value, "apiVersion")?.startsWith("aquasecurity.github.io/") === true ||
      has(value, "operatorObject"),
  ],
  [
    "a GitHub dependency snapshot",
    (value) => has(value, "manifests") && has(value, "detector", "name"),
  ],
  ["a cosign vulnerability attestation", (value) => has(value, "scanner", "result")],
  ["AWS Security Finding Format", (value) => has(listAt(value, "Findings")[0], "AwsAccountId")],
  ["a GitLab report", (value) => has(value, "vulnerabilities") && has(value, "scan", "scanner")],
  ["a Syft SBOM", (value) => has(value, "artifacts") && has(value, "descriptor", "name")],
];

/** The format's name; undefined when it is none of these. */
export function foreignFormat(value: unknown): string | undefined {
  if (!isRecord(value)) return undefined;
  return formats.find(([, test]) => test(value))?.[0];
}
