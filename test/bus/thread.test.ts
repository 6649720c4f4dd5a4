import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { BusThread } from "../../src/bus/embedded-thread.ts";
import { codeOf } from "../contract/bus.ts";

it("answers a request that it cannot do with bus-unavailable, and does the next", async () => {
  const folder = await mkdtemp(join(tmpdir(), "bus-"));
  const path = join(folder, "bus.db");
  const limits = { fileBytesMax: undefined, checkBytesMax: undefined };
  const thread = new BusThread({ path, partitions: 1, ...limits });
  expect((await thread.opened).streams.every(({ first, next }) => first + next === 0)).toBe(true);
  const range = { stream: 99, from: 0, max: 1 };
  expect(await codeOf(thread.ask({ kind: "read", range }))).toBe("bus-unavailable");
  const cut = { buffer: new ArrayBuffer(40), used: 40 };
  new DataView(cut.buffer).setUint32(0, 99, true);
  expect(await codeOf(thread.ask({ kind: "append", chunks: [cut] }))).toBe("bus-unavailable");
  // The transaction of the failed append is over.
  expect(await thread.ask({ kind: "append", chunks: [] })).toMatchObject({ grown: [] });
  await thread.ask({ kind: "close" });
  await thread.exited();
  expect(await codeOf(thread.ask({ kind: "close" }))).toBe("bus-unavailable");
  await rm(folder, { recursive: true });
});
