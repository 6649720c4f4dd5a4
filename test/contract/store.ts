/** @module The Store contract as tests: each implementation runs them on a store of its own. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Alert, Incident } from "../../src/alert/alert.ts";
import type { Event } from "../../src/event/event.ts";
import type { DeliveryStatus } from "../../src/sink/sink.ts";
import type { Store, StoreDocument } from "../../src/store/store.ts";

const start = Date.UTC(2026, 10, 23, 9, 0, 0);

export function incidentOf(id: string, parts: Partial<Incident> = {}): Incident {
  return {
    id,
    revision: 1,
    level: "high",
    title: `Incident ${id}`,
    reason: "Something happened.",
    alertIds: [],
    mergedIds: [],
    origins: [],
    secretsExposed: [],
    openedAt: start,
    firstSeen: start,
    lastSeen: start,
    ...parts,
  };
}

export function incidentDocument(body: Incident): StoreDocument {
  return { kind: "incident", id: body.id, revision: body.revision, body };
}

export function eventOf(id: string, parts: Partial<Event> = {}): Event {
  return {
    id,
    feed: "falco",
    logsource: { product: "linux" },
    occurredAt: start,
    receivedAt: start + 1,
    timeSource: "feed",
    fields: { "process.name": "bash", ["__proto__"]: null, "a.list": ["x", 1, true, null] },
    join: { host: "build-3" },
    raw: 'raw "text" \u0000 \ud800 Ω 🙂',
    ...parts,
  };
}

export function alertOf(id: string, parts: Partial<Alert> = {}): Alert {
  return {
    id,
    revision: 1,
    fingerprint: "fp",
    incidentId: "inc_1",
    rule: {
      id: "rule-1",
      title: "Shell on a runner",
      level: "high",
      tags: ["attack.execution"],
      page: true,
      response: [],
      falsePositives: [],
      dedupe: [],
      dedupeMs: 60_000,
      causes: {},
    },
    reason: "A shell ran.",
    count: 1,
    firstSeen: start,
    lastSeen: start,
    events: [eventOf("falco/1")],
    ...parts,
  };
}

export function deliveryOf(parts: Partial<DeliveryStatus> = {}): DeliveryStatus {
  return {
    ...{ noticeKey: "inc_1/page", sink: "pager", incidentId: "inc_1", kind: "page" },
    ...{ status: "pending", retries: 0, promisedAt: start, dueAt: start },
    ...parts,
  };
}

/** The page of an incident, as far as it has come. */
export function deliveryDocument(
  incidentId: string,
  status: DeliveryStatus["status"],
  parts: Partial<DeliveryStatus> = {},
): StoreDocument {
  const body = deliveryOf({ incidentId, noticeKey: `${incidentId}/page`, status, ...parts });
  const revision = status === "pending" ? body.retries : Number.MAX_SAFE_INTEGER;
  return { kind: "delivery", id: `${body.noticeKey}/${body.sink}`, revision, body };
}

export interface StoreSuite {
  /** A new, empty store. Closed by the suite. */
  readonly open: () => Store | Promise<Store>;
  /** Makes what was written visible to reads, where that takes an act of its own. */
  readonly settle?: (store: Store) => Promise<void>;
}

