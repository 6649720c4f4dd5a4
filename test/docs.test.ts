// The documentation against the code: what it names exists, what it shows is what comes out, and
// its tables are whole.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { renderPage, summaryLine } from "../src/alert/alert.ts";
import { collectors } from "../src/collector/collectors.ts";
import { readConfig } from "../src/config/config.ts";
import { problemCodes } from "../src/error.ts";
import { blockOf, generated, generators, withBlock } from "./tools/docs.ts";
import { demoNight, sameEachRun } from "./tools/docs-demo.ts";
import {
  apiRoutes,
  documentedFields,
  doorRoutes,
  metrics,
  ownFieldsIn,
  settings,
} from "./tools/docs-tables.ts";

const pages = [
  ...["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"],
  ...readdirSync("docs").map((name) => `docs/${name}`),
];
const texts = new Map(pages.map((page) => [page, readFileSync(page, "utf8")]));
const textOf = (page: string): string => texts.get(page) ?? "";
const manifest = JSON.parse(readFileSync("package.json", "utf8")) as {
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
};

/** The part of a page below a heading, up to the next one of its rank. */
function section(page: string, heading: string): string {
  const [, below = ""] = textOf(page).split(`\n${heading}\n`);
  const rank = heading.split(" ")[0] ?? "#";
  return below.split(new RegExp(`\n#{1,${rank.length}} `))[0] ?? "";
}

/** The first cell of each row of a table, without its backticks. */
function firstCells(text: string): string[] {
  return [...text.matchAll(/^\| `([^`]+)` \|/gm)].map(([, cell]) => cell ?? "");
}

/** Lines of fenced shell blocks, and backticked commands. */
function commandsIn(text: string): string[] {
  const fenced = [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, body = ""]) =>
    body.split("\n"),
  );
  const inline = [...text.matchAll(/`((?:npm|npx) [^`]+)`/g)].map(([, command]) => command ?? "");
  return [...fenced, ...inline].flatMap((line) => line.split("&&")).map((line) => line.trim());
}

/** What is wrong with an npm command; undefined when it would run. */
function npmFault(command: string): string | undefined {
  const words = command.split(/\s+/);
  if (words[0] === "npx") return `${command}: npx fetches what is not there`;
  if (words[0] !== "npm" || words[1] === "ci") return undefined;
  const script = words[1] === "run" ? words[2] : words[1];
  if (script !== undefined && Object.hasOwn(manifest.scripts, script)) return undefined;
  return `${command}: no script ${script}`;
}

