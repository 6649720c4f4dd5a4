/**
 * @module `pipewarden demo`: a service of its own on a free port, the Midnight Commit through its
 * doors, one page.
 */

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import type { Alert, Incident } from "../alert/alert.ts";
import { realClock, secondMs } from "../clock.ts";
import { processEnvironment, readConfig } from "../config/config.ts";
import { createPlay, type Play } from "../demo/demo.ts";
import { createTelemetry } from "../telemetry.ts";
import { nextSignal } from "./serve.ts";
import { type Service, startService } from "./service.ts";
import { type CliStreams, grouped, progressOn, table } from "./terminal.ts";

export interface DemoOptions {
  /** Rules to leave out, as `tactic/name`. */
  readonly withoutRules: readonly string[];
}

/** How long a page is waited for; the promise is one minute, the demo expects a moment. */
const pageWaitMs = 10 * secondMs;
const catchUpMs = 30 * secondMs;
const pollMs = 50;

/** Exit code: 0 when the page came, 1 when none did. */
export async function demo(options: DemoOptions, streams: CliStreams): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "pipewarden-demo-"));
  const webhookSecret = randomBytes(24).toString("hex");
  const config = readConfig({
    path: "deploy/demo/pipewarden.yml",
    environment: {
      PW_DATA_DIR: directory,
      PW_LISTEN__PORT: String(await freePort()),
      PW_LOG_LEVEL: "error",
      PW_DOORS__GITHUB_WEBHOOK_SECRETS: webhookSecret,
      PW_RULES_OFF: options.withoutRules.join(","),
    },
  });
  const page = watchedOutput(streams.stdout);
  const telemetry = createTelemetry({ level: config.logLevel });
  const service = await startService({ config, clock: realClock, telemetry, stdout: page.stream });
  const play = createPlay({ url: service.url, webhookSecret, clock: realClock });
  try {
    return await tell({ service, play, page, streams });
  } finally {
    await play.close();
    await service.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * A port that was free a moment ago: known before the start, so that the page can link to the
 * service.
 */
async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return address === null || typeof address === "string" ? 0 : address.port;
}

interface Stage {
  readonly service: Service;
  readonly play: Play;
  readonly page: WatchedOutput;
  readonly streams: CliStreams;
}

async function tell({ service, play, page, streams }: Stage): Promise<number> {
  const { stdout, stderr } = streams;
  const say = (text: string) => stdout.write(`${text}\n`);
  const { ruleCount, url } = service;
  say(`pipewarden listens on ${url} with ${ruleCount} rules.\n`);
  say(
    "Three weeks of builds at a company: pushes, jobs, proxy lines, nightly builds of acme/payments.",
  );
  const progress = progressOn(stderr);
  const records = await play.history((sent, of) => {
    progress.show(`  ${grouped(sent)} of ${grouped(of)} records sent`);
  });
  progress.done();
  await play.caughtUp(catchUpMs);
  say(`${grouped(records)} records sent. Tonight's build of acme/payments runs its tests.\n`);
  const postedAt = await play.theft();
  const pagedAt = await page.firstWrite(pageWaitMs);
  if (pagedAt === undefined) {
    say(`A blob was POSTed to 203.0.113.77, and no page came within ${pageWaitMs / secondMs} s.`);
    return 1;
  }
  await play.aftermath();
  const found = await settledIncident(play);
  if (found === undefined) {
    say("The page came, but the API does not show its incident.");
    return 1;
  }
  say(`\n${alertTable(found.alerts)}\n`);
  say(`Incident  ${url}/api/v1/incidents/${found.incident.id}`);
  say(`${await totals(play)} from ${grouped(records)} records of three weeks.`);
  say(`The page came ${((pagedAt - postedAt) / secondMs).toFixed(2)} s after the POST was sent.`);
  if (stdout.isTTY === true && processEnvironment()["CI"] !== "true") {
    say("\nThe service keeps running so that you can look around. Ctrl-C ends it.");
    await nextSignal();
  }
  return 0;
}

interface Found {
  readonly incident: Incident;
  readonly alerts: readonly Alert[];
}

/**
 * The paged incident, once the use of the stolen credential is part of it (or a while after,
 * without).
 */
async function settledIncident(play: Play): Promise<Found | undefined> {
  let found: Found | undefined;
  for (const end = realClock.now() + pageWaitMs; realClock.now() < end; await pause(pollMs)) {
    const list = (await play.read("/api/v1/incidents")) as
      | { items: readonly Incident[] }
      | undefined;
    const paged = list?.items.find(({ pagedAt }) => pagedAt !== undefined);
    if (paged === undefined) continue;
    const whole = await play.read(`/api/v1/incidents/${paged.id}`);
    found = { incident: paged, alerts: (whole as { alerts: readonly Alert[] }).alerts };
    if (found.alerts.some(({ events }) => events.some(({ feed }) => feed === "registry"))) break;
  }
  return found;
}

/** All incidents there are: the quiet weeks raised nothing else. */
async function totals(play: Play): Promise<string> {
  const list = (await play.read("/api/v1/incidents?limit=200")) as { items: readonly Incident[] };
  const paged = list.items.filter(({ pagedAt }) => pagedAt !== undefined);
  return `${counted(list.items.length, "incident")}, ${counted(paged.length, "page")}`;
}

function counted(count: number, noun: string): string {
  return `${grouped(count)} ${noun}${count === 1 ? "" : "s"}`;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function alertTable(alerts: readonly Alert[]): string {
  const rows = alerts
    .toSorted((a, b) => a.firstSeen - b.firstSeen)
    .map(({ firstSeen, rule, count, build }) => [
      `${new Date(firstSeen).toISOString().slice(0, 19)}Z`,
      rule.level,
      rule.title,
      grouped(count),
      build === undefined ? "–" : `${build.repository} #${build.runNumber ?? build.runId}`,
    ]);
  return table(["first seen", "level", "alert", "count", "run"], rows);
}

interface WatchedOutput {
  readonly stream: NodeJS.WritableStream & { readonly isTTY?: boolean };
  /** When something was first written, or undefined when nothing was within the wait. */
  firstWrite(waitMs: number): Promise<number | undefined>;
}

/** Passes on to the real output and notes when the terminal sink first wrote. */
function watchedOutput(target: CliStreams["stdout"]): WatchedOutput {
  const stream = new PassThrough();
  let at: number | undefined;
  stream.on("data", (chunk: Buffer) => {
    at ??= realClock.now();
    target.write(chunk);
  });
  const isTTY = target.isTTY === true;
  return {
    stream: Object.assign(stream, { isTTY }),
    firstWrite: async (waitMs) => {
      const end = realClock.now() + waitMs;
      while (at === undefined && realClock.now() < end) await pause(pollMs);
      return at;
    },
  };
}
