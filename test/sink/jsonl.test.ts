import {
  appendFile,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Notice } from "../../src/alert/alert.ts";
import { createJsonlSink } from "../../src/sink/jsonl.ts";
import type { Sink } from "../../src/sink/sink.ts";
import { sinkContract } from "../contract/sink.ts";
import { noticeOf } from "./fakes.ts";

const never = new AbortController().signal;

function scratch(): Promise<string> {
  return mkdtemp(join(tmpdir(), "pipewarden-jsonl-"));
}

async function lines(path: string): Promise<readonly string[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.split("\n").filter((line) => line !== "");
}

sinkContract({
  name: "jsonl",
  make: async () => {
    const root = await scratch();
    const folder = join(root, "alerts");
    await mkdir(folder);
    const path = join(folder, "notices.jsonl");
    return {
      sink: createJsonlSink({ name: "file", path }),
      held: () => lines(path),
      refuse: async (how) => {
        if (how === "no more") await mkdir(folder);
        else await rm(folder, { recursive: true });
      },
      hang: () => undefined,
      cleanUp: () => rm(root, { recursive: true }),
    };
  },
  skip: {
    "refuses permanently": "every fault of a file can be put right",
    "ends a hanging attempt":
      "a write in progress cannot be taken back; the chain's timeout ends the wait",
  },
});

describe("jsonl", () => {
  let root: string;
  let path: string;
  const sinks: Sink[] = [];
  beforeEach(async () => {
    root = await scratch();
    path = join(root, "notices.jsonl");
  });
  afterEach(async () => {
    await Promise.all(sinks.splice(0).map((sink) => sink.close()));
    await rm(root, { recursive: true });
  });

  function open(): Sink {
    const sink = createJsonlSink({ name: "file", path });
    sinks.push(sink);
    return sink;
  }
  const keys = async () =>
    (await lines(path)).map((line) => (JSON.parse(line) as { key: string }).key);

  it("writes the whole notice as one line, readable by its owner only", async () => {
    const notice = noticeOf({ text: "two\nlines" });
    await open().send(notice, never);
    const [line = "", ...others] = await lines(path);
    expect(others).toEqual([]);
    expect(JSON.parse(line) as Notice).toEqual(notice);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("opens nothing before it is sent something", async () => {
    await open().close();
    await expect(stat(path)).rejects.toThrow("ENOENT");
  });

  it("after a crash between write and mark, does not write the same key again", async () => {
    await open().send(noticeOf({ key: "k1" }), never);
    const next = open();
    expect(await next.send(noticeOf({ key: "k1" }), never)).toEqual({ kind: "delivered" });
    await next.send(noticeOf({ key: "k2" }), never);
    expect(await keys()).toEqual(["k1", "k2"]);
  });

  it("after a crash in the middle of a line, ends it and writes the notice again", async () => {
    await open().send(noticeOf({ key: "k1" }), never);
    const whole = await readFile(path);
    await writeFile(path, whole.subarray(0, whole.length - 40));
    const next = open();
    await next.send(noticeOf({ key: "k1" }), never);
    await next.send(noticeOf({ key: "k2" }), never);
    const [torn = "", ...others] = await lines(path);
    expect(() => JSON.parse(torn)).toThrow(SyntaxError);
    expect(others.map((line) => (JSON.parse(line) as Notice).key)).toEqual(["k1", "k2"]);
  });

  it("takes a line that lacks only its end for written", async () => {
    await open().send(noticeOf({ key: "k1" }), never);
    await writeFile(path, (await readFile(path, "utf8")).trimEnd());
    await open().send(noticeOf({ key: "k1" }), never);
    expect(await keys()).toEqual(["k1"]);
    expect((await readFile(path, "utf8")).endsWith("\n")).toBe(true);
  });

  it("at any length the file was cut to, every later line is whole and no key is missing", async () => {
    await open().send(noticeOf({ key: "k1" }), never);
    await open().send(noticeOf({ key: "k2" }), never);
    const whole = await readFile(path);
    for (let length = 0; length <= whole.length; length += 97) {
      await writeFile(path, whole.subarray(0, length));
      const sink = createJsonlSink({ name: "file", path });
      await sink.send(noticeOf({ key: "k1" }), never);
      await sink.send(noticeOf({ key: "k2" }), never);
      await sink.close();
      const found = (await lines(path)).flatMap((line) => {
        try {
          return (JSON.parse(line) as { key: string }).key;
        } catch {
          return [];
        }
      });
      expect(found.toSorted()).toEqual(["k1", "k2"]);
    }
  });

  it("reads only the end of a long file", async () => {
    const filler = `${JSON.stringify({ key: "filler", text: "é".repeat(500) })}\n`;
    await writeFile(path, `${JSON.stringify({ key: "old" })}\n`);
    await appendFile(path, filler.repeat(1_200));
    await appendFile(path, `${JSON.stringify({ key: "near" })}\n`);
    const before = (await stat(path)).size;
    const sink = open();
    await sink.send(noticeOf({ key: "near" }), never);
    expect((await stat(path)).size).toBe(before);
    await sink.send(noticeOf({ key: "old" }), never);
    expect((await stat(path)).size).toBeGreaterThan(before);
  });

  it("is not put off by other lines in its file", async () => {
    await writeFile(path, 'null\n[1]\n"text"\n{"key":5}\nnot json\n\n{"key":"k1"}\n');
    const sink = open();
    await sink.send(noticeOf({ key: "k1" }), never);
    await sink.send(noticeOf({ key: "k2" }), never);
    const all = await lines(path);
    expect(all).toHaveLength(7);
    expect(JSON.parse(all.at(-1) ?? "")).toMatchObject({ key: "k2" });
  });

  it("follows its name when the file is rotated away, and still knows its keys", async () => {
    const sink = open();
    await sink.send(noticeOf({ key: "k1" }), never);
    await rename(path, `${path}.1`);
    await sink.send(noticeOf({ key: "k1" }), never);
    await sink.send(noticeOf({ key: "k2" }), never);
    expect(await keys()).toEqual(["k2"]);
    expect(await lines(`${path}.1`)).toHaveLength(1);
  });

  it("on a full disk asks to try again", async () => {
    // /dev/full answers every write with ENOSPC.
    const full = createJsonlSink({ name: "file", path: "/dev/full" });
    sinks.push(full);
    expect(await full.send(noticeOf(), never)).toEqual({
      kind: "retry",
      reason: "cannot write: ENOSPC",
    });
  });
});
