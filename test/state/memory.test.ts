import { describe, expect, it } from "vitest";
import { openMemoryState } from "../../src/state/memory.ts";
import { stateContract } from "../contract/state.ts";

stateContract("memory", () => ({
  open: openMemoryState,
  // The store object is what outlives a crash: its stages are opened anew.
  reopen: (store) => store,
  remove: () => undefined,
}));

describe("memory state", () => {
  it("shows at the next opening what JSON cannot hold", () => {
    const store = openMemoryState();
    const state = store.open("stage");
    state.table("t").put("date", { at: new Date(0), gone: undefined });
    state.commit();
    const found = store.open("stage").table("t").get("date");
    expect(found).toStrictEqual({ at: "1970-01-01T00:00:00.000Z" });
  });
});
