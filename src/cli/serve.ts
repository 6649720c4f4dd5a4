/** @module `pipewarden serve`: the service, until a signal. */

import { realClock } from "../clock.ts";
import { processEnvironment, readConfig } from "../config/config.ts";
import { createTelemetry } from "../telemetry.ts";
import { startService } from "./service.ts";
import type { CliStreams } from "./terminal.ts";

export interface ServeOptions {
  readonly config?: string;
  /** Separated by commas; takes the place of the setting. */
  readonly roles?: string;
}

/**
 * Resolves with the exit code once stopped: 0 after a clean stop, 1 when a second signal cut it
 * short or the service broke.
 */
export async function serve(
  { config: path, roles }: ServeOptions,
  { stdout, stderr }: CliStreams,
): Promise<number> {
  const own = processEnvironment();
  const environment = roles === undefined ? own : { ...own, PW_ROLES: roles };
  const config = readConfig(path === undefined ? { environment } : { path, environment });
  const telemetry = createTelemetry({ level: config.logLevel, processMetrics: true });
  const service = await startService({ config, clock: realClock, telemetry, stdout });
  stderr.write(`pipewarden listens on ${service.url} with ${service.ruleCount} rules\n`);
  const reason = await Promise.race([service.broken, nextSignal()]);
  telemetry.log.info({ reason }, "stopping");
  if (reason !== "SIGINT" && reason !== "SIGTERM") {
    await service.stop();
    return 1;
  }
  return Promise.race([service.stop().then(() => 0), nextSignal().then(() => 1)]);
}

/** Resolves at the next request to stop. */
export function nextSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const heard = (signal: NodeJS.Signals) => {
      process.off("SIGINT", heard);
      process.off("SIGTERM", heard);
      resolve(signal);
    };
    process.on("SIGINT", heard);
    process.on("SIGTERM", heard);
  });
}
