import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BusFile, type FileTrim } from "../../src/bus/embedded-file.ts";
import { FrameWriter, headerBytes, readFrames, streamOf } from "../../src/bus/frame.ts";

const stream = streamOf("events", 0, 1);

function open(path: string): BusFile {
  return new BusFile({ path, partitions: 1, fileBytesMax: undefined, checkBytesMax: undefined });
}

interface Kept {
  readonly offset: number;
  readonly appendedAt: number;
  readonly size: number;
}

type Step =
  | { readonly kind: "append"; readonly sizes: readonly number[] }
  | { readonly kind: "trim"; readonly before: number; readonly age: number; readonly bytes: number }
  | { readonly kind: "reopen" };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant("append" as const),
    sizes: fc.array(fc.integer({ min: 0, max: 40_000 }), { minLength: 1, maxLength: 6 }),
  }),
  fc.record({
    kind: fc.constant("trim" as const),
    before: fc.nat(40),
    age: fc.nat(6),
    bytes: fc.oneof(fc.nat(60_000), fc.constant(Number.MAX_SAFE_INTEGER)),
  }),
  fc.record({ kind: fc.constant("reopen" as const) }),
);

/** What the promise of `trim` leaves: all conditions hold for each that goes, from the head. */
function trimmed(kept: readonly Kept[], { before, appendedBefore, bytes }: FileTrim): Kept[] {
  let freed = 0;
  const stays = kept.findIndex(({ offset, appendedAt, size }) => {
    if (offset >= before || appendedAt >= appendedBefore || freed >= bytes) return true;
    freed += size;
    return false;
  });
  return stays === -1 ? [] : kept.slice(stays);
}

function contents(file: BusFile): Kept[] {
  const { first, next } = file.extents()[stream]!;
  const found: Kept[] = [];
  for (let from = first; from < next; from = found.at(-1)!.offset + 1) {
    for (const record of file.read({ stream, from, max: 100 }).flatMap((c) => readFrames(c, 1))) {
      const size = headerBytes + record.key.length + record.value.byteLength;
      found.push({ offset: record.offset, appendedAt: record.appendedAt, size });
    }
  }
  return found;
}

describe("trim", () => {
  it("leaves exactly what it promises, also in the file as a kill would leave it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "bus-trim-"));
    let round = 0;
    const property = fc.asyncProperty(fc.array(step, { maxLength: 14 }), async (steps) => {
      const path = join(folder, `${round++}.db`);
      let file = open(path);
      let model: Kept[] = [];
      let next = 0;
      let now = 0;
      for (const one of steps) {
        now += 1;
        if (one.kind === "append") {
          const writer = new FrameWriter();
          for (const size of one.sizes) {
            writer.write({ stream, offset: 0, appendedAt: now, value: Buffer.alloc(size) }, "k", 1);
            model.push({ offset: next++, appendedAt: now, size: headerBytes + 1 + size });
          }
          file.append(writer.take());
        } else if (one.kind === "trim") {
          const trim = { stream, before: one.before, appendedBefore: now - one.age };
          file.trim({ ...trim, bytes: one.bytes });
          model = trimmed(model, { ...trim, bytes: one.bytes });
        } else {
          file.close();
          file = open(path);
        }
        const killed = `${path}-killed`;
        await copyFile(path, killed);
        await copyFile(`${path}-wal`, `${killed}-wal`).catch(() => undefined);
        const copy = open(killed);
        for (const each of [file, copy]) {
          const bytes = model.reduce((sum, { size }) => sum + size, 0);
          expect(each.extents()[stream]).toEqual({ first: model[0]?.offset ?? next, next, bytes });
          expect(contents(each)).toEqual(model);
        }
        copy.close();
        await rm(`${killed}-wal`, { force: true });
      }
      file.close();
    });
    await fc.assert(property, { seed: 20261124, numRuns: 25 });
    await rm(folder, { recursive: true });
  });

  it("does a bounded part at once, and ends when it is repeated", async () => {
    const folder = await mkdtemp(join(tmpdir(), "bus-trim-"));
    const file = open(join(folder, "bus.db"));
    const writer = new FrameWriter();
    for (let count = 0; count < 2_500; count++) {
      writer.write({ stream, offset: 0, appendedAt: 1, value: Buffer.alloc(9) }, "k", 1);
    }
    file.append(writer.take());
    const trim = { stream, before: 2_400, appendedBefore: 2, bytes: Number.MAX_SAFE_INTEGER };
    const firsts = [1, 2, 3, 4].map(() => file.trim(trim).first);
    expect(firsts).toEqual([1_000, 2_000, 2_400, 2_400]);
    expect(file.read({ stream, from: 2_399, max: 1 })).toEqual([]);
    file.close();
    await rm(folder, { recursive: true });
  });
});
