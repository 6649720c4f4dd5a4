/**
 * @module `pipewarden serve` as a process of its own, that a test can kill without warning and
 * start again.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dump } from "js-yaml";

export const webhookSecret = "a-secret-for-these-tests-only";
export const sinkSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

export interface ServiceProcess {
  readonly url: string;
  readonly dataDir: string;
  start(): Promise<void>;
  /** SIGKILL: nothing of the process runs after this. */
  kill(): Promise<void>;
  /** SIGTERM, and the exit code. */
  stop(): Promise<number | null>;
  remove(): Promise<void>;
}

export interface ServiceProcessSettings {
  readonly sinkUrl: string;
  readonly settings?: object;
  /** What it says on stderr is added to this file; absent: goes to the test's own. */
  readonly logPath?: string;
}

export async function serviceProcess(options: ServiceProcessSettings): Promise<ServiceProcess> {
  const directory = mkdtempSync(join(tmpdir(), "pipewarden-serve-"));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const dataDir = join(directory, "data");
  const path = join(directory, "pipewarden.yml");
  writeFileSync(
    path,
    dump({
      dataDir,
      listen: { port },
      logLevel: "error",
      listsDirs: ["rules/lists", "deploy/demo/lists"],
      doors: { githubWebhookSecrets: [webhookSecret] },
      enrichment: {
        runners: [1, 2, 3, 4, 5, 6, 7, 8].map((index) => ({
          name: `build-0${index}`,
          hosts: [`build-0${index}`],
          addresses: [`10.20.0.${10 + index}`],
        })),
      },
      sinks: { pager: { type: "webhook", url: options.sinkUrl, secrets: [sinkSecret] } },
      ...options.settings,
    }),
  );
  let child: ChildProcess | undefined;

  async function end(signal: NodeJS.Signals): Promise<number | null> {
    const process = child;
    if (process === undefined || process.exitCode !== null || process.signalCode !== null) {
      return process?.exitCode ?? null;
    }
    const exited = once(process, "exit");
    process.kill(signal);
    const [code] = (await exited) as [number | null];
    return code;
  }

  return {
    url,
    dataDir,
    start: async () => {
      const log = options.logPath === undefined ? undefined : openSync(options.logPath, "a");
      child = spawn(process.execPath, ["src/main.ts", "serve", "--config", path], {
        stdio: ["ignore", "ignore", log ?? "inherit"],
      });
      if (log !== undefined) closeSync(log);
      await ready(url, child);
    },
    kill: async () => {
      await end("SIGKILL");
    },
    stop: () => end("SIGTERM"),
    remove: async () => {
      await end("SIGKILL");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function ready(url: string, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if (child.exitCode !== null) throw new Error(`serve ended with ${child.exitCode}`);
    const answer = await fetch(`${url}/readyz`).catch(() => undefined);
    if (answer?.ok === true) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("serve did not become ready");
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
