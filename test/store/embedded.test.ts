import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, describe, expect, it } from "vitest";
import { openEmbeddedState } from "../../src/state/embedded.ts";
import { openEmbeddedStore, openMemoryStore } from "../../src/store/embedded.ts";
import { alertOf, describeStore, incidentDocument, incidentOf } from "../contract/store.ts";

const folder = mkdtempSync(join(tmpdir(), "pipewarden-store-"));
let files = 0;

function newPath(): string {
  files += 1;
  return join(folder, `state-${files}.db`);
}

afterAll(() => rmSync(folder, { recursive: true }));

describeStore("memory", { open: openMemoryStore });
describeStore("embedded", { open: () => openEmbeddedStore({ path: newPath() }) });

/** Ids of the documents whose text holds these words. */
function found(path: string, words: string): unknown[] {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    const rows = db.prepare(
      `SELECT id FROM store_text JOIN store_documents ON seq = store_text.rowid
        WHERE store_text MATCH ? ORDER BY id`,
    );
    return rows.all(words).map((row) => row["id"]);
  } finally {
    db.close();
  }
}

describe("the embedded store", () => {
  it("holds what it held when it is opened again", async () => {
    const path = newPath();
    const first = openEmbeddedStore({ path });
    await first.write([incidentDocument(incidentOf("inc_1", { mergedIds: ["inc_0"] }))]);
    await first.close();
    await first.close();
    const second = openEmbeddedStore({ path });
    expect((await second.incident("inc_0"))?.id).toBe("inc_1");
    await second.close();
  });

  it("shares its file with the states of the stages", async () => {
    const path = newPath();
    const states = openEmbeddedState({ path });
    const store = openEmbeddedStore({ path });
    const owner = { stage: "notify", partition: 0 };
    const state = await states.open(owner);
    for (let index = 0; index < 20; index++) {
      state.table("t").put(`${index}`, index);
      await state.commit();
      await store.write([incidentDocument(incidentOf(`inc_${index}`))]);
    }
    expect((await store.incidents({ limit: 50 })).items).toHaveLength(20);
    expect((await states.open(owner)).table("t").size).toBe(20);
    await states.close();
    await store.close();
  });

  it("indexes reason, title, repository and rule, of the newest revision only", async () => {
    const path = newPath();
    const store = openEmbeddedStore({ path });
    const incident = incidentOf("inc_1", { title: "Poisoned cache", reason: "Curl sent bytes." });
    const build = {
      repository: "acme/payments",
      workflow: "nightly",
      runId: "1",
      runAttempt: 1,
      runUrl: "https://github.example/1",
      sha: "0",
      fork: false,
    };
    await store.write([
      incidentDocument({ ...incident, build }),
      { kind: "alert", id: "alr_1", revision: 1, body: alertOf("alr_1") },
    ]);
    expect(found(path, "payments")).toEqual(["inc_1"]);
    expect(found(path, "reason: curl")).toEqual(["inc_1"]);
    expect(found(path, "rule: execution")).toEqual(["alr_1"]);
    await store.write([incidentDocument({ ...incident, revision: 2, reason: "Wget did." })]);
    expect(found(path, "curl")).toEqual([]);
    expect(found(path, "wget")).toEqual(["inc_1"]);
    const merged = incidentOf("inc_2", { mergedIds: ["inc_1"] });
    await store.write([incidentDocument(merged)]);
    expect(found(path, "wget")).toEqual([]);
    await store.close();
  });

  it("rejects while another connection holds the file, and works after", async () => {
    const path = newPath();
    const store = openEmbeddedStore({ path, busyTimeoutMs: 10 });
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    const documents = [incidentDocument(incidentOf("inc_1"))];
    await expect(store.write(documents)).rejects.toMatchObject({ name: "UnavailableError" });
    // Readers are not held up.
    expect(await store.incident("inc_1")).toBeUndefined();
    other.exec("ROLLBACK");
    other.close();
    await store.write(documents);
    expect((await store.incident("inc_1"))?.id).toBe("inc_1");
    await store.close();
  });

  it("says that a file is not a database, or cannot be opened", () => {
    const path = newPath();
    writeFileSync(path, "this is no database, whatever its name says\n".repeat(50));
    expect(() => openEmbeddedStore({ path })).toThrow(/store-corrupt/);
    const absent = join(folder, "no-such-folder", "state.db");
    expect(() => openEmbeddedStore({ path: absent })).toThrow(/unable to open/);
  });

  it("rejects what comes after close", async () => {
    const store = openMemoryStore();
    await store.close();
    await expect(store.incident("x")).rejects.toMatchObject({ name: "UnavailableError" });
    const documents = [incidentDocument(incidentOf("x"))];
    await expect(store.write(documents)).rejects.toMatchObject({ name: "UnavailableError" });
  });
});
