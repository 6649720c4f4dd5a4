import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { grouped, jsonLine, paint, progressOn, shownLines, table } from "../../src/cli/terminal.ts";

function stream(isTTY: boolean): { stream: PassThrough & { isTTY: boolean }; text: () => string } {
  const target = Object.assign(new PassThrough(), { isTTY });
  return { stream: target, text: () => String(target.read() ?? "") };
}

describe("table", () => {
  it("has columns as wide as their widest cell, numbers to the right, no space at the end", () => {
    const text = table(
      ["rule", "count", "share", "run"],
      [
        ["Shell on a runner", "1,204", "3.5 %", "acme/api 7"],
        ["Post", "7", "12 ms", "–"],
      ],
    );
    expect(text.split("\n")).toEqual([
      "rule               count  share  run",
      "─────────────────  ─────  ─────  ──────────",
      "Shell on a runner  1,204  3.5 %  acme/api 7",
      "Post                   7  12 ms  –",
    ]);
  });

  it("stands without rows, and with rows that are short of a cell", () => {
    expect(table(["a", "bb"], [])).toBe("a  bb\n─  ──");
    expect(table(["a", "bb"], [["xyz"]])).toBe("a    bb\n───  ──\nxyz");
  });

  it("shows what could steer the terminal, keeps to its lines and cuts what is endless", () => {
    const text = table(
      ["a", "b"],
      [
        ["x\u001b[31m\ny", "\u202e"],
        ["z".repeat(10_000), "1"],
      ],
    );
    expect(text.split("\n")).toHaveLength(4);
    expect(text).toContain("x\\u001b[31m\\u000ay");
    expect(text).toContain("\\u202e");
    expect(text.length).toBeLessThan(1_000);
  });
});

describe("grouped", () => {
  it.each([
    [0, "0"],
    [999, "999"],
    [1_000, "1,000"],
    [12_345_678, "12,345,678"],
    [1_234.5, "1,235"],
    [-1_234, "-1,234"],
  ])("%d is %s", (count, text) => {
    expect(grouped(count)).toBe(text);
  });
});

describe("jsonLine", () => {
  it("is one line that reads back, with everything a terminal could obey escaped", () => {
    const value = { "a\u2028": "\u001b\u009b\u202e\u{e0041}\n", list: [1, "ü🙂"] };
    const line = jsonLine(value);
    expect(line.endsWith("}\n")).toBe(true);
    expect(line.slice(0, -1)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    expect(line).toContain("ü🙂");
    expect(JSON.parse(line)).toEqual(value);
  });
});

describe("shownLines", () => {
  it("keeps the line ends of a text, and nothing else that moves the cursor", () => {
    expect(shownLines("a\n\rb\u0008\tc\n")).toBe("a\n\\u000db\\u0008\\u0009c\n");
  });
});

describe("paint and progress", () => {
  it("are for terminals", () => {
    const file = stream(false);
    expect(paint(file.stream, "red", "failed")).toBe("failed");
    const progress = progressOn(file.stream);
    progress.show("half");
    progress.done();
    expect(file.text()).toBe("");
    expect(paint(stream(true).stream, "red", "failed")).toBe("\u001b[31mfailed\u001b[39m");
  });

  it("write over the line before, however long it was, and clear it in the end", () => {
    const terminal = stream(true);
    const progress = progressOn(terminal.stream);
    progress.show("a long line");
    progress.show("short");
    progress.done();
    expect(terminal.text()).toBe(`\ra long line\rshort${" ".repeat(6)}\r${" ".repeat(5)}\r`);
  });
});
