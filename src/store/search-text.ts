/** @module Search text: the words of a document that people look for. */

import type { Alert } from "../alert/alert.ts";
import type { StoreDocument } from "./store.ts";

export interface SearchText {
  readonly title: string;
  readonly reason: string;
  readonly repository: string;
  /** Id, title and tags of the rules. */
  readonly rule: string;
}

function ruleText(rule: Alert["rule"]): string {
  return [rule.id, rule.title, ...rule.tags].join(" ");
}

/** Undefined for events and deliveries: they are found by their alert or incident. */
export function searchTextOf(document: StoreDocument): SearchText | undefined {
  if (document.kind === "event" || document.kind === "delivery") return undefined;
  const { body } = document;
  const repository = body.build?.repository ?? "";
  if (document.kind === "alert") {
    const { rule, reason } = document.body;
    return { title: rule.title, reason, repository, rule: ruleText(rule) };
  }
  const { title, reason, origins } = document.body;
  const repositories = [repository, ...origins.map(({ origin }) => origin.repository)];
  return { title, reason, repository: [...new Set(repositories)].join(" "), rule: title };
}
