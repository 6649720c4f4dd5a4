// The house style, enforced: who may import whom, how long things get, which words we use. The law
// itself is data here.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { describe, expect, it } from "vitest";

/**
 * What each folder of src may import beside itself and the floor (the files directly in src), in
 * travel order.
 */
const law: Readonly<Record<string, readonly string[]>> = {
  event: [],
  sigma: [],
  bus: [],
  state: ["bus"],
  collector: ["event"],
  enrichment: ["event", "state"],
  lineage: ["event", "state"],
  detection: ["event", "sigma"],
  correlation: ["event", "sigma", "detection", "state"],
  alert: ["event", "detection", "lineage", "state"],
  sink: ["event", "alert", "state"],
  store: ["event", "alert", "sink"],
  api: ["event", "sigma", "detection", "alert", "store", "lineage", "sink"],
  // The front doors of the components that own a part of the settings.
  config: ["bus", "collector", "enrichment", "correlation", "lineage", "sink", "api"],
  pipeline: [
    ...["event", "sigma", "bus", "state", "collector", "enrichment", "lineage", "detection"],
    ...["correlation", "alert", "sink", "store", "config"],
  ],
  demo: [],
  cli: [
    ...["event", "sigma", "bus", "state", "collector", "enrichment", "lineage", "detection"],
    ...["correlation", "alert", "sink", "store", "api", "config", "pipeline", "demo"],
  ],
};

/** Files beside a folder's front door that other folders may open, and who may. */
const sideDoors: Readonly<Record<string, readonly string[]>> = {
  "event/build.ts": Object.keys(law),
  "event/fields.ts": Object.keys(law),
  "event/codec.ts": Object.keys(law),
  "collector/collectors.ts": ["config", "pipeline", "cli"],
  "collector/receiver.ts": ["config", "pipeline", "cli"],
  "bus/embedded.ts": ["pipeline", "cli"],
  "bus/retention.ts": ["config", "pipeline", "cli"],
  "bus/kafka-client.ts": ["state"],
  "bus/memory.ts": ["pipeline", "cli"],
  "bus/kafka.ts": ["cli"],
  "bus/kafka-connection.ts": ["cli"],
  "bus/kafka-specs.ts": ["state"],
  "bus/kafka-topic-check.ts": ["state", "cli"],
  "bus/kafka-topic-tool.ts": ["cli"],
  "state/embedded.ts": ["pipeline", "cli"],
  "state/kafka.ts": ["pipeline", "cli"],
  "state/memory.ts": ["pipeline", "cli"],
  "store/embedded.ts": ["pipeline", "cli"],
  "sink/sinks.ts": ["config", "pipeline", "cli"],
  "pipeline/dead-letters.ts": ["cli"],
  "pipeline/replay.ts": ["cli"],
  "pipeline/rule-test.ts": ["cli"],
};

/**
 * Words that have another name here (style.md's glossary), as they would appear in an identifier of
 * an export.
 */
const refusedWords =
  /\b\w*(Ingester|Hydrat|Dedup(?!e)|Notifier|SnapshotStore|Helper|Util(s|ity)?)\w*\b/;

