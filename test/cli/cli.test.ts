import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, describe, expect, it } from "vitest";
import { openEmbeddedBus } from "../../src/bus/embedded.ts";
import { sweepMs } from "../../src/bus/retention-sweep.ts";
import { startService } from "../../src/cli/service.ts";
import { realClock, VirtualClock } from "../../src/clock.ts";
import { readConfig } from "../../src/config/config.ts";
import { openEmbeddedState } from "../../src/state/embedded.ts";
import { silentTelemetry } from "../../src/telemetry.ts";
import { type Ran, run, steering } from "./streams.ts";

const folder = mkdtempSync(join(tmpdir(), "pipewarden-cli-"));
let files = 0;

afterAll(() => rmSync(folder, { recursive: true }));

function settingsFile(settings: object): string {
  files += 1;
  const path = join(folder, `settings-${files}.yml`);
  writeFileSync(path, JSON.stringify({ logLevel: "silent", ...settings }));
  return path;
}

function newDirectory(): string {
  files += 1;
  const path = join(folder, `directory-${files}`);
  mkdirSync(path);
  return path;
}

/** The one line on stderr, with the code; a stack or a second line fails. */
function complaint({ code, out, err }: Ran): string {
  expect(out).toBe("");
  expect(err.trimEnd().split("\n")).toHaveLength(1);
  return `${code} ${err.trimEnd()}`;
}

