import { describe, expect, it } from "vitest";
import { type EventFields, fieldRule, holds, problemsOf, ruleText } from "./rule-text.ts";

type Row = readonly [field: string, yes: readonly EventFields[], no: readonly EventFields[]];

const f = (...values: readonly EventFields[string][]): EventFields[] => values.map((f) => ({ f }));

const equality: readonly Row[] = [
  ["f: curl", f("curl", "CURL", ["wget", "Curl"]), [{}, ...f("curl ", "", null, ["wget"], [])]],
  ["f: [curl, wget]", f("curl", "wget"), f("curlwget", "cur")],
  ["f: 4625", f(4625, "4625", [1, "4625"]), f(46250, "04625", "4625.0", null)],
  ["f: '4625'", f(4625, "4625"), f("4625 ", 4624)],
  ["f: 1.5", f(1.5, "1.5"), f(15, "1,5")],
  ["f: true", f(true, "true", "True"), f(false, 1, "yes")],
  ["f: 12345678901234567890", f("12345678901234567890"), f("12345678901234567000")],
  ["f: null", [{}, { g: 1 }, ...f(null, [null, "x"])], f("", "null", 0, false, [])],
  ["f: ''", f("", ["x", ""]), [{}, ...f(" ", null, 0)]],
  ["f: [null, '']", [{}, ...f(null, "")], f(" ")],
  ["f: 'a*'", f("a", "ab", "A*"), [{}, ...f("", "ba", null)]],
  ["f: '*'", f("", "x", 0, ["x"]), [{}, ...f(null, [])]],
  ["f: 'a?c'", f("abc", "a?c", "a😀c"), f("ac", "abbc", "a😀😀c")],
  ["f: 'a*b*c'", f("abc", "a-b-c", "abcbc"), f("acb", "abcd", "bac")],
  ["f: 'ab*ba'", f("abba", "ab-ba"), f("aba", "ab")],
  ["f: '*?x*?y'", f("-x-y", "--x--y"), f("x-y", "-xy")],
  ["f: '?*'", f("a", "😀", "ab"), f("")],
  ["f: '*??'", f("ab", "x😀", "😀😀"), f("a", "😀", "")],
  ["f: '*\u{1f600}?'", f("😀a", "x😀😀"), f("😀")],
  ["f: Straße", f("straße", "STRAßE"), f("STRASSE", "strase")],
  ["f: ΟΔΟΣ", f("οδος", "οδοσ", "ΟΔΟΣ"), f("οδο")],
  ["f: ПРИВЕТ", f("привет"), f("привеt")],
  ["f: '\u212a'", f("k", "K"), f("q")],
];

const escapes: readonly Row[] = [
  ["f: 'a\\*'", f("a*"), f("ab", "a\\*", "a\\")],
  ["f: 'a\\?'", f("a?"), f("ab")],
  ["f: 'C:\\x'", f("C:\\x"), f("C:x", "C:\\\\x")],
  ["f: 'C:\\\\x'", f("C:\\x"), f("C:\\\\x")],
  ["f: 'C:\\\\\\x'", f("C:\\\\x"), f("C:\\x")],
  ["f: 'C:\\\\\\\\x'", f("C:\\\\x"), f("C:\\x", "C:\\\\\\\\x")],
  ["f: 'a\\\\*'", f("a\\", "a\\b"), f("a*", "ab")],
  ["f: 'a\\\\\\*'", f("a\\*"), f("a\\b", "a*")],
  ["f: 'a\\'", f("a\\"), f("a")],
  ["f|endswith: '\\sh'", f("/bin\\sh", "\\SH"), f("/bin/sh", "sh")],
];

const text: readonly Row[] = [
  ["f|contains: LOAD", f("download", "load"), [{}, ...f("loa", null)]],
  ["f|contains: 'a*c'", f("xabcx", "ac"), f("ca")],
  ["f|contains: 'a?c'", f("xabcx"), f("xacx")],
  ["f|contains: 46", f(4625, "x46"), f(4)],
  ["f|startswith: [/tmp/, /dev/shm/]", f("/tmp/x", "/DEV/SHM/y"), f("x/tmp/", "/tmp")],
  ["f|endswith: .example", f("a.example", ".EXAMPLE"), f("a.example.", "example")],
  ["f|endswith: [.a, .b, .c, .d, .e, .f, .g, .h, .ij]", f("x.a", "x.IJ"), f("a", "x.i", "")],
  ["f|startswith: [a., b., c., d., e., f., g., h., ij.]", f("a.x", "IJ.x"), f("a", "i.x", "")],
  ["f|contains|all: [-p, --exec]", f("x --exec -p", ["-p", "--exec"]), f("-p", "--exec", ["-x"])],
  ["f|all: [a, b]", f(["a", "b"], ["B", "c", "A"]), f("a", "b", ["a"], "ab")],
  ["f|contains|cased: Key", f("aKeyb"), f("key", "KEY")],
  ["f|cased: [Key, 'Lock*']", f("Key", "Locks"), f("key", "locks")],
  ["f|neq: a", [{}, ...f("b", null, ["b"], [])], f("a", "A", ["b", "a"])],
  ["f|contains|neq: [a, b]", f("c"), f("xa", "bx")],
];

