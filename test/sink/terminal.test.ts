import { PassThrough, Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { renderPage, summaryLine } from "../../src/alert/alert.ts";
import { createTerminalSink, noticeText } from "../../src/sink/terminal.ts";
import { sinkContract } from "../contract/sink.ts";
import { noticeOf } from "./fakes.ts";

const render = { page: renderPage, line: summaryLine };
const never = new AbortController().signal;

sinkContract({
  name: "terminal",
  make: async () => {
    const shown: string[] = [];
    let state: "open" | "broken" | "stuck" = "open";
    const stream = new Writable({
      autoDestroy: false,
      emitClose: false,
      write(chunk, _encoding, done) {
        if (state === "stuck") return;
        if (state === "broken") return done(new Error("EPIPE"));
        shown.push(String(chunk));
        done();
      },
    });
    // A stream stays broken after an error, as a closed pipe does; the suite wants it whole again.
    const facade = {
      on: () => facade,
      removeListener: () => facade,
      write: (text: string, done: (error?: Error | null) => void) => {
        if (state === "broken") return done(new Error("EPIPE"));
        return stream.write(text, done);
      },
    } as unknown as NodeJS.WritableStream;
    return {
      sink: createTerminalSink({ name: "terminal", stream: facade, render }),
      held: async () => shown,
      refuse: (how) => {
        state = how === "no more" ? "open" : "broken";
      },
      hang: () => {
        state = "stuck";
      },
      cleanUp: async () => undefined,
    };
  },
  skip: { "refuses permanently": "a terminal has no opinion on what it shows" },
});

describe("terminal", () => {
  it("prints a page as a block and an update as one line", () => {
    const page = noticeText(noticeOf(), render, false);
    expect(page).toContain("acme/api");
    expect(page.startsWith("\n")).toBe(true);
    expect(page.endsWith("\n\n")).toBe(true);
    expect(page.split("\n").length).toBeGreaterThan(8);
    const update = noticeText(noticeOf({ kind: "update" }), render, false);
    expect(update.split("\n")).toHaveLength(2);
    expect(update).toMatch(/update/);
  });

  it("colours only the first line, and only when asked", () => {
    const coloured = noticeText(noticeOf(), render, true);
    const [, first = "", ...others] = coloured.split("\n");
    expect(first.startsWith("\u001b[31m\u001b[1m")).toBe(true);
    expect(others.join("\n")).not.toContain("\u001b");
    expect(noticeText(noticeOf(), render, false)).not.toContain("\u001b");
  });

  it("shows control characters even when the renderer let them through", () => {
    const careless = { page: () => "a\u001b[2Jb\nc\rd\u202e", line: () => "x\ny" };
    expect(noticeText(noticeOf(), careless, false)).toBe("\na\\u001b[2Jb\nc\\u000dd\\u202e\n\n");
    expect(noticeText(noticeOf({ kind: "update" }), careless, false)).toBe("x y\n");
  });

  it("colours by itself only on a terminal", async () => {
    for (const isTTY of [true, false]) {
      const stream = Object.assign(new PassThrough(), { isTTY });
      await createTerminalSink({ name: "t", stream, render }).send(noticeOf(), never);
      expect(String(stream.read()).includes("\u001b")).toBe(isTTY);
    }
  });

  it("outlives a pipe that was closed", async () => {
    const stream = new PassThrough();
    stream.destroy();
    const sink = createTerminalSink({ name: "t", stream, render });
    expect(await sink.send(noticeOf(), never)).toMatchObject({ kind: "retry" });
  });

  it("remembers a bounded number of keys", async () => {
    const stream = new PassThrough();
    stream.resume();
    let writes = 0;
    const counting = new Writable({ write: (_chunk, _encoding, done) => done(void writes++) });
    const sink = createTerminalSink({ name: "t", stream: counting, render });
    for (let n = 0; n <= 1_000; n++) await sink.send(noticeOf({ key: `k${n}` }), never);
    await sink.send(noticeOf({ key: "k1000" }), never);
    expect(writes).toBe(1_001);
    await sink.send(noticeOf({ key: "k0" }), never);
    expect(writes).toBe(1_002);
  });
});
