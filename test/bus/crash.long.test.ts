import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import { killAndCheck } from "./crash.ts";

describe("embedded bus under kill -9", () => {
  it("holds every acknowledged call whole and in order after each of 50 kills", async () => {
    const folder = await mkdtemp(join(tmpdir(), "bus-crash-"));
    for (const seed of [1, 2, 3, 4, 5]) await killAndCheck(join(folder, `${seed}.db`), 10, seed);
    await rm(folder, { recursive: true });
  });
});