const regex: readonly Row[] = [
  ["f|re: 'a.c'", f("xabcx"), [{}, ...f("aBC", "a\nc", null)]],
  ["f|re: '^ab$'", f("ab"), f("xab", "ab\n", "x\nab")],
  ["f|re|i: 'a.c'", f("xABCx"), f("ac")],
  ["f|re|m: '^ab$'", f("x\nab\ny"), f("xab")],
  ["f|re|s: 'a.c'", f("a\nc"), f("ac")],
  ["f|re|i|m|s: '^a.c$'", f("x\nA\nC"), f("xac")],
  ["f|re: '(?i)abc'", f("ABC"), f("ab")],
  ["f|re: 'x(?i)abc'", f("xABC"), f("Xabc")],
  ["f|re: ['a+b', '^\\d{3}$']", f("aab", "123", 456), f("b", "1234")],
  ["f|re|all: ['a', 'b$']", f("ab", ["a", "b"]), f("a", "ba")],
  ["f|re: '\\\\system32\\\\'", f("c:\\system32\\"), f("system32")],
];

const networks: readonly Row[] = [
  [
    "f|cidr: 10.0.0.0/8",
    f("10.1.2.3", "::ffff:10.1.2.3"),
    f("11.0.0.1", "10.1.2", "012.0.0.1", ""),
  ],
  ["f|cidr: 198.51.100.7", f("198.51.100.7"), f("198.51.100.70", "198.51.100.7:443")],
  ["f|cidr: 0.0.0.0/0", f("203.0.113.9", "0.0.0.0"), f("::1", "a", 5)],
  ["f|cidr: 192.0.2.128/25", f("192.0.2.128", "192.0.2.255"), f("192.0.2.127")],
  ["f|cidr: '2001:db8::/32'", f("2001:db8::1", "2001:0DB8:ffff::"), f("2001:db9::1", "10.0.0.1")],
  ["f|cidr: 'fe80::/10'", f("fe80::1%eth0"), f("fec0::1")],
  ["f|cidr: '::/0'", f("::1"), f("10.0.0.1")],
  [
    "f|cidr: [10.0.0.0/8, 'fd00::/8']",
    f("10.0.0.1", "fd12::1", ["x", "10.0.0.1"]),
    [{}, ...f("1.1")],
  ],
];

const others: readonly Row[] = [
  ["f|exists: true", f("", null, "x", []), [{}, { g: 1 }]],
  ["f|exists: false", [{}, { g: 1 }], f("", null)],
  ["f|gt: 10", f(11, "11", "10.5", [1, 12]), [{}, ...f(10, "10", "x", "0x20", "", true, null)]],
  ["f|gte: 10", f(10, "10"), f(9.9, "")],
  ["f|lt: 10", f(9, "-3"), f(10, "", " 3")],
  ["f|lte: '10'", f(10), f(11)],
  ["f|lt: [1, 100]", f(99), f(100)],
  [
    "f|fieldref: g",
    [
      { f: "A", g: "a" },
      { f: 5, g: "5" },
      { f: ["x", "y"], g: ["y", "z"] },
    ],
    [{}, { f: "a" }, { g: "a" }, { f: null, g: null }, { f: "a", g: "b" }, { f: "ab", g: "a*" }],
  ],
  ["f|fieldref|cased: g", [{ f: "a", g: "a" }], [{ f: "A", g: "a" }]],
  ["f|fieldref|contains: g", [{ f: "xay", g: "A" }], [{ f: "a", g: "xay" }]],
  ["f|fieldref|startswith: g", [{ f: "ab", g: "a" }], [{ f: "ba", g: "a" }]],
  ["f|endswith|fieldref: g", [{ f: "ba", g: "a" }], [{ f: "ab", g: "a" }]],
  ["f|fieldref|neq: g", [{ f: "a", g: "b" }, {}], [{ f: "a", g: "A" }]],
  ["f|windash|contains: ' -x'", f("a -x", "a /x", "a –X", "a —x", "a ―x"), f("a +x", "ax")],
  ["f|contains|windash: ' /x -y'", f(" /x -y", " -x /y"), f(" x y", " -x")],
  ["f|windash: 'a-b'", f("a-b"), f("a/b")],
  ["f|base64: curl", f("Y3VybA=="), f("Y3VybA", "curl")],
  [
    "f|base64offset|contains: /bin/sh",
    // With 0, 1 and 2 bytes in front and something behind.
    ["/bin/sh -c", "a/bin/sh -c", "ab/bin/sh -c"].map((it) => ({ f: btoa(it) })),
    ["/bin/s", "a/bin/s-", "ab/bin/zsh"].map((it) => ({ f: btoa(it) })),
  ],
  [
    "f|wide|base64offset|contains: sh -c",
    [{ f: Buffer.from("xsh -c", "utf16le").toString("base64") }],
    [{ f: btoa("xsh -c") }],
  ],
  ["f|utf16be|base64: a", f("AGE="), f("YQA=")],
  ["f|utf16le|base64: a", f("YQA="), f("AGE=")],
  ["f|utf16|base64: a", f("//5hAA=="), f("YQA=")],
  ["__proto__: x", [JSON.parse('{"__proto__":"x"}')], [{}, { f: "x" }]],
  ["constructor|exists: true", [{ constructor: "x" }], [{}]],
];

