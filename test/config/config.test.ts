import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { hourMs, secondMs } from "../../src/clock.ts";
import { type Config, type ConfigSource, readConfig } from "../../src/config/config.ts";
import { latenessOf, pageAgeMaxOf } from "../../src/correlation/correlation.ts";
import { type Problem, ServiceError } from "../../src/error.ts";
import { type Feed, feeds } from "../../src/event/event.ts";

const folder = mkdtempSync(join(tmpdir(), "pipewarden-config-"));
let files = 0;

afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(text: string): string {
  files += 1;
  const path = join(folder, `settings-${files}.yml`);
  writeFileSync(path, text);
  return path;
}

function fromYaml(text: string, environment: ConfigSource["environment"] = {}): Config {
  return readConfig({ path: fileOf(text), environment });
}

function fromEnvironment(environment: ConfigSource["environment"]): Config {
  return readConfig({ environment });
}

function problemOf(read: () => unknown): Problem {
  try {
    read();
  } catch (error) {
    if (error instanceof ServiceError) return error.problem;
    throw error;
  }
  throw new Error("was accepted");
}

/** The problem as `place | expected | found`, the file's own name left out. */
function wrong(read: () => unknown): string {
  const { code, place, expected, found } = problemOf(read);
  expect(code).toBe("config-invalid");
  return `${place.replace(/^.*settings-\d+\.yml: /, "")} | ${expected} | ${found}`;
}

describe("settings without a file", () => {
  it("are the defaults, for one machine and loopback", () => {
    const config = fromEnvironment({});
    expect(config).toMatchObject({
      dataDir: "data",
      listen: { host: "127.0.0.1", port: 8480 },
      rulesDirs: ["rules"],
      listsDirs: ["rules/lists"],
      rulesOff: [],
      logLevel: "info",
      sinks: { terminal: { type: "terminal" } },
    });
    expect(config.doors.falcoTokens).toEqual([]);
    expect(config.api.tokens).toEqual([]);
    expect(config.enrichment.runners).toEqual([]);
    expect(Object.hasOwn(config, "consoleUrl")).toBe(false);
  });

  it("are frozen all the way down, and reading them again starts afresh", () => {
    const config = fromEnvironment({});
    const open: unknown[] = [config];
    for (let value = open.pop(); value !== undefined; value = open.pop()) {
      if (typeof value !== "object" || value === null) continue;
      expect(Object.isFrozen(value)).toBe(true);
      open.push(...Object.values(value));
    }
    expect(() => (config.rulesDirs as string[]).push("x")).toThrow(TypeError);
    expect(fromEnvironment({ PW_RULES_DIRS: "mine" }).rulesDirs).toEqual(["mine"]);
    expect(fromEnvironment({}).rulesDirs).toEqual(["rules"]);
  });
});

describe("a settings file", () => {
  it("replaces what it names and leaves the rest at its default", () => {
    const config = fromYaml(
      [
        "listen: {port: 9000}",
        "rulesDirs: [rules, ours]",
        "doors:",
        "  falcoTokens: [0123456789abcdef]",
        "enrichment:",
        "  runners:",
        "    - {name: build-01, addresses: [10.20.0.11]}",
        "sinks:",
        "  pager: {type: webhook, url: 'https://hooks.example/x', secrets: [abc]}",
      ].join("\n"),
    );
    expect(config.listen).toEqual({ host: "127.0.0.1", port: 9000 });
    expect(config.rulesDirs).toEqual(["rules", "ours"]);
    expect(config.doors.falcoTokens).toEqual(["0123456789abcdef"]);
    expect(config.doors.egressTokens).toEqual([]);
    expect(config.enrichment.runners).toEqual([{ name: "build-01", addresses: ["10.20.0.11"] }]);
    expect(Object.keys(config.sinks)).toEqual(["pager"]);
  });

  it.each(["", "# nothing yet\n", "---\n", "listen:\napi:\nsinks:\n  # terminal: {}\n"])(
    "%j says nothing",
    (text) => {
      expect(fromYaml(text)).toEqual(fromEnvironment({}));
    },
  );

  it("that is missing is a problem with its name", () => {
    const path = join(folder, "absent.yml");
    expect(problemOf(() => readConfig({ path, environment: {} }))).toEqual({
      code: "config-invalid",
      place: path,
      expected: "a settings file",
      found: "no such file",
    });
    expect(problemOf(() => readConfig({ path: folder, environment: {} })).found).toContain(
      "cannot be read",
    );
  });

  it("that is not YAML is a problem with line and column", () => {
    const { code, place } = problemOf(() => fromYaml("listen:\n  port: 1\n port: [\n"));
    expect(code).toBe("yaml-invalid");
    expect(place).toMatch(/settings-\d+\.yml:3:\d+$/);
  });

  it("that is not a map is a problem", () => {
    expect(problemOf(() => fromYaml("- listen\n"))).toMatchObject({
      expected: "a map of settings",
      found: '["listen"]',
    });
  });
});

