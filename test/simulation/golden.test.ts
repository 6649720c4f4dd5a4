// The golden files are written anew by `npm test -- -u test/simulation/golden.test.ts`.

import { describe, expect, it } from "vitest";
import { outcomeOf, scenarios, variations } from "./golden.ts";

describe.each(scenarios)("$name", (scenario) => {
  it.each(variations)("$name", async (variation) => {
    const { found, lives } = await outcomeOf(scenario, variation);
    if (variation.killEvery !== undefined) expect(lives).toBeGreaterThan(3);
    await expect(`${JSON.stringify(found, undefined, 2)}\n`).toMatchFileSnapshot(
      `golden/${scenario.name}.json`,
    );
  });
});

describe("the golden form", () => {
  it.each(scenarios)("of $name changes when any attack's post is missing", async (scenario) => {
    const [straight = { name: "straight" }] = variations;
    const whole = await outcomeOf(scenario, straight);
    const attack = /x\.drop\.example|http:\/\/203\.0\.113\.77/;
    const attacks = scenario.posts.filter(({ body }) => attack.test(body));
    expect(attacks.length).toBeGreaterThan(0);
    for (const missing of attacks) {
      const posts = scenario.posts.filter((post) => post !== missing);
      const { found } = await outcomeOf({ ...scenario, posts }, straight);
      expect(found).not.toEqual(whole.found);
    }
  });
});
