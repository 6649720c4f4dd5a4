/** @module Reading JSON and splitting deliveries. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalText, itemTexts, parseJson, scanValue } from "../../src/collector/json.ts";
import { splitRecords } from "../../src/collector/lines.ts";

function parsedValue(text: string): unknown {
  const parsed = parseJson(text);
  return parsed.ok ? parsed.value : parsed.code;
}

/** What is read of a number that a double rounds: its digits. */
function spelled(_key: string, value: unknown): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  return /^-?\d+$/.test(String(value)) ? String(value) : value;
}

describe("parseJson", () => {
  it("keeps integers beyond 2^53 as text and all others as numbers", () => {
    expect(
      parsedValue(
        '{"a":1715606607021777225,"b":-9007199254740993,"c":9007199254740991,"d":1.5,"e":12}',
      ),
    ).toEqual({
      a: "1715606607021777225",
      b: "-9007199254740993",
      c: 9007199254740991,
      d: 1.5,
      e: 12,
    });
  });

  it("keeps a long fraction and a long text as they are", () => {
    expect(parsedValue('{"a":0.12345678901234567,"b":"1715606607021777225"}')).toEqual({
      a: 0.12345678901234566,
      b: "1715606607021777225",
    });
  });

  it("takes 64 levels and refuses 65 and a million", () => {
    const nested = (levels: number): string => "[".repeat(levels) + "]".repeat(levels);
    expect(parseJson(nested(64)).ok).toBe(true);
    expect(parsedValue(nested(65))).toBe("nesting-too-deep");
    expect(parsedValue(nested(1_000_000))).toBe("nesting-too-deep");
  });

  it("takes the last of duplicate keys, and keeps __proto__ a plain key", () => {
    expect(parsedValue('{"a":1,"a":2}')).toEqual({ a: 2 });
    const value = parsedValue('{"__proto__":{"polluted":true},"n":12345678901234567890}') as object;
    expect(Object.hasOwn(value, "__proto__")).toBe(true);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  it.each(["", "  ", "null", "12", '"x"', "{", '{"a":}', "{'a':1}", '{"a":"b\nc"}', "[1,]"])(
    "refuses %j",
    (text) => {
      expect(parsedValue(text)).toBe("json-invalid");
    },
  );

  it("reads what JSON.stringify writes", () => {
    fc.assert(
      fc.property(fc.oneof(fc.object(), fc.array(fc.jsonValue())), (value) => {
        const text = JSON.stringify(value);
        expect(parsedValue(text)).toEqual(JSON.parse(text, spelled));
        expect(scanValue(text, 0, text.length)?.end).toBe(text.length);
      }),
      { seed: 7, numRuns: 300 },
    );
  });
});

describe("integers that a double cannot hold", () => {
  /** What a reviver makes of the same text: slower, and right by its own rules. */
  function revived(text: string): unknown {
    try {
      return JSON.parse(text, (_key, value, context?: { source?: string }) => {
        if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
        const source = context?.source ?? "";
        return /^-?\d+$/.test(source) ? source : value;
      });
    } catch {
      return "json-invalid";
    }
  }

  it.each([
    ["with spaces around", '{"a" : \n -12345678901234567890 \t, "b":[ 9007199254740993 ]}'],
    [
      "as a fraction, with an exponent",
      "[12345678901234567.5,12345678901234567e2,1e12345678901234567]",
    ],
    [
      "of 16 digits on both sides of the bound",
      "[9007199254740991,9007199254740992,-9007199254740992]",
    ],
    ["as a key", "{12345678901234567:1}"],
    ["as a key after a member", '{"a":1,12345678901234567:1}'],
    ["where a key should be", '{"a":1,12345678901234567}'],
    ["with a leading zero", "[012345678901234567]"],
    ["after another value", '["a" 12345678901234567]'],
    ["with a sign too many", "[--12345678901234567]"],
    ["in text", '{"a":"[12345678901234567]","b\\"12345678901234567":1}'],
  ])("%s", (_name, text) => {
    expect(parsedValue(text)).toEqual(revived(text));
  });

  it("are read as a reviver reads them, whatever stands around them", () => {
    const tokens = ["[", "]", "{", "}", ",", ":", '"a"', " ", "-", ".", "e", "0", "1"];
    const numbers = ["12345678901234567", "9007199254740993", "9007199254740991", "1e5"];
    const part = fc.constantFrom(...tokens, ...numbers);
    const value = fc.constantFrom(...numbers, '"a"', "-12345678901234567", "[1]");
    const broken = fc.array(part, { maxLength: 8 }).map((parts) => `[${parts.join("")}]`);
    const members = fc.array(fc.tuple(fc.constantFrom('"a"', '"b"', ...numbers), value));
    const object = members.map((all) => `{${all.map((pair) => pair.join(" : ")).join(" ,\n")}}`);
    fc.assert(
      fc.property(fc.oneof(broken, object), (text) => {
        const parsed = parsedValue(text);
        // The scan ends at the first value, so that more than one is a matter of splitting.
        expect(parsed).toEqual(revived(text));
      }),
      { seed: 11, numRuns: 3_000 },
    );
  });
});

describe("itemTexts", () => {
  it("gives each item as it was written", () => {
    expect(itemTexts(' [ {"a":"]"} ,[1, 2],"x,\\"]", 12 ,null,-1.5e3]')).toEqual([
      '{"a":"]"}',
      "[1, 2]",
      '"x,\\"]"',
      "12",
      "null",
      "-1.5e3",
    ]);
    expect(itemTexts("[]")).toEqual([]);
  });

  it("has as many texts as the list has items", () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (list) => {
        const texts = itemTexts(JSON.stringify(list, undefined, 1));
        expect(texts.map((text) => JSON.parse(text))).toEqual(JSON.parse(JSON.stringify(list)));
      }),
      { seed: 7, numRuns: 300 },
    );
  });
});

