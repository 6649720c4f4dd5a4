import { copyFile, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BusFile } from "../../src/bus/embedded-file.ts";
import { walDamage } from "../../src/bus/embedded-wal.ts";
import { FrameWriter, partitionOf, readFrames, streamOf } from "../../src/bus/frame.ts";
import { ServiceError } from "../../src/error.ts";

const calls = 12;
const perCall = 5;

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bus-damage-"));
  path = join(folder, "bus.db");
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

function open(file = path): BusFile {
  const limits = { fileBytesMax: undefined, checkBytesMax: undefined };
  return new BusFile({ path: file, partitions: 1, ...limits });
}

function append(file: BusFile, call: number): void {
  const writer = new FrameWriter();
  for (let index = 0; index < perCall; index++) {
    const value = Buffer.from(`${call}/${index} `.repeat(200 + call));
    const key = `runner-${index}`;
    const stream = streamOf("events", partitionOf(key, 1), 1);
    writer.write({ stream, offset: 0, appendedAt: 1_000 + call, value }, key, key.length);
  }
  file.append(writer.take());
}

/** Every record of the file as text, read as a consumer does. */
function everything(file: BusFile): string[] {
  const texts: string[] = [];
  const stream = streamOf("events", 0, 1);
  const end = file.extents()[stream]?.next ?? 0;
  while (texts.length < end) {
    const chunks = file.read({ stream, from: texts.length, max: 7 });
    for (const { key, offset, appendedAt, value } of chunks.flatMap((c) => readFrames(c, 1))) {
      texts.push(`${offset} ${appendedAt} ${key} ${Buffer.from(value)}`);
    }
  }
  return texts;
}

/** The problem of opening and reading it all, or what was read. */
function outcome(file = path): string | string[] {
  let bus: BusFile | undefined;
  try {
    bus = open(file);
    return everything(bus);
  } catch (error) {
    if (error instanceof ServiceError) return error.problem.code;
    throw error;
  } finally {
    bus?.close();
  }
}

function drawer(seed: number): (max: number) => number {
  let state = seed;
  return (max) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * max);
  };
}

describe("a damaged bus file", () => {
  it("is reported or does no harm, wherever a byte is changed", async () => {
    const file = open();
    for (let call = 0; call < calls; call++) append(file, call);
    const whole = everything(file);
    file.close();
    expect(whole.length).toBe(calls * perCall);
    const bytes = await readFile(path);
    const random = drawer(20260103);
    const damaged = join(folder, "damaged.db");
    let reported = 0;
    for (let round = 0; round < 150; round++) {
      const copy = Buffer.from(bytes);
      // Half of them in the first page, where the schema is.
      const at = random(round % 2 === 0 ? copy.length : 16 * 1024);
      copy[at] = copy[at]! ^ (1 << random(8));
      await writeFile(damaged, copy);
      const found = outcome(damaged);
      await rm(`${damaged}-wal`, { force: true });
      if (typeof found === "string") {
        expect(found, `byte ${at}`).toBe("bus-corrupt");
        reported++;
      } else {
        expect(found, `byte ${at}`).toEqual(whole);
      }
    }
    expect(reported).toBeGreaterThan(20);
  });

  it("is reported when its end is cut off", async () => {
    const file = open();
    for (let call = 0; call < calls; call++) append(file, call);
    file.close();
    const { length } = await readFile(path);
    await truncate(path, length - 16 * 1024);
    expect(outcome()).toBe("bus-corrupt");
  });
});

describe("a damaged write-ahead log", () => {
  const frameBytes = 24 + 16 * 1024;
  let log: Buffer;

  beforeEach(async () => {
    // As a kill leaves it: the commits are in the log only.
    open().close();
    const file = open();
    for (let call = 0; call < calls; call++) append(file, call);
    const killed = join(folder, "killed.db");
    await copyFile(path, killed);
    await copyFile(`${path}-wal`, `${killed}-wal`);
    file.close();
    path = killed;
    log = await readFile(`${path}-wal`);
  });

  function framesOf(bytes: Buffer): number {
    return Math.floor((bytes.length - 32) / frameBytes);
  }

  it("is none when the log is whole", () => {
    expect(walDamage(`${path}-wal`)).toBeUndefined();
    const found = outcome();
    expect(Array.isArray(found) && found.length).toBe(calls * perCall);
  });

  it("is none when there is no log, an empty one, or one of zeros", async () => {
    expect(walDamage(join(folder, "none-wal"))).toBeUndefined();
    for (const content of [Buffer.alloc(0), Buffer.alloc(20), Buffer.alloc(100_000)]) {
      await writeFile(`${path}-wal`, content);
      expect(walDamage(`${path}-wal`)).toBeUndefined();
    }
  });

  it("is reported, not taken for the end, when commits follow", async () => {
    for (const frame of [0, 3, 7]) {
      for (const at of [5, 9, 17, 24, 2_000, frameBytes - 1]) {
        const copy = Buffer.from(log);
        const place = 32 + frame * frameBytes + at;
        copy[place] = copy[place]! ^ 1;
        await writeFile(`${path}-wal`, copy);
        expect(outcome(), `frame ${frame} byte ${at}`).toBe("bus-corrupt");
      }
    }
  });

  it("is reported when it is in the head of the log", async () => {
    for (const at of [0, 8, 16, 24]) {
      const copy = Buffer.from(log);
      copy[at] = copy[at]! ^ 1;
      await writeFile(`${path}-wal`, copy);
      expect(outcome()).toBe("bus-corrupt");
    }
  });

  it("is a torn transaction, forgotten, when it is in the last one", async () => {
    const copy = Buffer.from(log);
    const place = 32 + (framesOf(log) - 1) * frameBytes + 100;
    copy[place] = copy[place]! ^ 1;
    await writeFile(`${path}-wal`, copy);
    const found = outcome();
    expect(Array.isArray(found) && found.length).toBe((calls - 1) * perCall);
  });

  it("is a torn transaction when the log ends within it", async () => {
    await truncate(`${path}-wal`, log.length - 500);
    const found = outcome();
    expect(Array.isArray(found) && found.length).toBe((calls - 1) * perCall);
  });
});
