/** @module The same as fuzz.test.ts, longer and from many seeds. */

import { describe, it } from "vitest";
import { feeds } from "../../src/event/event.ts";
import { fuzz } from "./fuzz.ts";

describe("hostile input, at length", () => {
  for (const feed of feeds) {
    it.each([1, 2, 3, 4, 5])(`${feed}, seed %i`, (seed) => {
      fuzz(feed, { count: 40_000, seed });
    });
  }
});
