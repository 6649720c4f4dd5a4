import { describe, expect, it } from "vitest";
import { fold } from "../../src/sigma/fold.ts";

/** Whether the language's own simple case folding takes both as one character. */
function sameToRegExp(left: string, right: string): boolean {
  const code = left.codePointAt(0)?.toString(16) ?? "";
  return new RegExp(`^\\u{${code}}$`, "iu").test(right);
}

describe("fold", () => {
  it("agrees with Unicode simple case folding on every character that has a case", () => {
    const wrong: string[] = [];
    for (let code = 0; code <= 0x10ffff; code++) {
      if (code >= 0xd800 && code <= 0xdfff) continue;
      const char = String.fromCodePoint(code);
      const folded = fold(char);
      const others = [char.toLowerCase(), char.toUpperCase(), folded];
      if (others.every((other) => other === char)) continue;
      if ([...folded].length !== 1 || fold(folded) !== folded) wrong.push(char);
      for (const other of others) {
        if ([...other].length !== 1) continue;
        if (sameToRegExp(char, other) !== (fold(other) === folded)) wrong.push(`${char}${other}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it.each([
    ["ABC xyz 09", "abc xyz 09"],
    ["ΟΔΟΣ", "οδοσ"],
    ["ς", "σ"],
    ["İIı", "İiı"],
    ["ẞß", "ßß"],
    ["ſ", "s"],
    ["\u{10400}x\u{1f600}", "\u{10428}x\u{1f600}"],
    ["\ud800A", "\ud800a"],
    ["", ""],
  ])("%s", (text, folded) => {
    expect(fold(text)).toBe(folded);
    expect(fold(text)).toBe(folded);
  });
});
