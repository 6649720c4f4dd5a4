/** @module One seed judged: the run with its faults beside the same plan without any. */

import { type FaultClass, faultClasses } from "./faults.ts";
import { failuresOf, inStore, normalForm } from "./oracle.ts";
import { type Plan, planOf } from "./plan.ts";
import { type RunSettings, run } from "./simulation.ts";

export interface Verdict {
  readonly seed: number;
  /** What repeats it exactly. */
  readonly command: string;
  readonly plan: Plan;
  /** Empty when all is well. */
  readonly failures: readonly string[];
  readonly trace: readonly string[];
  readonly lives: number;
  readonly steps: number;
  readonly pages: number;
}

export interface CheckSettings {
  /** None when absent. */
  readonly without?: readonly FaultClass[];
  readonly aim?: RunSettings["aim"];
  readonly broken?: RunSettings["broken"];
}

export async function checkSeed(seed: number, settings: CheckSettings = {}): Promise<Verdict> {
  const { without = [], aim, broken } = settings;
  const plan = planOf(seed);
  const straight = await run({ plan, on: new Set() });
  const failures = (await failuresOf(plan, straight)).map((line) => `without faults: ${line}`);
  const expected = normalForm(await inStore(straight.durable.store));
  await straight.durable.close();
  const on = new Set(faultClasses.filter((name) => !without.includes(name)));
  const after = await run({ plan, on, aim, ...(broken === undefined ? {} : { broken }) });
  failures.push(...(await failuresOf(plan, after)));
  const found = normalForm(await inStore(after.durable.store));
  failures.push(
    ...expected.filter((line) => !found.includes(line)).map((line) => `missing: ${line}`),
    ...found.filter((line) => !expected.includes(line)).map((line) => `not expected: ${line}`),
  );
  await after.durable.close();
  const { trace, steps } = after.faults;
  const pages = after.durable.receiver.pages.length;
  const usual = faultClasses.every((name) => on.has(name));
  const only = usual ? "" : ` --only "${[...on].join()}"`;
  const command = `npm run simulate -- ${seed}${only}${aim === undefined ? "" : ` --aim "${aim}"`}`;
  return { seed, command, plan, failures, trace, lives: after.lives, steps, pages };
}

/** The verdict as people read it: how to repeat it, what was planned, what went wrong when. */
export function report({
  seed,
  command,
  plan,
  failures,
  trace,
  lives,
  steps,
  pages,
}: Verdict): string {
  const { world, oracle, harmless } = plan;
  const jobs = world.jobs.map(({ runId, runner, startedAt, completedAt }) => {
    const [from, to] = [startedAt, completedAt].map((at) =>
      new Date(at).toISOString().slice(11, 19),
    );
    return `  run ${runId} on ${runner.name} ${from} to ${to}`;
  });
  return [
    `seed ${seed}: ${command}`,
    `${lives} lives, ${steps} steps, ${pages} pages; builds are told ${world.lateness}`,
    ...jobs,
    ...oracle.map(({ name, rules, tokens }) => `  page: ${name} ${rules} ${tokens}`),
    `  no page: ${harmless.join(" ")}`,
    ...(failures.length === 0 ? ["all is well"] : failures.map((line) => `FAILED ${line}`)),
    ...trace.map((line) => `  ${line}`),
  ].join("\n");
}
