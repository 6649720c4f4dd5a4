/** @module What every rule document carries: title, id, level and the `pipewarden:` key. */

import { hourMs } from "../clock.ts";
import { levels, type PipewardenExtension, type RuleMeta } from "./rule.ts";
import {
  durationOf,
  entryOf,
  flagOf,
  missing,
  refuse,
  refuseUnknownKeys,
  requiredTextOf,
  type Section,
  sectionOf,
  textOf,
  textsOf,
  wordOf,
} from "./section.ts";

// Source: Sigma rules specification 2.1.0, "status".
const statuses = ["stable", "test", "experimental", "deprecated", "unsupported"] as const;

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const day = 24 * hourMs;

/** A rule id as compared: UUIDs are equal in any case. Names stay as they are. */
export function canonicalReference(reference: string): string {
  return uuid.test(reference) ? reference.toLowerCase() : reference;
}

/** The document's own keys. Other keys at the top are allowed by Sigma and left alone. */
export function readMeta(document: Section): RuleMeta {
  const name = textOf(document, "name");
  return {
    id: readId(document),
    ...(name === undefined ? {} : { name }),
    title: requiredTextOf(document, "title"),
    description: textOf(document, "description") ?? "",
    level: wordOf(document, "level", levels) ?? "medium",
    status: wordOf(document, "status", statuses) ?? "",
    tags: textsOf(document, "tags"),
    references: textsOf(document, "references"),
    falsePositives: textsOf(document, "falsepositives"),
    pipewarden: readExtension(document),
    place: document.map.place.replace(/:\d+$/, ""),
  };
}

function readId(document: Section): string {
  const entry = entryOf(document, "id");
  const id = textOf(document, "id");
  if (entry === undefined) missing(document, "id", "a UUID");
  else if (id !== undefined && !uuid.test(id)) refuse(document, entry, "a UUID");
  return (id ?? "").toLowerCase();
}

const extensionKeys = ["page", "reason", "response", "runbook", "dedupe", "causes"] as const;

function readExtension(document: Section): PipewardenExtension {
  const section = sectionOf(document, "pipewarden");
  if (section === undefined) {
    return { page: false, response: [], dedupe: [], dedupeMs: hourMs, causes: {} };
  }
  refuseUnknownKeys(section, extensionKeys);
  const reason = textOf(section, "reason");
  const runbook = textOf(section, "runbook");
  const dedupe = sectionOf(section, "dedupe");
  if (dedupe !== undefined) refuseUnknownKeys(dedupe, ["by", "for"]);
  return {
    page: flagOf(section, "page") ?? false,
    ...(reason === undefined ? {} : { reason }),
    response: textsOf(section, "response"),
    ...(runbook === undefined ? {} : { runbook }),
    dedupe: dedupe === undefined ? [] : textsOf(dedupe, "by"),
    dedupeMs: (dedupe && durationOf(dedupe, "for", 30 * day)) ?? hourMs,
    causes: readCauses(section),
  };
}

function readCauses(section: Section): Readonly<Record<string, string>> {
  const causes = sectionOf(section, "causes");
  if (causes === undefined) return {};
  const pairs: [string, string][] = [];
  for (const key of causes.map.entries.keys()) pairs.push([key, requiredTextOf(causes, key)]);
  // fromEntries defines own properties, so a kind called __proto__ is a kind like any other.
  return Object.fromEntries(pairs);
}
