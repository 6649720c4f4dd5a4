import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { openEmbeddedBus } from "../../src/bus/embedded.ts";
import { type Service, startService } from "../../src/cli/service.ts";
import { realClock } from "../../src/clock.ts";
import { readConfig } from "../../src/config/config.ts";
import type { Problem } from "../../src/error.ts";
import { decodeEvent } from "../../src/event/codec.ts";
import type { Event } from "../../src/event/event.ts";
import { deadLetterRecord } from "../../src/pipeline/records.ts";
import { silentTelemetry } from "../../src/telemetry.ts";
import { githubSigned } from "../collector/signed.ts";
import { run, steering } from "./streams.ts";

const folder = mkdtempSync(join(tmpdir(), "pipewarden-dlq-"));
const secret = "the-secret-of-the-webhook";
const token = "a-token-of-the-api-1";
const problem: Problem = {
  ...{ code: "format-unsupported", place: "github-webhook door/record 1" },
  ...{ expected: "a payload", found: "a newer one" },
};
let directories = 0;
const services: Service[] = [];
const servers: Server[] = [];

afterEach(async () => {
  for (const service of services.splice(0)) await service.stop();
  for (const server of servers.splice(0)) server.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

function newDirectory(): string {
  directories += 1;
  const path = join(folder, `data-${directories}`);
  mkdirSync(path);
  return path;
}

async function serviceIn(dataDir: string, tokens: readonly string[] = []): Promise<Service> {
  const path = join(folder, `settings-${directories}.yml`);
  const doors = { githubWebhookSecrets: [secret] };
  const settings = { dataDir, doors, api: { tokens }, listen: { port: 0 }, logLevel: "silent" };
  writeFileSync(path, JSON.stringify(settings));
  const service = await startService({
    config: readConfig({ path, environment: {} }),
    ...{ clock: realClock, telemetry: silentTelemetry(), stdout: process.stdout },
  });
  services.push(service);
  return service;
}

async function stopped(service: Service): Promise<void> {
  services.splice(services.indexOf(service), 1);
  await service.stop();
}

async function webhook({ url }: Service, body: string, event?: string): Promise<number> {
  const headers = {
    ...githubSigned(body, secret),
    ...(event === undefined ? {} : { "x-github-event": event }),
  };
  return (await fetch(`${url}/v1/github/webhook`, { method: "POST", body, headers })).status;
}

/** Lines of `ls --json` once there are so many: the stage writes them down a moment later. */
async function listed(count: number, ...args: string[]): Promise<{ id: string }[]> {
  for (;;) {
    const { code, out, err } = await run(["dlq", "ls", "--json", ...args]);
    expect([code, err]).toEqual([0, ""]);
    const lines = out.split("\n").filter((line) => line !== "");
    if (lines.length >= count) return lines.map((line) => JSON.parse(line) as { id: string });
  }
}

const push = { ref: "refs/heads/main", repository: { full_name: "acme/api" } };

/** As a service of an older version left it: a payload it could not read, and today's can. */
async function olderDirectory(): Promise<string> {
  const dataDir = newDirectory();
  const bus = await openEmbeddedBus({ path: join(dataDir, "bus.db"), clock: realClock });
  const headers = { "x-github-event": "push", "x-github-delivery": "0b989ba4-242f-11e5" };
  const delivery = { receivedAt: 1_795_486_080_000, headers, place: "github-webhook door" };
  const raw = JSON.stringify(push);
  await bus.append([deadLetterRecord({ problem, raw }, { feed: "github-webhook", delivery })]);
  await bus.close();
  return dataDir;
}

async function eventsIn(dataDir: string): Promise<Event[]> {
  const bus = await openEmbeddedBus({ path: join(dataDir, "bus.db"), clock: realClock });
  const events: Event[] = [];
  for (let partition = 0; partition < bus.partitions("events"); partition++) {
    for (let offset = 0; offset < (await bus.end("events", partition)); offset++) {
      const record = await bus.find("events", partition, offset);
      events.push(decodeEvent(record!.value, "x") as Event);
    }
  }
  await bus.close();
  return events;
}

describe("dlq over the API of a running service", () => {
  it("lists, shows, tries and drops a broken GitHub webhook body", async () => {
    const service = await serviceIn(newDirectory());
    const hostile = '{"ref": "\u001b[2J\u202e\u009b31m", oops';
    expect(await webhook(service, hostile, "push")).toBe(400);
    const at = ["--url", service.url];
    const [letter] = await listed(1, ...at);
    const id = letter!.id;
    expect(letter).toMatchObject({ feed: "github-webhook", problem: { code: "json-invalid" } });

    const ls = await run(["dlq", "ls", ...at], { isTTY: true });
    expect(ls.code).toBe(0);
    expect(ls.out).toMatch(new RegExp(`Z  ${id} +github-webhook  json-invalid +\\d+  github-web`));
    expect(ls.out).toContain("\n1 open\n");

    const show = await run(["dlq", "show", id, ...at], { isTTY: true });
    expect(show.code).toBe(0);
    expect(show.out).toContain("x-github-event  push\n");
    expect(show.out).toContain('{"ref": "\\u001b[2J\\u202e\\u009b31m", oops');
    expect(show.out).not.toContain("sha256=");
    for (const { out } of [ls, show]) expect(out).not.toMatch(steering);

    const asJson = await run(["dlq", "show", id, "--json", ...at]);
    expect(asJson.out).not.toMatch(steering);
    expect(JSON.parse(asJson.out)).toMatchObject({ id, raw: hostile });
    expect((await run(["dlq", "show", id, "--raw", ...at])).out).toBe(hostile);
    const rawOnTerminal = await run(["dlq", "show", id, "--raw", ...at], { isTTY: true });
    expect(rawOnTerminal.out).not.toMatch(steering);

    const retry = await run(["dlq", "retry", id, ...at]);
    expect(retry.code).toBe(1);
    expect(retry.out).toMatch(new RegExp(`^${id}  still cannot be read: .*json-invalid: .*\n$`));
    expect(retry.out).not.toMatch(steering);
    expect(await listed(1, ...at)).toHaveLength(1);

    expect(await run(["dlq", "drop", id, ...at])).toEqual({
      ...{ code: 0, out: `${id}  dropped\n`, err: "" },
    });
    expect((await run(["dlq", "ls", ...at])).out).toBe("0 open\n");
    expect(await run(["dlq", "drop", id, ...at])).toMatchObject({
      ...{ code: 1, out: `${id}  no such dead letter\n` },
    });
    expect((await run(["dlq", "show", id, ...at])).code).toBe(1);
  });

  it("reads again what today's collector can read: the event of that delivery", async () => {
    const dataDir = await olderDirectory();
    const service = await serviceIn(dataDir);
    const [letter] = await listed(1, "--url", service.url);
    const retry = await run(["dlq", "retry", "--all", "--json", "--url", service.url]);
    expect(retry.code).toBe(0);
    expect(JSON.parse(retry.out)).toEqual({
      ...{ id: letter!.id, kind: "done", events: 1, rejected: 0 },
    });
    expect((await run(["dlq", "ls", "--url", service.url])).out).toBe("0 open\n");
    expect((await run(["dlq", "retry", "--all", "--url", service.url])).out).toBe("");
    await stopped(service);
    expect(await eventsIn(dataDir)).toMatchObject([
      {
        id: "github-webhook:0b989ba4-242f-11e5",
        receivedAt: 1_795_486_080_000,
        fields: { "vcs.repository.name": "acme/api" },
      },
    ]);
  });

  it("needs the token where one is configured, and takes it from a file", async () => {
    const service = await serviceIn(newDirectory(), [token]);
    const at = ["--url", service.url];
    await webhook(service, "not JSON", "push");
    for (const args of [["ls"], ["retry", "dl-0-0"], ["drop", "--all"], ["show", "dl-0-0"]]) {
      const { code, out, err } = await run(["dlq", ...args, ...at, "--token", "wrong"]);
      expect([code, out]).toEqual([3, ""]);
      expect(err).toMatch(/service-unreachable: .*--token.* status 401: token not accepted\n$/);
    }
    const file = join(folder, "token");
    writeFileSync(file, `${token}\n`);
    expect(await listed(1, ...at, "--token-file", file)).toHaveLength(1);
    expect((await run(["dlq", "drop", "--all", ...at, "--token", token])).code).toBe(0);
  });

  it("shows as many as asked for, and how many there are", async () => {
    const service = await serviceIn(newDirectory());
    const at = ["--url", service.url];
    for (let count = 0; count < 5; count++) await webhook(service, `broken ${count}`, "push");
    await listed(5, ...at);
    const { out } = await run(["dlq", "ls", "--limit", "2", ...at]);
    expect(out).toMatch(/\n5 open, 2 shown\n$/);
    expect(
      (await run(["dlq", "ls", "--limit", "2", "--json", ...at])).out.split("\n"),
    ).toHaveLength(3);
  });
});

describe("dlq in the data directory of a stopped service", () => {
  it("does the same, and the service goes on from there", async () => {
    const dataDir = await olderDirectory();
    const service = await serviceIn(dataDir);
    await webhook(service, "broken", "push");
    const busy = await run(["dlq", "ls", "--data-dir", dataDir]);
    expect([busy.code, busy.out]).toEqual([3, ""]);
    expect(busy.err).toMatch(/bus-in-use/);
    await stopped(service);

    const letters = await listed(2, "--data-dir", dataDir);
    expect(letters).toHaveLength(2);
    const retry = await run(["dlq", "retry", "--all", "--data-dir", dataDir]);
    expect(retry.code).toBe(1);
    expect(retry.out).toMatch(/read again: 1 event\n/);
    expect(retry.out).toMatch(/still cannot be read: .*json-invalid/);
    const [left] = await listed(1, "--data-dir", dataDir);
    expect((await run(["dlq", "drop", left!.id, "--data-dir", dataDir])).code).toBe(0);
    expect(await eventsIn(dataDir)).toMatchObject([{ id: "github-webhook:0b989ba4-242f-11e5" }]);

    const next = await serviceIn(dataDir);
    expect((await run(["dlq", "ls", "--url", next.url])).out).toBe("0 open\n");
  });

  it("makes no directory and no bus where there is none", async () => {
    const nowhere = join(folder, "nowhere");
    for (const path of [nowhere, newDirectory()]) {
      const { code, err } = await run(["dlq", "ls", "--data-dir", path]);
      expect(code).toBe(2);
      expect(err).toMatch(
        /input-unreadable: expected the data directory .* but found no bus\.db\n/,
      );
    }
  });
});

describe("dlq usage", () => {
  it.each([
    [["dlq", "retry"], /give ids, or --all/],
    [["dlq", "drop", "dl-0-0", "--all"], /give ids, or --all/],
    [["dlq", "show"], /missing required argument/],
    [["dlq", "lst"], /unknown command 'lst'/],
    [["dlq", "ls", "--limit", "0"], /--limit: input-unreadable/],
    [["dlq", "ls", "--token-file", "absent\u001b"], /absent\\u001b: input-unreadable/],
  ])("%j ends with 2 and says why", async (args, expected) => {
    const { code, out, err } = await run([...args]);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(expected);
    expect(err).not.toMatch(steering);
  });

  it("says in one line when nothing answers", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const { code, err } = await run(["dlq", "ls", "--url", `http://127.0.0.1:${port}`]);
    expect(code).toBe(3);
    expect(err).toMatch(/^http.*: service-unreachable: .*--data-dir.* but found ECONNREFUSED\n$/);
  });

  it.each([
    ["a page", 200, "text/html", "<html>\u001b[2J"],
    ["not found", 404, "text/html", "<html>"],
    ["a list", 200, "application/json", "[]"],
    ["an error", 500, "application/json", '{"title":"\u001b[2Jno"}'],
    ["elsewhere", 302, "text/plain", ""],
  ])("says so when another service answers with %s", async (_, status, type, body) => {
    const server = createServer((_request, response) => {
      response.writeHead(status, { "content-type": type, location: "http://192.0.2.1/" }).end(body);
    });
    servers.push(server.listen(0, "127.0.0.1"));
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as AddressInfo;
    const { code, out, err } = await run(["dlq", "ls", "--url", `http://127.0.0.1:${port}/`]);
    expect([code, out]).toEqual([3, ""]);
    expect(err).toContain("service-unreachable");
    expect(err).not.toMatch(steering);
  });
});