describe("a wrong setting", () => {
  it.each([
    ["lissten: {port: 1}", 'lissten | a known key, perhaps "listen" | unknown key "lissten"'],
    ["listen: {prt: 1}", 'listen.prt | a known key, perhaps "port" | unknown key "prt"'],
    ["listen: {x: 1}", 'listen.x | one of host, port | unknown key "x"'],
    [
      "enrichment: {runners: [{name: a, adresses: []}]}",
      'enrichment.runners.0.adresses | a known key, perhaps "addresses" | unknown key "adresses"',
    ],
    [
      "sinks: {p: {type: webhook, url: 'https://a.example', secrts: [x]}}",
      'sinks.p.secrts | a known key, perhaps "secrets" | unknown key "secrts"',
    ],
    [
      "sinks: {p: {type: webhok, url: 'https://a.example'}}",
      'sinks.p.type | terminal, jsonl or webhook | "webhok"',
    ],
    ["sinks: {p: {path: x}}", "sinks.p.type | terminal, jsonl or webhook | nothing"],
    ["sinks: {p: {type: jsonl}}", "sinks.p.path | a value | none"],
    ["sinks: {p: 5}", "sinks.p | a map | 5"],
    [
      "sinks: {p: {type: terminal, notices: some}}",
      "sinks.p.notices | all or pages | text of length 4",
    ],
    [
      "sinks: {Pager: {type: terminal}}",
      "sinks.Pager | a name of small letters, digits and dashes that begins with a letter | " +
        'unknown key "Pager"',
    ],
    ["listen: {port: eighty}", "listen.port | a whole number | text of length 6"],
    ["listen: {port: '80'}", "listen.port | a whole number | text of length 2"],
    ["listen: {port: 80.5}", "listen.port | a whole number | 80.5"],
    ["listen: {port: 65536}", "listen.port | at most 65535 | 65536"],
    ["listen: {port: -1}", "listen.port | at least 0 | -1"],
    ["listen: 8480", "listen | a map | 8480"],
    ["listen: {host: }", "listen.host | text | nothing"],
    ["dataDir: ''", "dataDir | text | text of length 0"],
    ["dataDir: 7", "dataDir | text | 7"],
    ["rulesDirs: rules", "rulesDirs | a list | text of length 5"],
    ["rulesDirs: [rules, 1]", "rulesDirs.1 | text | 1"],
    [
      "logLevel: loud",
      "logLevel | trace, debug, info, warn, error, fatal or silent | text of length 4",
    ],
  ])("%s", (text, expected) => {
    expect(wrong(() => fromYaml(text))).toBe(expected);
  });

  it("never shows the text that stands there: it may be a secret", () => {
    const line = wrong(() => fromYaml("doors: {falcoTokens: [hunter2]}"));
    expect(line).toBe("doors.falcoTokens.0 | text of at least 16 characters | text of length 7");
  });

  it("shows control characters of a key", () => {
    const line = wrong(() => fromYaml('"a\\e[31m": 1'));
    expect(line).toContain('unknown key "a\\u001b[31m"');
    expect(line).not.toContain("\u001b");
  });
});

describe("time", () => {
  it("has a lateness and a page age for each feed; what is given stands, the rest is default", () => {
    const { time } = fromYaml(
      "time: {idleSeconds: 5, latenessSeconds: {egress: 3}, pageAgeMaxMinutes: {trivy: 0}}",
    );
    expect(time.idleSeconds).toBe(5);
    const late = (feed: Feed): number => latenessOf(time)(feed);
    const age = (feed: Feed): number => pageAgeMaxOf(time)(feed);
    expect(feeds.map((feed) => [feed, late(feed) / secondMs, age(feed) / hourMs])).toEqual([
      ["falco", 60, 24],
      ["github-webhook", 120, 24],
      ["github-audit", 1_200, 24],
      ["egress", 3, 24],
      ["trivy", 600, 0],
      ["registry", 120, 24],
    ]);
  });

  it.each([
    ["time: {latenessSeconds: {github-audit: 3}}", "githubAudit"],
    ["time: {latenessSeconds: {falco: -1}}", "time.latenessSeconds.falco"],
    ["time: {idleSeconds: 0}", "time.idleSeconds"],
    ["pageAgeMaxMs: 60000", "pageAgeMaxMs"],
  ])("refuses %s", (text, named) => {
    expect(wrong(() => fromYaml(text))).toContain(named);
  });
});

