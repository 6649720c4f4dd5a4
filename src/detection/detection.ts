/** @module Detection: event in, matches out; stateless. Its front door. */

import { createDetection, readerOf } from "./detect.ts";
import { fillReason, matchedRule, matchId } from "./match.ts";
import { readRuleFiles } from "./rule-files.ts";
import { loadRuleset } from "./ruleset.ts";

export type { DetectedMatch, Detection } from "./detect.ts";
export type { Match, MatchedRule, ReasonValues } from "./match.ts";
export type { ReadRuleFiles, RuleDirectories } from "./rule-files.ts";
export type { RuleFile, Ruleset, RulesetSettings } from "./ruleset.ts";
export { createDetection, fillReason, loadRuleset, matchedRule, matchId, readerOf, readRuleFiles };
