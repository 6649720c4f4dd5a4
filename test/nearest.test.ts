import { describe, expect, it } from "vitest";
import { nearest } from "../src/nearest.ts";

describe("nearest", () => {
  const keys = ["listen", "rulesDirs", "listsDirs", "sinks", "api"];

  it.each([
    ["lisen", "listen"],
    ["listenn", "listen"],
    ["LISTEN", "listen"],
    ["ruleDirs", "rulesDirs"],
    ["listDirs", "listsDirs"],
    ["sinsk", "sinks"],
    ["ap", "api"],
    ["apj", "api"],
    // Three edits, and two for a short name, are another word.
    ["lisxyz", undefined],
    ["axx", undefined],
    ["", undefined],
    ["entirely-different", undefined],
  ])("%j → %j", (name, expected) => {
    expect(nearest(name, keys)).toBe(expected);
  });

  it("takes the first of two that are as near, and the nearest of all", () => {
    expect(nearest("cat-food", ["bat-food", "rat-food"])).toBe("bat-food");
    expect(nearest("hosts", ["ghosts-", "posts", "hosts"])).toBe("hosts");
  });

  it("has nothing to say of very long names, or without candidates", () => {
    const long = "x".repeat(201);
    expect(nearest(long, [long])).toBeUndefined();
    expect(nearest("x".repeat(200), ["x".repeat(199)])).toBe("x".repeat(199));
    expect(nearest("listen", [])).toBeUndefined();
  });
});