describe("the environment", () => {
  it("stands above the file, each text as what its setting asks for", () => {
    const config = fromYaml("listen: {host: 127.0.0.2, port: 1}\ndataDir: here\n", {
      PW_LISTEN__PORT: "9000",
      PW_RULES_DIRS: "rules, ours",
      PW_DOORS__FALCO_TOKENS: "0123456789abcdef,fedcba9876543210",
      PW_LOG_LEVEL: "warn",
      PW_TIME__PAGE_AGE_MAX_MINUTES__GITHUB_AUDIT: "60",
      PW_CONSOLE_URL: "https://pipewarden.example",
      PATH: "/bin",
      PWD: "/",
      PW_SINKS__PAGER__TYPE: "webhook",
      PW_SINKS__PAGER__URL: "https://hooks.example/a,b",
      PW_SINKS__PAGER__SECRETS: "one,two",
      PW_API__TOKENS: undefined,
    });
    expect(config.listen).toEqual({ host: "127.0.0.2", port: 9000 });
    expect(config.dataDir).toBe("here");
    expect(config.rulesDirs).toEqual(["rules", "ours"]);
    expect(config.doors.falcoTokens).toEqual(["0123456789abcdef", "fedcba9876543210"]);
    expect(config.logLevel).toBe("warn");
    expect(config.time.pageAgeMaxMinutes).toMatchObject({ githubAudit: 60, falco: 1_440 });
    expect(config.sinks["pager"]).toMatchObject({
      url: "https://hooks.example/a,b",
      secrets: ["one", "two"],
    });
    expect(config.api.tokens).toEqual([]);
  });

  it("keeps text that looks like a number where text is asked for", () => {
    expect(fromEnvironment({ PW_DATA_DIR: "2026" }).dataDir).toBe("2026");
  });

  it.each([
    ["", []],
    [" , ,", []],
    ["a", ["a"]],
    ["a,,b,", ["a", "b"]],
  ])("reads the list %j", (text, list) => {
    expect(fromEnvironment({ PW_RULES_OFF: text }).rulesOff).toEqual(list);
  });

  it("empties a list of the file", () => {
    expect(fromYaml("rulesOff: [a/b]\n", { PW_RULES_OFF: "" }).rulesOff).toEqual([]);
  });

  it("takes a value from a file, without the white space around it", () => {
    const path = fileOf("  0123456789abcdef,fedcba9876543210\n");
    expect(fromEnvironment({ PW_API__TOKENS_FILE: path }).api.tokens).toEqual([
      "0123456789abcdef",
      "fedcba9876543210",
    ]);
  });

  it("names a file that is not there by its variable", () => {
    const path = join(folder, "no-secret");
    expect(wrong(() => fromEnvironment({ PW_API__TOKENS_FILE: path }))).toBe(
      `PW_API__TOKENS_FILE | a file that holds the value | ${path}: ENOENT`,
    );
  });

  it("is asked for one of two variables that set the same", () => {
    const path = fileOf("x");
    const both = { PW_DATA_DIR: "a", PW_DATA_DIR_FILE: path };
    expect(wrong(() => fromEnvironment(both))).toContain("PW_DATA_DIR as well");
  });

  it.each([
    [{ PW_LISTEN__PROT: "1" }, "PW_LISTEN__PROT | a setting, perhaps PW_LISTEN__PORT"],
    [{ PW_LISTEN_PORT: "1" }, "PW_LISTEN_PORT | one of PW_DATA_DIR, PW_ROLES, PW_LISTEN"],
    [{ PW_LISTN__PORT: "1" }, "PW_LISTN__PORT | a setting, perhaps PW_LISTEN"],
    [{ PW_DATADIR: "x" }, "PW_DATADIR | a setting, perhaps PW_DATA_DIR"],
    [{ PW_: "x" }, "PW_ | one of PW_DATA_DIR"],
    [{ PW_TEST_WORKERS: "2" }, "PW_TEST_WORKERS | one of PW_DATA_DIR"],
    [{ PW_LISTEN__PORT__X: "2" }, "PW_LISTEN__PORT__X | "],
    [{ PW_LISTEN__PORT: "eighty" }, "PW_LISTEN__PORT | a whole number | text of length 6"],
    [{ PW_LISTEN__PORT: "" }, "PW_LISTEN__PORT | a whole number | text of length 0"],
    [{ PW_LISTEN__PORT: "70000" }, "PW_LISTEN__PORT | at most 65535 | 70000"],
    [{ PW_LISTEN: "8480" }, "PW_LISTEN | a map | text of length 4"],
    [{ PW_API__TOKENS: "0123456789abcdef,short" }, "PW_API__TOKENS, item 2 | text of at least 16"],
    [{ PW_ENRICHMENT__RUNNERS: "a" }, "PW_ENRICHMENT__RUNNERS, item 1 | a map | text of length 1"],
  ])("%j stops the start with the variable's name", (environment, expected) => {
    expect(wrong(() => fromEnvironment(environment))).toContain(expected);
  });
});

describe("keys that mean something to JavaScript", () => {
  it.each([
    ["__proto__: {dataDir: elsewhere}\n", "__proto__"],
    ["listen: {__proto__: {port: 1}}\n", "listen.__proto__"],
    ["constructor: {prototype: {polluted: 1}}\n", "constructor"],
    ["sinks: {__proto__: {type: terminal}}\n", "sinks.__proto__"],
  ])("%j is an unknown key", (text, place) => {
    expect(wrong(() => fromYaml(text))).toContain(`${place} | `);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it.each(["PW___PROTO__", "PW___PROTO____POLLUTED", "PW_LISTEN____PROTO__", "PW_CONSTRUCTOR__A"])(
    "%s is a variable of no setting",
    (variable) => {
      expect(wrong(() => fromEnvironment({ [variable]: "1" }))).toContain(variable);
      expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    },
  );
});
