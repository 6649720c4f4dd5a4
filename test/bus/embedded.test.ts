import { existsSync } from "node:fs";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BusTrouble } from "../../src/bus/bus.ts";
import { openEmbeddedBus } from "../../src/bus/embedded.ts";
import { VirtualClock } from "../../src/clock.ts";
import { busContract, codeOf, record, turn, until, Watcher } from "../contract/bus.ts";

async function newFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), "bus-"));
}

busContract("embedded", {
  place: async () => {
    const folder = await newFolder();
    return {
      open: (options) => openEmbeddedBus({ path: join(folder, "bus.db"), ...options }),
      remove: () => rm(folder, { recursive: true }),
    };
  },
});

describe("embedded bus", () => {
  const clock = new VirtualClock();
  let folder: string;
  let path: string;

  beforeEach(async () => {
    folder = await newFolder();
    path = join(folder, "bus.db");
  });

  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  /** Changes the closed file behind the bus's back. */
  function tamper(sql: string): void {
    const db = new DatabaseSync(path);
    db.exec(sql);
    db.close();
  }

  it("keeps the number of partitions it was made with", async () => {
    await (await openEmbeddedBus({ path, clock, partitions: 3 })).close();
    expect(await codeOf(openEmbeddedBus({ path, clock, partitions: 4 }))).toBe("config-invalid");
    const bus = await openEmbeddedBus({ path, clock });
    expect(bus.partitions("events")).toBe(3);
    await bus.close();
    for (const partitions of [0, 1.5, -1, 5_000]) {
      const other = join(folder, "other.db");
      expect(await codeOf(openEmbeddedBus({ path: other, clock, partitions }))).toBe(
        "config-invalid",
      );
    }
  });

  it("lets one holder at a time have the file", async () => {
    const bus = await openEmbeddedBus({ path, clock });
    expect(await codeOf(openEmbeddedBus({ path, clock }))).toBe("bus-in-use");
    await bus.append([record("k", "v")]); // unharmed by the attempt
    await bus.close();
    const next = await openEmbeddedBus({ path, clock });
    await next.close();
  });

  it("leaves only the file behind when closed", async () => {
    const bus = await openEmbeddedBus({ path, clock });
    await bus.append([record("k", "v")]);
    await bus.close();
    expect(existsSync(path)).toBe(true);
    expect(existsSync(`${path}-wal`)).toBe(false);
    expect(existsSync(`${path}-shm`)).toBe(false);
  });

  it("says that it cannot open a file in a folder that is not there", async () => {
    const lost = join(folder, "none", "bus.db");
    expect(await codeOf(openEmbeddedBus({ path: lost, clock }))).toBe("bus-unavailable");
  });

  it("rejects with intake-full when the file is full, and keeps what it had", async () => {
    const fileBytesMax = 1024 * 1024;
    const bus = await openEmbeddedBus({ path, clock, partitions: 1, fileBytesMax });
    const value = "v".repeat(50_000);
    let taken = 0;
    let code = "resolved";
    while (code === "resolved") {
      code = await codeOf(bus.append([record("k", value), record("k", value)]));
      if (code === "resolved") taken += 2;
    }
    expect(code).toBe("intake-full");
    expect(taken).toBeGreaterThan(2);
    expect(await codeOf(bus.append([record("k", "small")]))).toBe("resolved");
    const seen = new Watcher();
    const consumer = await bus.consume({ group: "g", topics: ["events"] }, seen);
    await consumer.drained();
    expect(seen.records.length).toBe(taken + 1);
    await bus.close();
    expect((await stat(path)).size).toBeLessThanOrEqual(fileBytesMax);
  });

  it("reports a changed value by place, hands over what stands before it, and no more", async () => {
    const first = await openEmbeddedBus({ path, clock, partitions: 1 });
    await first.append(["0", "1", "2", "3"].map((value) => record("k", value)));
    await first.append([record("k", "fine", "alerts")]);
    await first.close();
    tamper(`UPDATE "events/0" SET value = x'39' WHERE offset = 2`);
    const troubles: BusTrouble[] = [];
    const onTrouble = (trouble: BusTrouble) => void troubles.push(trouble);
    const bus = await openEmbeddedBus({ path, clock, onTrouble });
    const seen = new Watcher();
    const settings = { group: "g", topics: ["events", "alerts"] as const };
    const consumer = await bus.consume(settings, seen);
    expect(await codeOf(consumer.drained())).toBe("bus-corrupt");
    await until(() => seen.records.length === 3); // the other topic goes on
    expect(seen.texts.sort()).toEqual(["k=0", "k=1", "k=fine"]);
    expect(troubles.length).toBe(1);
    expect(String(troubles[0]!.error)).toContain(`${path}: events/0 offset 2: bus-corrupt`);
    expect(troubles[0]!.retryAfterMs).toBeUndefined();
    clock.advance(1e9);
    for (let count = 0; count < 20; count++) await turn();
    expect(seen.records.length).toBe(3);
    await bus.close();
  });

  it.each([
    ["a key", `UPDATE "events/0" SET key = x'6a' WHERE offset = 1`],
    ["a time", `UPDATE "events/0" SET appended_at = appended_at + 1 WHERE offset = 1`],
    ["a checksum", `UPDATE "events/0" SET crc32 = crc32 + 1 WHERE offset = 1`],
    ["a type", `UPDATE "events/0" SET value = 'text' WHERE offset = 1`],
    ["a time too large", `UPDATE "events/0" SET appended_at = 9007199254740993 WHERE offset = 1`],
    ["a record gone", `DELETE FROM "events/0" WHERE offset = 1`],
    [
      "two records exchanged",
      `UPDATE "events/0" SET offset = 9 WHERE offset = 1;
       UPDATE "events/0" SET offset = 1 WHERE offset = 2;
       UPDATE "events/0" SET offset = 2 WHERE offset = 9`,
    ],
  ])("reports %s changed when it is read", async (_, sql) => {
    const first = await openEmbeddedBus({ path, clock, partitions: 1 });
    await first.append(["0", "1", "2", "3"].map((value) => record("k", value)));
    await first.close();
    tamper(sql);
    const bus = await openEmbeddedBus({ path, clock });
    const seen = new Watcher();
    const consumer = await bus.consume({ group: "g", topics: ["events"] }, seen);
    expect(await codeOf(consumer.drained())).toBe("bus-corrupt");
    expect(seen.texts).toEqual(["k=0"]);
    await bus.close();
  });

  it.each([
    ["the first record gone", `DELETE FROM "events/0" WHERE offset = 0`],
    ["the last record gone", `DELETE FROM "events/0" WHERE offset = 3`],
    ["all records gone", `DELETE FROM "events/0"`],
    ["a table gone", `DROP TABLE "events/0"`],
    ["a table renamed", `ALTER TABLE "events/0" RENAME TO "evens/0"`],
    ["an end moved", "UPDATE streams SET next = 9 WHERE topic = 'events'"],
    ["ends gone", "DELETE FROM streams WHERE topic = 'events'"],
    ["another format", "PRAGMA user_version = 99"],
    ["another application", "PRAGMA application_id = 1"],
  ])("refuses to open with %s", async (_, sql) => {
    const first = await openEmbeddedBus({ path, clock, partitions: 1 });
    await first.append(["0", "1", "2", "3"].map((value) => record("k", value)));
    await first.close();
    tamper(sql);
    expect(await codeOf(openEmbeddedBus({ path, clock }))).toBe("bus-corrupt");
  });

  it.each([1, 2])("refuses a file of format %i, and says what to do", async (version) => {
    await (await openEmbeddedBus({ path, clock, partitions: 1 })).close();
    tamper(`PRAGMA user_version = ${version}`);
    await expect(openEmbeddedBus({ path, clock })).rejects.toThrow("begin a new dataDir");
  });

  it("refuses a file that is no database", async () => {
    await writeFile(path, "not a database, and long enough to have a header of its own".repeat(9));
    expect(await codeOf(openEmbeddedBus({ path, clock }))).toBe("bus-corrupt");
  });

  it("opens a file whose head has been deleted on purpose, at what is left", async () => {
    const first = await openEmbeddedBus({ path, clock, partitions: 1 });
    await first.append(["0", "1", "2", "3"].map((value) => record("k", value)));
    await first.close();
    tamper(`DELETE FROM "events/0" WHERE offset < 2;
      UPDATE streams SET first = 2 WHERE topic = 'events'`);
    const bus = await openEmbeddedBus({ path, clock });
    const seen = new Watcher();
    const consumer = await bus.consume({ group: "g", topics: ["events"] }, seen);
    await consumer.drained();
    expect(seen.texts).toEqual(["k=2", "k=3"]);
    expect(await bus.end("events", 0)).toBe(4);
    await bus.close();
  });

  it("gives a key that UTF-8 cannot hold back with a replacement character", async () => {
    const bus = await openEmbeddedBus({ path, clock });
    await bus.append([record("a\ud800b", "v")]);
    const seen = new Watcher();
    const consumer = await bus.consume({ group: "g", topics: ["events"] }, seen);
    await consumer.drained();
    expect(seen.texts).toEqual(["a\ufffdb=v"]);
    await bus.close();
  });
});
