import { describe, expect, it } from "vitest";
import { topics } from "../../src/bus/bus.ts";
import { FrameWriter, partitionOf, placeOf, readFrames, streamOf } from "../../src/bus/frame.ts";

describe("partitionOf", () => {
  // Part of the file format: these numbers may never change.
  it.each([
    ["", 8, 1],
    ["runner-1", 8, 6],
    ["runner-2", 8, 7],
    ["octo/shop", 8, 6],
    ["ключ", 8, 3],
    ["runner-1", 3, 2],
    ["runner-1", 1, 0],
  ])("puts %j of %i partitions into %i", (key, partitions, partition) => {
    expect(partitionOf(key, partitions)).toBe(partition);
  });

  it("spreads keys that differ in a digit", () => {
    const counts = Array.from({ length: 8 }, () => 0);
    for (let index = 0; index < 8_000; index++) counts[partitionOf(`runner-${index}`, 8)]!++;
    for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(250);
  });
});

describe("frames", () => {
  it("numbers every partition of every topic once", () => {
    const seen = new Set<number>();
    for (const topic of topics) {
      for (const partition of [0, 1, 2]) {
        const stream = streamOf(topic, partition, 3);
        seen.add(stream);
        expect(placeOf(stream, 3)).toEqual({ topic, partition });
      }
    }
    expect(seen.size).toBe(topics.length * 3);
    expect(() => placeOf(topics.length * 3, 3)).toThrow(RangeError);
  });

  it("carries records of any size over several chunks", () => {
    const writer = new FrameWriter();
    const sizes = [0, 1, 16 * 1024, 5, 3 * 1024 * 1024, 70_000, 0];
    for (const [offset, size] of sizes.entries()) {
      const value = new Uint8Array(size).fill(offset + 1);
      const stream = streamOf("alerts", 2, 3);
      writer.write({ stream, offset, appendedAt: 1_767_312_000_123, value }, "ключ", 8);
    }
    const chunks = writer.take();
    expect(chunks.length).toBeGreaterThan(1);
    const records = chunks.flatMap((chunk) => readFrames(chunk, 3));
    expect(records.map(({ value }) => value.byteLength)).toEqual(sizes);
    for (const [offset, record] of records.entries()) {
      expect(record).toMatchObject({ topic: "alerts", partition: 2, offset, key: "ключ" });
      expect(record.appendedAt).toBe(1_767_312_000_123);
      expect(record.value.every((byte) => byte === offset + 1)).toBe(true);
    }
    expect(writer.take()).toEqual([]);
  });

  it("takes the last record out again", () => {
    const writer = new FrameWriter();
    const write = (offset: number) => {
      writer.write({ stream: 0, offset, appendedAt: 0, value: new Uint8Array(9) }, "k", 1);
    };
    write(0);
    write(1);
    writer.dropLast();
    write(2);
    const records = writer.take().flatMap((chunk) => readFrames(chunk, 1));
    expect(records.map(({ offset }) => offset)).toEqual([0, 2]);
  });
});