describe("commands", () => {
  it.each(pages)("in %s exist", (page) => {
    expect(commandsIn(textOf(page)).flatMap((command) => npmFault(command) ?? [])).toEqual([]);
  });

  it("are found, and a wrong one would be", () => {
    expect(commandsIn(textOf("README.md"))).toEqual(
      expect.arrayContaining(["npm ci", "npm run demo", "npm test"]),
    );
    expect(npmFault("npm run no-such-thing")).toBe(
      "npm run no-such-thing: no script no-such-thing",
    );
    expect(npmFault("npm start -- --config x.yml")).toBeUndefined();
  });

  it("of pipewarden are ones it has", () => {
    const source = ["cli", "dlq", "topics"]
      .map((name) => readFileSync(`src/cli/${name}.ts`, "utf8"))
      .join();
    const known = [...source.matchAll(/\.command\("(\w+)"\)/g)].map(([, name]) => name);
    const named = [...texts.values()].flatMap((text) =>
      [...text.matchAll(/(?:`|^npm run )pipewarden (?:-- )?([a-z]+)/gm)].map(([, name]) => name),
    );
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((name) => !known.includes(name))).toEqual([]);
  });
});

/** Backticked words and link targets that look like a path of this repository. */
function pathsIn(page: string): string[] {
  const text = textOf(page);
  const quoted = [...text.matchAll(/`([\w.-]+(?:\/[\w.-]+)+)\/?`/g)].map(([, path]) => path ?? "");
  const ours = quoted.filter((path) =>
    /^(src|test|docs|rules|deploy|dashboards|\.ci)\//.test(path),
  );
  const folder = page.includes("/") ? page.slice(0, page.lastIndexOf("/") + 1) : "";
  const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(
    ([, path]) => `${folder}${path}`,
  );
  return [...ours, ...links];
}

describe("paths", () => {
  it.each(pages)("in %s exist", (page) => {
    expect(pathsIn(page).filter((path) => !existsSync(path))).toEqual([]);
  });

  it("are found", () => {
    expect(pathsIn("ARCHITECTURE.md")).toContain("src/collector/receiver.ts");
    expect(pathsIn("ARCHITECTURE.md").length).toBeGreaterThan(30);
  });

  it("below a heading are headings", () => {
    const wrong = pages.flatMap((page) =>
      [...textOf(page).matchAll(/\]\(([\w./-]*\.md)#([\w-]+)\)/g)].flatMap(
        ([, file = "", anchor]) => {
          const headings = [...textOf(file).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
            heading
              .toLowerCase()
              .replace(/[^\w -]/g, "")
              .replaceAll(" ", "-"),
          );
          return headings.includes(anchor ?? "") ? [] : [`${page}: ${file}#${anchor}`];
        },
      ),
    );
    expect(wrong).toEqual([]);
  });
});

describe("generated blocks", () => {
  it.each([...generators.keys()])("of %s are what `npm run docs` would write", async (file) => {
    expect(textOf(file)).toBe(await generated(file));
  });

  it("would be seen to be stale, or gone", () => {
    const text = "a\n<!-- generated: x -->\n\nold\n\n<!-- end -->\nb\n";
    expect(withBlock(text, "x", "new")).toBe(text.replace("old", "new"));
    expect(blockOf(text, "x")).toBe("old");
    expect(() => withBlock(text, "y", "new")).toThrow('no block "y"');
  });
});

/** The tour: the road, its side trips, what stands beside it. */
const tour = [
  ...["event", "collector", "bus", "enrichment", "detection", "correlation", "alert", "sink"],
  ...["sigma", "lineage", "state"],
  ...["store", "api", "cli", "demo", "config", "pipeline"],
];

describe("ARCHITECTURE.md", () => {
  it("has a heading for every folder of src, in the order of the tour", () => {
    const folders = readdirSync("src", { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
    const headings = [...textOf("ARCHITECTURE.md").matchAll(/^### (.+)$/gm)].map(
      ([, name]) => name,
    );
    expect(headings).toEqual(tour);
    expect([...folders].sort()).toEqual([...tour].sort());
  });

  it("says of each stop what comes in, goes out, is promised, never happens", () => {
    for (const folder of tour.slice(1, 8)) {
      const text = section("ARCHITECTURE.md", `### ${folder}`);
      for (const word of ["*In:*", "*Out:*", "*Promises:*", "*Never:*", "*Tested:*"]) {
        expect(text, folder).toContain(word);
      }
    }
  });
});

describe("CONTRIBUTING.md", () => {
  it("gives every dependency's reason, and no other", () => {
    const named = firstCells(section("CONTRIBUTING.md", "## Dependencies"));
    const used = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)];
    expect([...named].sort()).toEqual([...used].sort());
  });

  it("lists every problem code with its sentence, and no other", () => {
    const rows = section("CONTRIBUTING.md", "## Problem codes").matchAll(
      /^\| `([^`]+)` \| (.+) \|$/gm,
    );
    expect(Object.fromEntries([...rows].map(([, code, means]) => [code, means]))).toEqual(
      problemCodes,
    );
  });
});

describe("README.md", () => {
  it("names every door that is open, and no other", async () => {
    const rows = section("README.md", "## What it takes in");
    const named = [...rows.matchAll(/`((?:GET|POST) \/[^`]*)`/g)].map(([, route]) => route ?? "");
    expect([...new Set(named)].sort()).toEqual(await doorRoutes());
  });

  it("names every path of the API, and no other", async () => {
    const rows = section("README.md", "## API");
    const named = [...rows.matchAll(/^\| `((?:GET|POST|DELETE) \/[^`]*)`/gm)].map(
      ([, route]) => route ?? "",
    );
    expect(named.sort()).toEqual(await apiRoutes());
  });

  it("has settings that are taken", () => {
    const [, yaml = ""] =
      /^```yaml\n([\s\S]*?)^```/m.exec(section("README.md", "## Running it")) ?? [];
    const folder = mkdtempSync(join(tmpdir(), "readme-"));
    const path = join(folder, "pipewarden.yml");
    writeFileSync(path, yaml);
    const config = readConfig({ path, environment: {} });
    rmSync(folder, { recursive: true });
    expect(config.listen.host).toBe("0.0.0.0");
    expect(Object.keys(config.sinks)).toEqual(["terminal", "pager"]);
  });

  it("and the pages beside it name settings that there are", () => {
    const named = [...texts].flatMap(([page, text]) =>
      page === "docs/settings.md"
        ? []
        : [
            ...text.matchAll(/`((?:doors|api|enrichment|lineage|listen|bus)\.(?!db`|ts`)\w+)`/g),
          ].map(([, path]) => path ?? ""),
    );
    const paths = settings().map(({ path }) => path.join("."));
    expect(named.length).toBeGreaterThan(3);
    expect(named.filter((path) => !paths.includes(path))).toEqual([]);
  });

  it("names metrics that there are", async () => {
    const known = (await metrics()).map(({ name }) => name);
    const named = [...texts.values()].flatMap((text) =>
      [...text.matchAll(/`(pipewarden_\w+)[`{]/g)].map(([, name]) => name ?? ""),
    );
    expect(named).toContain("pipewarden_feed_last_event_timestamp_seconds");
    expect(named.filter((name) => !known.includes(name))).toEqual([]);
  });

  it("gives a Squid log format whose lines are read whole", () => {
    const format = /^logformat pipewarden (.+)$/m.exec(textOf("README.md"))?.[1] ?? "";
    const sample: Readonly<Record<string, string>> = {
      ...{ "%ts.%03tu": "1795486079.120", "%>a": "10.20.0.17", "%>p": "48112", "%rm": "POST" },
      ...{ "%ru": "http://203.0.113.77/u", "%>Hs": "200", "%Ss:%Sh": "TCP_MISS:HIER_DIRECT" },
      ...{ "%<a": "203.0.113.77", "%<p": "80", "%>st": "3981", "%<st": "2", "%tr": "120" },
      ...{ "%un": "-", "%{User-Agent}>h": "curl/8.5.0" },
    };
    const line = Object.entries(sample).reduce(
      (text, [code, value]) => text.replace(`"${code}"`, `"${value}"`),
      format,
    );
    expect(line).not.toContain('"%');
    const delivery = { receivedAt: 1_795_486_080_000, headers: {}, place: "x" };
    const event = collectors.get("egress")?.read(Buffer.from(line), delivery).events[0];
    expect(event?.occurredAt).toBe(1_795_486_079_000);
    expect(event?.fields).toMatchObject({
      "http.request.method": "POST",
      "http.request.bytes": 3981,
      "destination.ip": "203.0.113.77",
      "pipewarden.egress.decision": "allow",
      "pipewarden.egress.bare_address": true,
      "user_agent.original": "curl/8.5.0",
    });
  });

  it("shows the demo as it is: page, table of alerts, updates", async () => {
    const { notices, alerts } = await demoNight(Date.UTC(2026, 10, 24, 2, 8));
    const shown = sameEachRun(blockOf(textOf("README.md"), "demo"));
    const page = notices.filter(({ kind }) => kind === "page");
    expect(page).toHaveLength(1);
    const consoleUrl = "http://127.0.0.1:1";
    const text = page.map((notice) => renderPage(notice, { consoleUrl })).join();
    for (const named of ["acme/payments", "fork PR #41", "REGISTRY_PAT", "203.0.113.77"]) {
      expect(text).toContain(named);
    }
    const link = shown.includes("Links     http") ? text : text.replace(/http:\/\/127\S+\n +/, "");
    expect(shown).toContain(sameEachRun(link).trim());
    const updates = notices.filter(({ kind }) => kind === "update").map(summaryLine);
    expect(updates.length).toBeGreaterThan(0);
    for (const line of updates) expect(shown).toContain(line);
    const rows = alerts.map(({ rule, count, build }) => {
      const run = build === undefined ? "–" : `${build.repository} #${build.runNumber}`;
      return `TIME ${rule.level} ${rule.title} ${count} ${run}`;
    });
    const table = shown.split("\n").filter((line) => /^TIME {2}/.test(line));
    expect(table.map((line) => line.replace(/ {2,}/g, " "))).toEqual(rows);
  });
});

