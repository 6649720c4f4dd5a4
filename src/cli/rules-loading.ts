/**
 * @module Rules and operator lists from the configured directories, with what is wrong with them.
 */

import type { Config } from "../config/config.ts";
import { loadRuleset, type Ruleset, readRuleFiles } from "../detection/detection.ts";
import type { Problem } from "../error.ts";

export interface LoadedRules {
  readonly ruleset: Ruleset;
  readonly problems: readonly Problem[];
  readonly lists: ReadonlyMap<string, readonly string[]>;
}

/** Reads every rule and list; a broken one is a problem and the others still load. */
export function loadRules({
  rulesDirs,
  rulesOff,
  listsDirs,
}: Pick<Config, "rulesDirs" | "rulesOff" | "listsDirs">): LoadedRules {
  const read = readRuleFiles({ rulesDirs, listsDirs });
  const files = read.files.filter(
    ({ path }) => !rulesOff.some((off) => path.endsWith(`/${off}.yml`)),
  );
  const { ruleset, problems } = loadRuleset({ files, lists: read.lists });
  return { ruleset, problems: [...read.problems, ...problems], lists: read.lists };
}