export function describeStore(name: string, suite: StoreSuite): void {
  describe(`store: ${name}`, () => {
    let store: Store;

    async function write(...documents: readonly StoreDocument[]): Promise<void> {
      await store.write(documents);
      await suite.settle?.(store);
    }

    /** Ids of all pages of `limit`, page by page. */
    async function pages(limit: number): Promise<string[][]> {
      const found: string[][] = [];
      let cursor: string | undefined;
      do {
        const page = await store.incidents(cursor === undefined ? { limit } : { limit, cursor });
        found.push(page.items.map(({ id }) => id));
        cursor = page.cursor;
      } while (cursor !== undefined && found.length < 100);
      return found;
    }

    beforeEach(async () => {
      store = await suite.open();
    });

    afterEach(async () => {
      await store.close();
    });

    it("tells how far the notices of incidents have come, oldest first", async () => {
      const [later, late] = [{ promisedAt: start + 2 }, { promisedAt: start + 1 }];
      await write(
        deliveryDocument("inc_1", "pending", later),
        deliveryDocument("inc_2", "pending", late),
        deliveryDocument("inc_3", "delivered"),
      );
      const statuses = async (...ids: string[]) =>
        (await store.deliveries(ids)).map(({ incidentId, status }) => `${incidentId} ${status}`);
      expect(await statuses("inc_1", "inc_2")).toEqual(["inc_2 pending", "inc_1 pending"]);
      await write(deliveryDocument("inc_1", "delivered", later));
      // An older telling that comes late changes nothing.
      await write(deliveryDocument("inc_1", "pending", { ...later, retries: 3 }));
      expect(await statuses("inc_1")).toEqual(["inc_1 delivered"]);
      expect(await statuses()).toEqual([]);
      expect(await statuses("inc_4")).toEqual([]);
    });

    it("gives back what was written, to the letter", async () => {
      const [incident, alert, event] = [incidentOf("inc_1"), alertOf("alr_1"), eventOf("falco/1")];
      await write(
        incidentDocument(incident),
        { kind: "alert", id: "alr_1", revision: 1, body: alert },
        { kind: "event", id: "falco/1", revision: 0, body: event },
      );
      expect(await store.incident("inc_1")).toEqual(incident);
      expect(await store.alert("alr_1")).toEqual(alert);
      expect(await store.event("falco/1")).toEqual(event);
    });

    it("knows nothing of what was not written, nor of the same id of another kind", async () => {
      await write(incidentDocument(incidentOf("x")));
      expect(await store.alert("x")).toBeUndefined();
      expect(await store.event("x")).toBeUndefined();
      expect(await store.incident("y")).toBeUndefined();
      expect(await store.incident("__proto__")).toBeUndefined();
    });

    it.each([
      ["a newer revision replaces", 2, "new"],
      ["the same revision does not", 1, "old"],
      ["an older one does not", 0, "old"],
    ])("%s", async (_, revision, title) => {
      await write(incidentDocument(incidentOf("inc_1", { title: "old" })));
      await write(incidentDocument(incidentOf("inc_1", { revision, title: "new" })));
      expect((await store.incident("inc_1"))?.title).toBe(title);
    });

    it("takes several revisions of one document in one write, in any order", async () => {
      const revisions = [3, 1, 4, 2].map((revision) =>
        incidentDocument(incidentOf("inc_1", { revision, title: `${revision}` })),
      );
      await write(...revisions);
      expect((await store.incident("inc_1"))?.title).toBe("4");
      expect(await pages(10)).toEqual([["inc_1"]]);
    });

    it("keeps events by revision too: the joined one stays", async () => {
      const joined = eventOf("falco/1", { join: { host: "joined" } });
      await write({ kind: "event", id: "falco/1", revision: 1, body: joined });
      await write({ kind: "event", id: "falco/1", revision: 0, body: eventOf("falco/1") });
      expect((await store.event("falco/1"))?.join).toEqual({ host: "joined" });
    });

    it("lists incidents latest first, in pages, each once", async () => {
      const incidents = Array.from({ length: 25 }, (_, index) =>
        incidentOf(`inc_${String(index).padStart(2, "0")}`, { lastSeen: start + (index % 5) }),
      );
      await write(...incidents.map(incidentDocument));
      const expected = [...incidents]
        .sort((left, right) => right.lastSeen - left.lastSeen || (left.id < right.id ? 1 : -1))
        .map(({ id }) => id);
      const found = await pages(10);
      expect(found.map((page) => page.length)).toEqual([10, 10, 5]);
      expect(found.flat()).toEqual(expected);
      expect(await pages(25)).toEqual([expected]);
    });

    it("pages on where it stopped while incidents change", async () => {
      const at = (id: string, lastSeen: number, revision = 1) =>
        incidentDocument(incidentOf(id, { lastSeen, revision }));
      await write(at("a", start + 4), at("b", start + 3), at("c", start + 2), at("d", start + 1));
      const first = await store.incidents({ limit: 2 });
      expect(first.items.map(({ id }) => id)).toEqual(["a", "b"]);
      // A new one at the top and an update of one already read shift nothing.
      await write(at("e", start + 9), at("b", start + 10, 2));
      const second = await store.incidents({ limit: 2, cursor: first.cursor! });
      expect(second.items.map(({ id }) => id)).toEqual(["c", "d"]);
      expect(second.cursor).toBeUndefined();
    });

    it("gives an empty page when there is nothing", async () => {
      expect(await store.incidents({ limit: 10 })).toEqual({ items: [] });
    });

    it.each([0, -1, 1.5, Number.NaN])("takes limit %d as at least one", async (limit) => {
      await write(incidentDocument(incidentOf("a")), incidentDocument(incidentOf("b")));
      expect((await store.incidents({ limit })).items).toHaveLength(1);
    });

    it.each([
      "",
      "x",
      "%%%",
      "bnVsbA",
      Buffer.from('["1","x"]').toString("base64url"),
      Buffer.from("[1]").toString("base64url"),
    ])("refuses the cursor %j, which it never gave", async (cursor) => {
      await expect(store.incidents({ limit: 1, cursor })).rejects.toMatchObject({
        problem: { code: "cursor-invalid" },
      });
    });

    describe("merged incidents", () => {
      const survivor = incidentOf("inc_b", { revision: 2, mergedIds: ["inc_a"] });

      it("are found under the id they had, and listed no more", async () => {
        await write(incidentDocument(incidentOf("inc_a")), incidentDocument(incidentOf("inc_b")));
        expect((await pages(10)).flat().sort()).toEqual(["inc_a", "inc_b"]);
        await write(incidentDocument(survivor));
        expect(await store.incident("inc_a")).toEqual(survivor);
        expect(await pages(10)).toEqual([["inc_b"]]);
      });

      it("stay merged when a late document of theirs arrives", async () => {
        await write(incidentDocument(survivor));
        await write(incidentDocument(incidentOf("inc_a", { revision: 9 })));
        expect(await store.incident("inc_a")).toEqual(survivor);
        expect(await pages(10)).toEqual([["inc_b"]]);
      });

      it("are followed over several merges", async () => {
        await write(incidentDocument(survivor));
        const last = incidentOf("inc_c", { revision: 3, mergedIds: ["inc_b"] });
        await write(incidentDocument(last));
        expect(await store.incident("inc_a")).toEqual(last);
        expect(await store.incident("inc_b")).toEqual(last);
      });

      it("do not hang it when two name each other", async () => {
        await write(incidentDocument(incidentOf("inc_a", { mergedIds: ["inc_a", "inc_b"] })));
        await write(incidentDocument(incidentOf("inc_b", { mergedIds: ["inc_a"] })));
        expect((await store.incident("inc_b"))?.id).toBe("inc_a");
      });
    });

    it("writes all of a call or nothing", async () => {
      const circular: Record<string, unknown> = {};
      circular["self"] = circular;
      const bad = { ...incidentOf("inc_2"), origins: circular } as unknown as Incident;
      const documents = [incidentDocument(incidentOf("inc_1")), incidentDocument(bad)];
      await expect(store.write(documents)).rejects.toThrow();
      await suite.settle?.(store);
      expect(await store.incident("inc_1")).toBeUndefined();
      await write(incidentDocument(incidentOf("inc_1")));
      expect((await store.incident("inc_1"))?.id).toBe("inc_1");
    });

    it("writes nothing for no documents", async () => {
      await write();
      expect(await pages(10)).toEqual([[]]);
    });
  });
}
