import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openEmbeddedState } from "../../src/state/embedded.ts";
import type { StateOwner } from "../../src/state/state.ts";
import { codeOf, contents, stateContract } from "../contract/state.ts";

const owner: StateOwner = { stage: "detect", partition: 0 };

stateContract("embedded", () => {
  const folder = mkdtempSync(join(tmpdir(), "state-"));
  const path = join(folder, "state.db");
  return {
    open: () => openEmbeddedState({ path }),
    reopen: async (store) => {
      await store.close(); // nothing uncommitted is in the file, so a close is as good as a kill
      return openEmbeddedState({ path });
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
});

describe("embedded state", () => {
  let folder: string;
  let path: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "state-"));
    path = join(folder, "state.db");
  });

  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  function tamper(sql: string): void {
    const db = new DatabaseSync(path);
    db.exec(sql);
    db.close();
  }

  async function filled(): Promise<void> {
    const store = openEmbeddedState({ path });
    const state = await store.open(owner);
    state.table("windows").put("a", { n: 1 });
    state.advance("events", 0, 5);
    await state.commit();
    await store.close();
  }

  it.each([
    ["a value that is not JSON", `UPDATE state_entries SET value = '{"n":'`],
    ["a value that is a blob of other bytes", "UPDATE state_entries SET value = x'ff00'"],
    ["a key that is not JSON", "UPDATE state_entries SET key = 'a'"],
    ["a key that is no text", "UPDATE state_entries SET key = '1'"],
    ["a position that is no offset", "UPDATE state_positions SET next = -1"],
    ["a position that is text", "UPDATE state_positions SET next = 'five'"],
    ["a position too large", "UPDATE state_positions SET next = 9007199254740993"],
  ])("refuses a stage with %s", async (_, sql) => {
    await filled();
    tamper(sql);
    const store = openEmbeddedState({ path });
    expect(await codeOf(() => store.open(owner))).toBe("state-corrupt");
    expect(contents(await store.open({ stage: "detect", partition: 1 }), "windows")).toEqual([]);
    await store.close();
  });

  it("refuses a file from before states belonged to partitions, and says what to do", () => {
    tamper('CREATE TABLE state_entries (stage TEXT, "table" TEXT, key TEXT, value TEXT)');
    expect(() => openEmbeddedState({ path })).toThrow("begin a new dataDir");
  });

  it("names the place of what is corrupt", async () => {
    await filled();
    tamper("UPDATE state_entries SET value = 'nonsense'");
    const store = openEmbeddedState({ path });
    await expect(store.open(owner)).rejects.toThrow(`${path}: detect/0/windows/"a": state-corrupt`);
    await store.close();
  });

  it("leaves a position of a topic that it does not know alone", async () => {
    await filled();
    tamper("UPDATE state_positions SET topic = 'later'");
    const store = openEmbeddedState({ path });
    expect((await store.open(owner)).position("events", 0)).toBe(0);
    await store.close();
  });

  it("refuses a file that is no database, or a broken one", async () => {
    writeFileSync(path, "not a database, and long enough to have a header of its own".repeat(9));
    expect(await codeOf(() => openEmbeddedState({ path }))).toBe("state-corrupt");
    rmSync(path);
    await filled();
    const bytes = readFileSync(path);
    for (let at = 4096 * 2; at < 4096 * 2 + 12; at++) bytes[at] = 0xff;
    writeFileSync(path, bytes);
    expect(await codeOf(() => openEmbeddedState({ path }))).toBe("state-corrupt");
  });

  it("says that it cannot open a file in a folder that is not there", async () => {
    const lost = join(folder, "none", "state.db");
    expect(await codeOf(() => openEmbeddedState({ path: lost }))).toBe("state-unavailable");
  });

  it("keeps the changes of a commit that another holder of the file prevents", async () => {
    await filled();
    const store = openEmbeddedState({ path, busyMs: 1 });
    const state = await store.open(owner);
    state.table("windows").put("b", 2);
    state.advance("events", 0, 6);
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    expect(await codeOf(() => state.commit())).toBe("state-unavailable");
    other.exec("COMMIT");
    other.close();
    expect(state.table("windows").get("b")).toBe(2);
    await state.commit();
    await store.close();
    const again = openEmbeddedState({ path });
    expect((await again.open(owner)).table("windows").get("b")).toBe(2);
    expect((await again.open(owner)).position("events", 0)).toBe(6);
    await again.close();
  });

  it("saves nothing of a commit with a value that JSON refuses", async () => {
    await filled();
    const store = openEmbeddedState({ path });
    const state = await store.open(owner);
    state.table("windows").put("fine", 1);
    state.table("windows").put("huge", 1n);
    await expect(state.commit()).rejects.toThrow(TypeError);
    state.rollback();
    state.table("windows").put("later", 1);
    await state.commit();
    await store.close();
    const again = openEmbeddedState({ path });
    expect(contents(await again.open(owner), "windows").map(([key]) => key)).toEqual([
      "a",
      "later",
    ]);
    await again.close();
  });
});