describe.each([
  ["equality", equality],
  ["escapes", escapes],
  ["text", text],
  ["regex", regex],
  ["networks", networks],
  ["others", others],
])("%s", (_name, rows) => {
  it.each(rows)("%s", (field, yes, no) => {
    const text = fieldRule(field);
    for (const fields of yes) expect([fields, holds(text, fields)]).toEqual([fields, true]);
    for (const fields of no) expect([fields, holds(text, fields)]).toEqual([fields, false]);
  });
});

describe("keywords", () => {
  const search = (text: string) => ruleText(`  s:\n${text}\n  condition: s`);

  it.each<readonly [string, readonly EventFields[], readonly EventFields[]]>([
    [
      "    - mimi",
      [{ a: "xMIMIx" }, { a: 1, b: ["y", "mimi"] }],
      [{ a: "mim" }, { mimi: "a" }, {}],
    ],
    ["    - a*c\n    - 42", [{ x: "-abc-" }, { x: 1420 }], [{ x: "ca" }, { x: null }]],
    [
      "    '|all':\n      - one\n      - two",
      [{ a: "one", b: "two" }, { a: "two one" }],
      [{ a: "one" }],
    ],
    ["    '|re': 'o.e$'", [{ a: "x one" }], [{ a: "ones" }]],
    ["    '|startswith': one", [{ a: "one x" }], [{ a: "x one" }]],
    ["    '|contains|cased': One", [{ a: "xOne" }], [{ a: "one" }]],
    ["    - one\n    - f: two", [{ a: "one" }, { f: "two" }], [{ g: "two" }]],
  ])("%s", (text, yes, no) => {
    for (const fields of yes) expect([fields, holds(search(text), fields)]).toEqual([fields, true]);
    for (const fields of no) expect([fields, holds(search(text), fields)]).toEqual([fields, false]);
  });
});

describe("expand", () => {
  const lists = new Map([
    ["internal_networks", ["10.0.0.0/8", "fd00::/8"]],
    ["domains", [".corp.example", "*.build.example"]],
    ["users", ["ann", "bob"]],
    ["none", []],
  ]);
  const options = { lists };

  it.each<Row>([
    ["f|cidr|expand: '%internal_networks%'", f("10.2.3.4", "fd00::5"), f("192.0.2.1")],
    ["f|endswith|expand: '%domains%'", f("x.corp.example", "a.build.example"), f("corp.example")],
    ["f|expand: '%users%'", f("ann", "BOB"), f("%users%", "an")],
    ["f|contains|expand: '/home/%users%/.ssh'", f("cat /home/ann/.ssh"), f("/home/eve/.ssh")],
    ["f|expand: '%users%@%users%'", f("ann@bob", "ann@ann"), f("ann", "ann@eve")],
    ["f|contains|all|expand: ['%users%', 'x']", f("annx", "x bob"), f("ann", "x")],
    ["f|expand: ['%users%', eve]", f("eve", "bob"), f("mallory")],
    ["f|expand: '%none%'", [], [{}, ...f("", "%none%", null)]],
    ["f|contains|all|expand: ['%none%']", [], f("", "x")],
    ["f|cidr|expand: '%none%'", [], f("10.0.0.1")],
    ["f|expand: '100% of 5%'", f("100% of 5%"), f("100")],
  ])("%s", (field, yes, no) => {
    for (const fields of yes)
      expect([fields, holds(fieldRule(field), fields, options)]).toEqual([fields, true]);
    for (const fields of no)
      expect([fields, holds(fieldRule(field), fields, options)]).toEqual([fields, false]);
  });

  it("refuses a list that does not exist, naming the nearest", () => {
    expect(problemsOf(fieldRule("f|expand: '%user%'"), options)).toEqual([
      { code: "list-unknown", place: "a.yml:7:5", expected: "'%users%'", found: "'%user%'" },
    ]);
  });

  it("refuses a network entry that is none", () => {
    const lists = new Map([["nets", ["10.0.0.0/8", "10.0.0.1/8"]]]);
    expect(problemsOf(fieldRule("f|cidr|expand: '%nets%'"), { lists })).toMatchObject([
      { code: "modifier-invalid", place: "a.yml:7:5", found: "10.0.0.1/8" },
    ]);
  });

  it("bounds what several lists multiply into", () => {
    const many = Array.from({ length: 2_000 }, (_, index) => `entry${index}`);
    const lists = new Map([["many", many]]);
    expect(problemsOf(fieldRule("f|expand: '%many%%many%'"), { lists })).toMatchObject([
      { code: "modifier-invalid", expected: "lists that give at most 1000000 values" },
    ]);
  });

  it("takes a large list", () => {
    const many = Array.from({ length: 50_000 }, (_, index) => `host${index}.example`);
    const lists = new Map([["many", many]]);
    const text = fieldRule("f|endswith|expand: '.%many%'");
    expect(holds(text, { f: "a.host49999.example" }, { lists })).toBe(true);
    expect(holds(text, { f: "a.host50000.example" }, { lists })).toBe(false);
  });
});

