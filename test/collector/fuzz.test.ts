/** @module No input makes a collector throw or lose a record. */

import { describe, it } from "vitest";
import { feeds } from "../../src/event/event.ts";
import { fuzz } from "./fuzz.ts";

describe("hostile input", () => {
  it.each(feeds)("%s", (feed) => {
    fuzz(feed, { count: 3_000, seed: 20_261_124 });
  });
});
