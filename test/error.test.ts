import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { problemCodes, problemLine, ServiceError, shown } from "../src/error.ts";

describe("shown", () => {
  it.each([
    ["plain text", "plain text"],
    ["a\nb\tc\u0000", "a\\u000ab\\u0009c\\u0000"],
    ["\u001b[31mred\u009b0m", "\\u001b[31mred\\u009b0m"],
    ["left\u202eright\u2066\u200b", "left\\u202eright\\u2066\\u200b"],
    ["line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"],
    ["tag \u{e0041}", "tag \\ue0041"],
    ["Ω 🙂 ü", "Ω 🙂 ü"],
    ["", ""],
  ])("shows %j", (text, expected) => {
    expect(shown(text)).toBe(expected);
  });

  it("cuts long text, marks the cut and splits no character in two", () => {
    expect(shown("x".repeat(81))).toBe(`${"x".repeat(80)}…`);
    expect(shown("x".repeat(80))).toBe("x".repeat(80));
    expect(shown("abc", 2)).toBe("ab…");
    expect(shown("🙂🙂🙂", 3).isWellFormed()).toBe(true);
  });

  it("says something of any value and never throws", () => {
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    expect(shown(circle)).toBe("an object that is not JSON");
    expect(shown({ big: 1n })).toBe("an object that is not JSON");
    expect(shown(12n)).toBe("12");
    expect(shown(undefined)).toBe("undefined");
    expect(shown(null)).toBe("null");
    expect(shown({ a: ["\u001b"] })).toBe('{"a":["\\u001b"]}');
    expect(shown(Symbol("x"))).toBe("Symbol(x)");
  });

  it("leaves no control, format or line character, whatever comes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(shown(text, 1_000)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      }),
      { seed: 20_261_124, numRuns: 500 },
    );
  });
});

describe("a problem", () => {
  const problem = {
    code: "config-invalid",
    place: "pipewarden.yml: listen.port",
    expected: "a whole number",
    found: "text",
  } as const;

  it("is one readable line", () => {
    const line =
      "pipewarden.yml: listen.port: config-invalid: expected a whole number but found text";
    expect(problemLine(problem)).toBe(line);
    expect(new ServiceError(problem).message).toBe(line);
  });

  it("has a documented code, each with a sentence of its own", () => {
    const sentences = Object.values(problemCodes);
    expect(new Set(sentences).size).toBe(sentences.length);
    for (const code of Object.keys(problemCodes)) expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/);
  });
});