const fileLinesMax = 400;
const fileLinesMostly = 300;
const functionLinesMax = 70;
const columnsMax = 100;
/** Texts, addresses and regular expressions stay whole. */
const unbreakable = /https?:|["'`]|^\s*(return )?\/[^/*]/;

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

interface SourceFile {
  readonly path: string;
  readonly folder: string;
  readonly text: string;
  readonly lines: readonly string[];
}

function readSource(path: string): SourceFile {
  const text = readFileSync(path, "utf8");
  const [folder = "", ...rest] = relative("src", path).split("/");
  return { path, folder: rest.length === 0 ? "" : folder, text, lines: text.split("\n") };
}

const sources = filesBelow("src").map(readSource);

/** Every relative import of a file, type-only ones included, as paths below src. */
function importsOf({ path, text }: SourceFile): string[] {
  const found = text.matchAll(/\b(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g);
  return [...found].map(([, target = ""]) =>
    relative("src", normalize(join(dirname(path), target))),
  );
}

function lawBreach(file: SourceFile, target: string): string | undefined {
  const [folder = "", ...rest] = target.split("/");
  if (rest.length === 0 || folder === file.folder) return undefined;
  if (file.folder === "")
    return file.path === "src/main.ts" && folder === "cli" ? undefined : "floor";
  if (!(law[file.folder] ?? []).includes(folder)) return `${file.folder} may not import ${folder}`;
  if (target === `${folder}/${folder}.ts`) return undefined;
  if (sideDoors[target]?.includes(file.folder) === true) return undefined;
  return `${target} is not the front door of ${folder}`;
}

describe("import law", () => {
  it("knows every folder", () => {
    const folders = new Set(sources.map(({ folder }) => folder).filter((folder) => folder !== ""));
    expect([...folders].filter((folder) => !Object.hasOwn(law, folder))).toEqual([]);
  });

  it("is kept", () => {
    const breaches = sources.flatMap((file) =>
      importsOf(file).flatMap((target) => {
        const breach = lawBreach(file, target);
        return breach === undefined ? [] : [`${file.path} → ${target}: ${breach}`];
      }),
    );
    expect(breaches).toEqual([]);
  });

  it("would notice a wrong-way import and a side door", () => {
    const file = { path: "src/detection/x.ts", folder: "detection", text: "", lines: [] };
    expect(lawBreach(file, "alert/alert.ts")).toBe("detection may not import alert");
    expect(lawBreach(file, "sigma/compile.ts")).toBe(
      "sigma/compile.ts is not the front door of sigma",
    );
    expect(lawBreach(file, "sigma/sigma.ts")).toBeUndefined();
  });

  it("has no cycle, type-only imports included", () => {
    const graph = new Map(sources.map((file) => [relative("src", file.path), importsOf(file)]));
    expect(firstCycle(graph)).toEqual([]);
  });

  it("would notice a cycle", () => {
    const graph = new Map([
      ["a", ["b"]],
      ["b", ["c"]],
      ["c", ["a"]],
    ]);
    expect(firstCycle(graph)).toEqual(["a", "b", "c", "a"]);
  });
});

function firstCycle(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const walk = (file: string, path: readonly string[]): string[] => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return [];
    for (const target of graph.get(file) ?? []) {
      const cycle = walk(target, [...path, file]);
      if (cycle.length > 0) return cycle;
    }
    done.add(file);
    return [];
  };
  for (const file of graph.keys()) {
    const cycle = walk(file, []);
    if (cycle.length > 0) return cycle;
  }
  return [];
}

/**
 * Lines of each function: from a line that opens one to the line that closes its brace at the same
 * indent.
 */
function longFunctions({ path, lines }: SourceFile): string[] {
  const long: string[] = [];
  lines.forEach((line, start) => {
    if (!/(\bfunction\b|=>\s*\{$|^\s+(async |static |#)*[\w#]+\(.*\).*\{$)/.test(line)) return;
    if (/^\s*(if|for|while|switch|return describe)\b/.test(line) || !/\{$/.test(line)) return;
    const indent = /^\s*/.exec(line)?.[0] ?? "";
    const length = lines.slice(start).findIndex((later) => later.startsWith(`${indent}}`)) + 1;
    if (length > functionLinesMax) long.push(`${path}:${start + 1} has ${length} lines`);
  });
  return long;
}

describe("size", () => {
  it(`keeps files under ${fileLinesMax} lines, and 19 of 20 under ${fileLinesMostly}`, () => {
    const tooLong = sources.filter(({ lines }) => lines.length > fileLinesMax);
    expect(tooLong.map(({ path, lines }) => `${path}: ${lines.length}`)).toEqual([]);
    const long = sources.filter(({ lines }) => lines.length > fileLinesMostly);
    expect(long.length).toBeLessThanOrEqual(Math.ceil(sources.length / 20));
  });

  it(`keeps functions within ${functionLinesMax} lines`, () => {
    expect(sources.flatMap(longFunctions)).toEqual([]);
  });

  it(`keeps lines within ${columnsMax} columns`, () => {
    const wide = [...sources, ...filesBelow("test").map(readSource)].flatMap(({ path, lines }) =>
      lines.flatMap((line, index) =>
        line.length > columnsMax && !unbreakable.test(line) ? [`${path}:${index + 1}`] : [],
      ),
    );
    expect(wide).toEqual([]);
  });
});

interface Ban {
  readonly what: string;
  readonly pattern: RegExp;
  readonly except: (path: string) => boolean;
}

const bans: readonly Ban[] = [
  { what: "any", pattern: /[:<(,|&]\s*any\b(?!\w)|\bas any\b/, except: () => false },
  { what: "default export", pattern: /^export default/, except: () => false },
  {
    what: "the time outside clock.ts",
    pattern: /\bDate\.now\(|new Date\(\)/,
    except: isFile("src/clock.ts"),
  },
  {
    what: "the environment outside config",
    pattern: /process\.env\b/,
    except: isIn("src/config/"),
  },
  {
    what: "process.exit outside main.ts",
    pattern: /process\.exit\(/,
    except: isFile("src/main.ts"),
  },
  { what: "console outside cli", pattern: /\bconsole\.\w+\(/, except: isIn("src/cli/") },
  { what: "a leftover mark", pattern: /\b(TODO|FIXME|XXX|HACK)\b/, except: () => false },
  { what: "generated code", pattern: /new Function\(|\beval\(/, except: () => false },
  { what: "another word for a thing of the glossary", pattern: refusedWords, except: () => false },
];

function isFile(file: string): (path: string) => boolean {
  return (path) => path === file;
}

function isIn(folder: string): (path: string) => boolean {
  return (path) => path.startsWith(folder);
}

/** Words for which the glossary has another one; the outside world's own may keep theirs. */
const foreignWords = new Set([
  ...["ingester", "finding", "ticket", "muted", "hydrate", "timeframe", "bucket", "severity"],
  ...["notification", "timestamp", "metadata", "message", "snapshot", "buffer", "dedup", "hit"],
  ...["alerting", "aggregation", "mapper", "policy", "dropped", "old", "push", "ingest"],
]);

/** `exported noticeKeys` → ["notice", "key"]: the words of every name a file gives to others. */
function exportedWords({ path, text }: SourceFile): { readonly name: string; words: string[] }[] {
  const names = text.matchAll(/^export (?:async )?(?:function|const|class|interface|type) (\w+)/gm);
  return [...names].map(([, name = ""]) => {
    const words = name.match(/[A-Z]?[a-z]+/g) ?? [];
    return {
      name: `${path}: ${name}`,
      words: words.map((word) => word.toLowerCase().replace(/s$/, "")),
    };
  });
}

describe("words", () => {
  it("of exported names are the glossary's", () => {
    const outside = /kafka|(demo|collector)\/github/;
    const foreign = sources
      .filter(({ path }) => !outside.test(path))
      .flatMap(exportedWords)
      .filter(({ words }) => words.some((word) => foreignWords.has(word)));
    expect(foreign.map(({ name }) => name)).toEqual([]);
  });

  it("would notice a foreign one", () => {
    const text = "export function openFindings(): void {}";
    const file = { path: "src/alert/x.ts", folder: "alert", text, lines: [text] };
    expect(exportedWords(file).map(({ words }) => words)).toEqual([["open", "finding"]]);
  });
});

describe("bans", () => {
  it.each(bans)("no $what", ({ pattern, except }) => {
    const found = sources
      .filter(({ path }) => !except(path))
      .flatMap(({ path, lines }) =>
        lines.flatMap((line, index) => {
          const code = line.replace(/\/\/.*$|^\s*\*.*$|\/\*.*\*\//, "");
          return pattern.test(code) ? [`${path}:${index + 1}: ${line.trim()}`] : [];
        }),
      );
    expect(found).toEqual([]);
  });

  it("no file or folder named for what it is not", () => {
    const names = /(^|\/)(index|utils?|helpers?|common|misc)(\.ts|\/)/;
    expect(sources.map(({ path }) => path).filter((path) => names.test(path))).toEqual([]);
  });

  it("opens every source file with its purpose", () => {
    const without = sources.filter(({ text }) => !/^(#!.*\n)?\/\*\*\s*(\n \* )?@module/.test(text));
    expect(without.map(({ path }) => path)).toEqual([]);
  });
});
