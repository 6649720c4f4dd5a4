import { describe, expect, it } from "vitest";
import { openMemoryState } from "../../src/state/memory.ts";
import type { StateOwner } from "../../src/state/state.ts";
import { stateContract } from "../contract/state.ts";

const owner: StateOwner = { stage: "detect", partition: 0 };

stateContract("memory", () => ({
  open: openMemoryState,
  // The store object is what outlives a crash: its stages are opened anew.
  reopen: (store) => store,
  remove: () => undefined,
}));

describe("memory state", () => {
  it("shows at the next opening what JSON cannot hold", async () => {
    const store = openMemoryState();
    const state = await store.open(owner);
    state.table("t").put("date", { at: new Date(0), gone: undefined });
    await state.commit();
    const found = (await store.open(owner)).table("t").get("date");
    expect(found).toStrictEqual({ at: "1970-01-01T00:00:00.000Z" });
  });
});