describe("what does not go together", () => {
  it.each([
    ["f|containz: a", "modifier-unknown", "'contains'", "'containz'"],
    ["f|constructor: a", "modifier-unknown", "a modifier of Sigma", "'constructor'"],
    ["f|__proto__: a", "modifier-unknown", "a modifier of Sigma", "'__proto__'"],
    ["f|Contains: a", "modifier-unknown", "'contains'", "'Contains'"],
    ["f|: a", "modifier-unknown", "a modifier of Sigma", "''"],
    ["f|hour: 3", "modifier-unsupported", "a modifier that is supported", "'hour'"],
    ["f|contains|contains: a", "modifier-invalid", "each modifier once", "'contains|contains'"],
    ["f|contains|re: a", "modifier-invalid", "one way to compare", "'contains|re'"],
    ["f|contains|i: a", "modifier-invalid", "'re' before i, m or s", "'contains|i'"],
    ["f|cidr|cased: a", "modifier-invalid", "text to compare with 'cased'", "'cidr|cased'"],
    ["f|re|expand: a", "modifier-invalid", "'expand' with text or 'cidr' only", "'re|expand'"],
    ["f|all|neq: [a, b]", "modifier-invalid", "either 'all' or 'neq'", "'all|neq'"],
    ["f|exists|all: true", "modifier-invalid", "'exists' without 'all'", "'exists|all'"],
    ["f|windash|re: a", "modifier-invalid", "text to compare after a transform", "'windash|re'"],
    ["'|cidr': a", "modifier-invalid", "a field to compare", "'cidr'"],
    ["'|neq': a", "modifier-invalid", "a field before 'neq'", "'neq'"],
    ["f|wide: a", "modifier-invalid", expect.any(String), "'wide'"],
    ["f|base64|wide: a", "modifier-invalid", expect.any(String), "'base64|wide'"],
    ["f|base64offset: a", "modifier-invalid", expect.any(String), "'base64offset'"],
    ["f|exists: 'yes'", "modifier-invalid", "true or false under 'exists'", expect.any(String)],
    ["f|contains: null", "modifier-invalid", "a value other than null", "null"],
    ["f|gt: x", "modifier-invalid", "a number", "x"],
    ["f|cidr: 10.0.0.1/8", "modifier-invalid", expect.any(String), "10.0.0.1/8"],
    ["f|cidr: 10.0.0.0/33", "modifier-invalid", expect.any(String), "10.0.0.0/33"],
    ["f|cidr: 10.0.0/8", "modifier-invalid", expect.any(String), "10.0.0/8"],
    ["f|fieldref: 5", "modifier-invalid", "a field name under 'fieldref'", "5"],
    ["f|base64: 'a*'", "modifier-invalid", "a text without wildcards to encode", "a*"],
    ["f|windash: ' -a -b -c -d -e'", "modifier-invalid", expect.any(String), expect.any(String)],
    ["f|re: '(?=a)'", "regex-invalid", expect.any(String), expect.stringContaining("(?=a)")],
    ["f|re: '(?<!a)b'", "regex-invalid", expect.any(String), expect.any(String)],
    ["f|re: '(a)\\1'", "regex-invalid", expect.any(String), expect.any(String)],
    ["f|re: 'a('", "regex-invalid", expect.any(String), expect.any(String)],
  ])("%s", (field, code, expected, found) => {
    expect(problemsOf(fieldRule(field))).toEqual([{ code, place: "a.yml:7:5", expected, found }]);
  });
});