describe("docs/fields.md", () => {
  it.each(["collector", "enrichment"])(
    "names every field of our own that src/%s sets",
    (folder) => {
      const documented = documentedFields(textOf("docs/fields.md"));
      const missing = ownFieldsIn(folder).filter((name) => {
        const group = name.split(".").slice(0, 2).join(".");
        return !documented.has(name) && !documented.has(`${group}.*`);
      });
      expect(missing).toEqual([]);
    },
  );

  it("is read as it is meant", () => {
    const read = documentedFields("| pipewarden.run.number, .status; pipewarden.issue.* | .no |");
    expect([...read]).toEqual([
      "pipewarden.run.number",
      "pipewarden.run.status",
      "pipewarden.issue.*",
    ]);
    expect(ownFieldsIn("collector").length).toBeGreaterThan(80);
  });
});

describe("docs/settings.md", () => {
  it("has a row for every setting of the schema", () => {
    const named = firstCells(blockOf(textOf("docs/settings.md"), "settings"));
    expect(named).toEqual(settings().map(({ path }) => path.join(".")));
  });

  it("gives the defaults that an empty file has", () => {
    const config: unknown = readConfig({ environment: {} });
    const given = settings().filter(
      ({ schema, path }) =>
        schema.default !== undefined && schema.type !== "object" && !/[<[]/.test(path.join()),
    );
    const wrong = given.filter(({ path, schema }) => {
      const value = path.reduce((at, key) => (at as Record<string, unknown>)[key], config);
      return JSON.stringify(value) !== JSON.stringify(schema.default);
    });
    expect(given.length).toBeGreaterThan(20);
    expect(wrong.map(({ path }) => path.join("."))).toEqual([]);
  });
});

describe("no page", () => {
  /** Spelled in halves: this file is a page that must not hold them either. */
  const registries = [
    ...[
      ["npm", "js.org"],
      ["pypi", ".org"],
      ["python", "hosted.org"],
      ["maven", ".org"],
    ],
    ...[
      ["crates", ".io"],
      ["docker", ".io"],
      ["docker", ".com"],
      ["ghcr", ".io"],
      ["quay", ".io"],
    ],
    ...[
      ["rubygems", ".org"],
      ["nuget", ".org"],
      ["proxy.golang", ".org"],
    ],
  ].map((halves) => halves.join(""));

  it.each(pages)("%s names a package registry's host", (page) => {
    expect(registries.filter((host) => textOf(page).includes(host))).toEqual([]);
  });

  it.each(pages)("%s holds a path of somebody's machine", (page) => {
    const found = textOf(page).match(/(?<![\w.])\/(home|Users|root|work|tmp|mnt)\/[^\s`]*/g) ?? [];
    expect(found).toEqual([]);
  });

  it.each(pages)("%s is written with a dash where a full stop would do", (page) => {
    const dashes = textOf(page).match(/\w ?— ?\w/g) ?? [];
    expect(dashes.length).toBeLessThan(3);
  });
});