describe("canonicalText", () => {
  it("is one for all orders of keys, and tells lists apart", () => {
    expect(canonicalText({ b: [2, { d: 1, c: null }], a: "x" })).toBe(
      canonicalText({ a: "x", b: [2, { c: null, d: 1 }] }),
    );
    expect(canonicalText([1, 2])).not.toBe(canonicalText([2, 1]));
  });
});

describe("splitRecords", () => {
  const texts = (body: string, max = 100): string[] =>
    splitRecords(body, max).pieces.map(({ text }) => text);

  it.each([
    ["one object", '{"a":1}', ['{"a":1}']],
    ["an indented object", '{\n "a": [\n  1\n ]\n}\n', ['{\n "a": [\n  1\n ]\n}']],
    ["JSON lines", '{"a":1}\n{"a":2}\r\n', ['{"a":1}', '{"a":2}']],
    [
      "objects without a line end between",
      '{"a":"}{"}{"b":1} {"c":1}',
      ['{"a":"}{"}', '{"b":1}', '{"c":1}'],
    ],
    ["a byte order mark", '\ufeff{"a":1}', ['{"a":1}']],
    ["plain lines", "a b\r\nc d", ["a b", "c d"]],
    [
      "a line that opens with a bracket",
      '[INFO] 10.0.0.1:5 "A"\n{"a":1}',
      ['[INFO] 10.0.0.1:5 "A"', '{"a":1}'],
    ],
    ["lines and objects", 'Tue: start\n{"a":1}\nTue: stop', ["Tue: start", '{"a":1}', "Tue: stop"]],
    ["an object cut off by the next line", '{"a":"x\n{"a":2}\n', ['{"a":"x', '{"a":2}']],
    ["an object cut off before its brace", '{"a":{"b":1}\n{"a":2}\n', ['{"a":{"b":1}', '{"a":2}']],
    ["an indented object cut off", '{\n  "a": 1,\n  "b": [\n', ['{\n  "a": 1,\n  "b": [']],
    ["words after an object", '{"a":1} trailing', ['{"a":1} trailing']],
    ["a form feed alone", "\f\n\v", ["\f", "\v"]],
    ["nothing", " \n\n", []],
  ])("splits %s", (_name, body, expected) => {
    expect(texts(body)).toEqual(expected);
  });

  it("counts blank lines, and does not count the line end at the end", () => {
    expect(splitRecords("a\n\n \nb\n", 9).blank).toBe(2);
    expect(splitRecords('{"a":1}\n', 9).blank).toBe(0);
  });

  it("keeps the rest apart at the limit", () => {
    const split = splitRecords("a\nb\nc\nd", 2);
    expect(split.pieces.map(({ text }) => text)).toEqual(["a", "b"]);
    expect(split.rest).toBe("c\nd");
  });

  it("loses no character that is not blank", () => {
    const part = fc.constantFrom(...'{}[]"\\\n ,a1é\f\v\ufeff');
    fc.assert(
      fc.property(fc.array(part, { maxLength: 60 }), (parts) => {
        const body = parts.join("");
        const kept = texts(body, 1_000).join("");
        const blank = /[ \t\r\n]/g;
        // A byte order mark is one only at the very beginning.
        expect(kept.replace(blank, "")).toBe(body.replace(/^\ufeff/, "").replace(blank, ""));
      }),
      { seed: 7, numRuns: 2_000 },
    );
  });
});
