import { describe, expect, it } from "vitest";
import { readYaml } from "../src/yaml.ts";

function problemOf(text: string): { place: string; found: string } {
  const read = readYaml(text, "a.yml");
  if (!("problem" in read)) throw new Error(`read as ${JSON.stringify(read.value)}`);
  expect(read.problem.code).toBe("yaml-invalid");
  const { place, found } = read.problem;
  return { place, found };
}

describe("readYaml", () => {
  it.each([
    ["nothing", ""],
    ["blank lines", "\n  \n\t\n"],
    ["comments alone", "# one\n  # two\r\n\n"],
    ["a byte order mark and a comment", "\ufeff# one\n"],
  ])("reads %s as no value", (_name, text) => {
    expect(readYaml(text, "a.yml")).toEqual({ value: undefined });
  });

  it("reads plain values, and text that looks like a date as text", () => {
    const text = "\ufeff# settings\na: 1\nb: [x, true, null]\nc: 2026-11-24\nd: 'on'\n";
    const value = { a: 1, b: ["x", true, null], c: "2026-11-24", d: "on" };
    expect(readYaml(text, "a.yml")).toEqual({ value });
  });

  it("names line and column of what is wrong", () => {
    expect(problemOf("a: 1\nb: [1, 2\nc: 3\n").place).toMatch(/^a\.yml:3:\d+$/);
    expect(problemOf("a: 1\na: 2\n")).toEqual({
      place: "a.yml:2:1",
      found: "duplicated mapping key",
    });
    expect(problemOf("a: \u0000").place).toBe("a.yml:1:4");
  });

  it("refuses a second document, custom tags, and control characters in its own words", () => {
    expect(problemOf("---\na: 1\n---\nb: 2\n").found).toContain("single document");
    expect(problemOf("a: !!js/function 'x'\n").found).toContain("unknown scalar tag");
    expect(problemOf("a: !\u001b[31m x\n").found).not.toContain("\u001b");
  });

  it("refuses aliases, so that a small text stays small", () => {
    const levels = "bcdefghij".split("").map((name, index) => {
      const below = `*${"abcdefghi"[index]}`;
      return `${name}: &${name} [${Array.from({ length: 9 }, () => below).join(", ")}]`;
    });
    const bomb = ["a: &a [x]", ...levels].join("\n");
    expect(problemOf(bomb).place).toMatch(/^a\.yml:2:/);
    // An anchor that nothing uses is harmless.
    expect(readYaml("a: &a [x]\n", "a.yml")).toEqual({ value: { a: ["x"] } });
  });

  it("refuses nesting beyond its bound and reads what stays below", () => {
    const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
    expect(problemOf(nested(10_000)).found).toContain("nesting");
    expect("value" in readYaml(nested(50), "a.yml")).toBe(true);
  });

  it("keeps keys that mean something to JavaScript as plain keys", () => {
    const read = readYaml("__proto__: {a: 1}\nconstructor: 2\n<<: {b: 3}\n", "a.yml");
    const value = ("value" in read ? read.value : undefined) as object;
    expect(Object.keys(value)).toEqual(["__proto__", "constructor", "<<"]);
    expect(Object.getPrototypeOf(value)).not.toHaveProperty("a");
    expect(({} as { a?: unknown }).a).toBeUndefined();
  });

  // Whoever reads these in the square of their length does not finish within the time of a test.
  it.each([
    ["spaces alone", " ".repeat(100_000), undefined],
    ["spaces before a value", `${" ".repeat(100_000)}x`, "x"],
    ["spaces after a key", `a:${" ".repeat(100_000)}1`, { a: 1 }],
    ["spaces before a comment", `${" ".repeat(100_000)}# x`, undefined],
    ["100,000 blank lines", `${"  \n".repeat(100_000)}a: 1`, { a: 1 }],
  ])("reads %s in a time that grows with its length", (_name, text, value) => {
    expect(readYaml(text, "a.yml")).toEqual({ value });
  });
});
