/** @module `pipewarden rules`: the tests beside the rules, run with the production engine. */

import { type RuleTestResult, runRuleTests } from "../pipeline/rule-test.ts";
import { type CliStreams, grouped, jsonLine, paint, shownLines } from "./terminal.ts";

export interface RulesTestOptions {
  readonly directory: string;
  readonly json: boolean;
}

/** Exit code: 0 when every test passes, 1 when one fails. */
export async function rulesTest(
  { directory, json }: RulesTestOptions,
  { stdout }: CliStreams,
): Promise<number> {
  const results = await runRuleTests({ directory });
  const failed = results.filter(({ passed }) => !passed);
  if (json) for (const result of results) stdout.write(jsonLine(result));
  else for (const result of failed) stdout.write(`${failureText(result, stdout)}\n`);
  if (!json) stdout.write(`${grouped(results.length)} tests, ${grouped(failed.length)} failed\n`);
  return failed.length === 0 ? 0 : 1;
}

function failureText(result: RuleTestResult, stdout: CliStreams["stdout"]): string {
  const { rule, test, explanation } = result;
  return `${paint(stdout, "red", "failed")}  ${shownLines(`${rule}: ${test}\n  ${explanation}`)}`;
}