/** Unready as soon as one of the reasons is of `place`; detection begins behind the start. */
async function reasonsOnceTold(url: string, place: string): Promise<{ reasons: string[] }> {
  for (let tries = 0; tries < 500; tries += 1) {
    const answer = await fetch(`${url}/readyz`);
    const told = (await answer.json()) as { reasons?: string[] };
    const { reasons = [] } = told;
    if (answer.status === 503 && reasons.some((reason) => reason.includes(place))) {
      return { ...told, reasons };
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`nothing is told of ${place}`);
}

async function ready(url: string): Promise<boolean> {
  for (let tries = 0; tries < 500; tries += 1) {
    if ((await fetch(`${url}/readyz`)).ok) return true;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return false;
}

describe("usage", () => {
  it.each([
    [["sreve"], /unknown command 'sreve'[\s\S]*serve/],
    [["serve", "--prot", "1"], /unknown option '--prot'/],
    [["serve", "--config"], /argument missing/],
    [["rules"], /Usage: pipewarden rules/],
    [["rules", "tset"], /unknown command 'tset'/],
    [["replay", "--jsno"], /unknown option '--jsno'/],
    [["rules", "test", "a", "b"], /too many arguments/],
    [[], /Usage: pipewarden/],
  ])("%j ends with 2 and says why", async (args, expected) => {
    const { code, out, err } = await run(args);
    expect(code).toBe(2);
    expect(out).toBe("");
    expect(err).toMatch(expected);
    expect(err).not.toContain("    at ");
  });

  it("is told when asked for, with 0", async () => {
    const { code, out, err } = await run(["--help"]);
    expect(code).toBe(0);
    expect(err).toBe("");
    for (const command of ["serve", "replay", "demo", "rules"]) expect(out).toContain(command);
  });

  it("repeats what was typed without letting it steer the terminal", async () => {
    const { code, err } = await run(["x\u001b[2J\u009b31m\u202ey"]);
    expect(code).toBe(2);
    expect(err).toContain("x\\u001b[2J\\u009b31m\\u202ey");
    expect(err).not.toMatch(steering);
  });
});

describe("rules test", () => {
  const rule = [
    "title: Shell",
    "id: 5c0b6e7a-7f0c-4f6e-9d60-3f1d6a1c9f01",
    "name: shell",
    "status: test",
    "logsource: {product: ci, category: proxy}",
    "detection:",
    "  selection: {http.request.method: POST}",
    "  condition: selection",
    "level: high",
  ].join("\n");
  const testOf = (name: string, fires: number) =>
    JSON.stringify({
      tests: [
        {
          name,
          input: [
            {
              at: "1m",
              feed: "egress",
              record: {
                ts: "$" + "{epoch_s}",
                client: "10.20.0.7",
                method: "POST",
                url: "http://203.0.113.7/u",
                status: 200,
                decision: "TCP_MISS:HIER_DIRECT",
                dest_ip: "203.0.113.7",
                dest_port: 80,
                bytes_out: 1,
                bytes_in: 1,
                duration_ms: 1,
              },
            },
          ],
          fires,
        },
      ],
    });

  function rulesDirectory(name: string, fires: number): string {
    const directory = newDirectory();
    mkdirSync(join(directory, "tactic"));
    writeFileSync(join(directory, "tactic", "shell.yml"), rule);
    writeFileSync(join(directory, "tactic", "shell.test.yml"), testOf(name, fires));
    return directory;
  }

  it("ends with 0 when every test passes", async () => {
    const { code, out, err } = await run(["rules", "test", rulesDirectory("a post", 1)]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toBe("1 tests, 0 failed\n");
  });

  it("ends with 1 and shows rule, test and why when one fails", async () => {
    const hostile = "a post\u001b[2J\u202e";
    const { code, out } = await run(["rules", "test", rulesDirectory(hostile, 2)]);
    expect(code).toBe(1);
    expect(out).toMatch(/^failed {2}.*shell.*: a post\\u001b\[2J\\u202e\n {2}\S/);
    expect(out).toContain("1 tests, 1 failed\n");
    expect(out).not.toMatch(steering);
  });

  it("gives one result a line as JSON, with the same codes", async () => {
    const passed = await run(["rules", "test", "--json", rulesDirectory("a post", 1)]);
    expect(passed.code).toBe(0);
    expect(
      passed.out
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toMatchObject([{ test: "a post", passed: true }]);
    const failed = await run(["rules", "test", "--json", rulesDirectory("\u009bpost", 2)]);
    expect(failed.code).toBe(1);
    expect(failed.out).not.toMatch(steering);
    expect(JSON.parse(failed.out)).toMatchObject({ test: "\u009bpost", passed: false });
  });
});

describe("serve", () => {
  it("refuses wrong settings with 3 and one line", async () => {
    const config = settingsFile({ listen: { port: "high" } });
    expect(complaint(await run(["serve", "--config", config]))).toMatch(
      /^3 .*: listen\.port: config-invalid: expected a whole number but found text of length 4$/,
    );
    expect(complaint(await run(["serve", "--config", join(folder, "absent.yml")]))).toMatch(
      /^3 .*absent\.yml: config-invalid: expected a settings file but found no such file$/,
    );
  });

  it.each(["0.0.0.0", "::", "192.0.2.1", "pipewarden.example", "127.0.0.1.example", "::2"])(
    "refuses to listen on %s without credentials",
    async (host) => {
      const dataDir = join(folder, "never");
      const config = settingsFile({ dataDir, listen: { host, port: 0 } });
      expect(complaint(await run(["serve", "--config", config]))).toMatch(
        /^3 listen\.host .*: expected credentials for every door .* but found no doors\.falcoTokens$/,
      );
    },
  );

  it("refuses it until the last door has its own", async () => {
    const token = ["0123456789abcdef"];
    const doors = {
      githubAuditTokens: token,
      falcoTokens: token,
      egressTokens: token,
      trivyTokens: token,
      registryTokens: token,
    };
    const listen = { host: "0.0.0.0", port: 0 };
    const dataDir = newDirectory();
    const open = settingsFile({ dataDir, listen, doors });
    expect(complaint(await run(["serve", "--config", open]))).toContain("found no api.tokens");
    const service = await startService({
      config: readConfig({
        path: settingsFile({ dataDir, listen, doors, api: { tokens: token } }),
        environment: {},
      }),
      ...{ clock: realClock, telemetry: silentTelemetry(), stdout: process.stdout },
    });
    expect(service.url).toMatch(/^http:\/\//);
    await service.stop();
  });

  it("refuses a second service on one data directory, and frees it when the first stops", async () => {
    const path = settingsFile({ dataDir: newDirectory(), listen: { port: 0 } });
    const parts = { clock: realClock, telemetry: silentTelemetry(), stdout: process.stdout };
    const config = readConfig({ path, environment: {} });
    const first = await startService({ config, ...parts });
    try {
      const second = await run(["serve", "--config", path]);
      expect(complaint(second)).toMatch(/^3 .*bus\.db.*: bus-in-use: /);
      expect(await ready(first.url)).toBe(true);
    } finally {
      await first.stop();
      await first.stop();
    }
    const third = await startService({ config, ...parts });
    expect((await fetch(`${third.url}/livez`)).status).toBe(200);
    await third.stop();
  });

  it("keeps its data to itself, also where it was open before", async () => {
    const dataDir = join(newDirectory(), "new");
    const parts = { clock: realClock, telemetry: silentTelemetry(), stdout: process.stdout };
    const path = settingsFile({ dataDir, listen: { port: 0 } });
    const config = readConfig({ path, environment: {} });
    for (let start = 0; start < 2; start += 1) {
      const service = await startService({ config, ...parts });
      expect(statSync(dataDir).mode & 0o777).toBe(0o700);
      const names = readdirSync(dataDir);
      expect(names).toEqual(expect.arrayContaining(["bus.db", "state.db"]));
      const modes = names.map((name) => [name, statSync(join(dataDir, name)).mode & 0o777]);
      await service.stop();
      expect(modes).toEqual(names.map((name) => [name, 0o600]));
      for (const name of readdirSync(dataDir)) chmodSync(join(dataDir, name), 0o644);
    }
  });

  it("answers its API with problems, and its door with what it took", async () => {
    const path = settingsFile({ dataDir: newDirectory(), listen: { port: 0 } });
    const parts = { clock: realClock, telemetry: silentTelemetry(), stdout: process.stdout };
    const service = await startService({ config: readConfig({ path, environment: {} }), ...parts });
    try {
      const answers = ["/api/v1/incidents?cursor=nonsense", "/api/v1/incidents?limit=0"];
      for (const at of answers) {
        const answer = await fetch(`${service.url}${at}`);
        expect(answer.status).toBe(400);
        expect(answer.headers.get("content-type")).toMatch(/^application\/problem\+json/);
      }
    } finally {
      await service.stop();
    }
  });

  it("answers while builds cannot be opened, and says so", async () => {
    const dataDir = newDirectory();
    const path = join(dataDir, "state.db");
    await openEmbeddedState({ path }).close();
    const db = new DatabaseSync(path);
    db.exec("INSERT INTO state_positions VALUES ('builds', 0, 'builds', 0, -1)");
    db.close();
    const config = readConfig({
      path: settingsFile({ dataDir, listen: { port: 0 } }),
      environment: {},
    });
    const parts = { clock: realClock, telemetry: silentTelemetry(), stdout: process.stdout };
    const service = await startService({ config, ...parts });
    try {
      expect((await fetch(`${service.url}/livez`)).status).toBe(200);
      expect((await reasonsOnceTold(service.url, "builds/0")).reasons).toEqual([
        "builds are being read",
        expect.stringMatching(
          /^builds: builds\/0 stands still: .*state-corrupt: expected an offset/,
        ),
      ]);
    } finally {
      await service.stop();
    }
  });

  it("says until the restart that retention let go of what a stage had not handled, and counts it", async () => {
    const dataDir = newDirectory();
    const clock = new VirtualClock();
    const path = join(dataDir, "bus.db");
    let swept = 0;
    const bus = await openEmbeddedBus({
      ...{
        path,
        clock,
        partitions: 1,
        retention: new Map([["events", { maxAgeMs: 1, maxBytes: 60 }]]),
      },
      onSwept: () => {
        swept += 1;
      },
    });
    const value = new Uint8Array(20);
    await bus.append([1, 2, 3].map(() => ({ topic: "events" as const, key: "k", value })));
    clock.advance(sweepMs);
    while (swept === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(await bus.first("events", 0)).toBe(2);
    await bus.close();
    const states = openEmbeddedState({ path: join(dataDir, "state.db") });
    const state = await states.open({ stage: "detect", partition: 0 });
    state.advance("events", 0, 1);
    await state.commit();
    await states.close();

    const settings = settingsFile({ dataDir, listen: { port: 0 } });
    const parts = { clock: realClock, telemetry: silentTelemetry(), stdout: process.stdout };
    const config = readConfig({ path: settings, environment: {} });
    const service = await startService({ config, ...parts });
    try {
      const told = await reasonsOnceTold(service.url, "events/0");
      expect(told.reasons.filter((reason) => reason !== "builds are being read")).toEqual([
        expect.stringMatching(/^detect: events\/0 lost records to retention: .*bus-records-lost/),
      ]);
      const second = await fetch(`${service.url}/readyz`);
      const again = (await second.json()) as { reasons: string[] };
      expect([second.status, again.reasons.at(-1)]).toEqual([503, told.reasons.at(-1)]);
      const metrics = await (await fetch(`${service.url}/metrics`)).text();
      expect(metrics).toContain('pipewarden_evicted_total{what="events",reason="retention"} 1\n');
    } finally {
      await service.stop();
    }
  });

  it("says in one line that its port is taken, and leaves nothing open", async () => {
    const blocker = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => blocker.once("listening", resolve));
    const { port } = blocker.address() as { port: number };
    const dataDir = newDirectory();
    const path = settingsFile({ dataDir, listen: { port } });
    try {
      expect(complaint(await run(["serve", "--config", path]))).toBe(
        `3 listen: config-invalid: expected an address and port that are free but found ` +
          `127.0.0.1:${port}: EADDRINUSE`,
      );
      // The directory is free again: the same complaint, not that the bus is in use.
      expect(complaint(await run(["serve", "--config", path]))).toContain("EADDRINUSE");
    } finally {
      await new Promise((resolve) => blocker.close(resolve));
    }
  });

  it("says in one line that its data directory cannot be made", async () => {
    const file = join(newDirectory(), "file");
    writeFileSync(file, "");
    const config = settingsFile({ dataDir: join(file, "data"), listen: { port: 0 } });
    expect(complaint(await run(["serve", "--config", config]))).toMatch(
      /^3 dataDir: config-invalid: expected a directory that can be written but found .*: ENOTDIR$/,
    );
  });

  it("refuses to run without a rule that loads", async () => {
    const rulesDirs = [newDirectory()];
    const config = settingsFile({ dataDir: newDirectory(), rulesDirs, listen: { port: 0 } });
    expect(complaint(await run(["serve", "--config", config]))).toMatch(
      /^3 .*: rule-invalid: expected at least one rule but found none that loads$/,
    );
  });
});
