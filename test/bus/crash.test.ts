import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import { killAndCheck } from "./crash.ts";

describe("embedded bus under kill -9", () => {
  it("holds every acknowledged call whole and in order after each of 5 kills", {
    timeout: 120_000,
  }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "bus-crash-"));
    await killAndCheck(join(folder, "bus.db"), 5, 5);
    await rm(folder, { recursive: true });
  });
});
