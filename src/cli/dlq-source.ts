/**
 * @module The dead letters as a command reaches them: through the API of a running service, or in
 * the data directory of a stopped one.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { openEmbeddedBus } from "../bus/embedded.ts";
import { realClock, secondMs } from "../clock.ts";
import { collectors } from "../collector/collectors.ts";
import type { Config } from "../config/config.ts";
import { createPlaceKey } from "../enrichment/enrichment.ts";
import { type Problem, ServiceError, shown } from "../error.ts";
import {
  type DeadLetters,
  type LetterPage,
  openDeadLetters,
  type Retried,
  type WholeLetter,
} from "../pipeline/dead-letters.ts";
import { openEmbeddedState } from "../state/embedded.ts";
import { silentTelemetry } from "../telemetry.ts";

export interface LetterSource extends DeadLetters {
  close(): Promise<void>;
}

const answerWaitMs = 30 * secondMs;

/**
 * Through the API at `url`. Every call rejects with ServiceError `service-unreachable` when nothing
 * answers, or not what was asked for.
 */
export function lettersAt(url: string, token: string | undefined): LetterSource {
  const base = `${url.replace(/\/+$/, "")}/api/v1/dead-letters`;
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const ask = async (method: string, path: string): Promise<Response> => {
    try {
      const signal = AbortSignal.timeout(answerWaitMs);
      // Elsewhere the token has no business.
      return await fetch(`${base}${path}`, { method, headers, signal, redirect: "error" });
    } catch (error) {
      throw unreachable(url, causeOf(error));
    }
  };
  /** The body of a 2xx or of `also`; undefined for 404. */
  const read = async (method: string, path: string, also?: number): Promise<unknown> => {
    const response = await ask(method, path);
    const isProblem = response.headers.get("content-type")?.includes("problem+json") === true;
    // A 404 that is no problem of ours comes from some other service.
    if (response.status === 404 && isProblem) return undefined;
    if (response.status === 204) return {};
    const body = await response.json().catch(() => undefined);
    if (typeof body !== "object" || body === null) {
      throw unreachable(url, `status ${response.status}, and no JSON`);
    }
    if (response.ok || response.status === also) return body;
    const title = "title" in body ? `: ${shown(body.title)}` : "";
    throw unreachable(url, `status ${response.status}${title}`);
  };
  const of = (id: string, rest = "") => `/${encodeURIComponent(id)}${rest}`;
  return {
    list: async ({ limit, cursor }) => {
      const after = cursor === undefined ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const page = await read("GET", `?limit=${limit}${after}`);
      const isPage = page !== undefined && "items" in (page as object);
      if (!isPage) throw unreachable(url, "a service without dead letters");
      return page as LetterPage;
    },
    find: async (id) => (await read("GET", of(id))) as WholeLetter | undefined,
    retry: async (id): Promise<Retried | undefined> => {
      const body = (await read("POST", of(id, "/retry"), 422)) as
        | { events: number; rejected: number }
        | { problems: readonly Problem[] }
        | undefined;
      if (body === undefined) return undefined;
      return "problems" in body
        ? { kind: "rejected", problems: body.problems }
        : { kind: "done", events: body.events, rejected: body.rejected };
    },
    drop: async (id) => (await read("DELETE", of(id))) !== undefined,
    close: async () => undefined,
  };
}

function causeOf(error: unknown): string {
  const { cause } = error as { readonly cause?: { readonly code?: unknown } };
  return shown(cause?.code ?? (error instanceof Error ? error.message : String(error)), 200);
}

function unreachable(url: string, found: string): ServiceError {
  const expected = "a service that answers (--url, --token), or --data-dir of a stopped one";
  const place = shown(url, 200);
  return new ServiceError({ code: "service-unreachable", place, expected, found });
}

/**
 * In the directory of a service that is not running. What is read again goes on when it is started.
 * Rejects with ServiceError: bus-in-use while it runs, input-unreadable when there is no bus.
 */
export async function lettersIn(
  directory: string,
  { enrichment }: Pick<Config, "enrichment">,
): Promise<LetterSource> {
  const path = join(directory, "bus.db");
  if (!existsSync(path)) {
    const expected = "the data directory of a service";
    const [place, found] = [shown(directory, 200), "no bus.db"];
    throw new ServiceError({ code: "input-unreadable", place, expected, found });
  }
  const closers: (() => Promise<void> | void)[] = [];
  const close = async () => {
    for (let one = closers.pop(); one !== undefined; one = closers.pop()) await one();
  };
  try {
    const bus = await openEmbeddedBus({ path, clock: realClock });
    closers.push(() => bus.close());
    const states = openEmbeddedState({ path: join(directory, "state.db") });
    closers.push(() => states.close());
    const { runner, deadLetters } = openDeadLetters({
      ...{ bus, states, clock: realClock, telemetry: silentTelemetry(), collectors },
      placeKey: createPlaceKey(enrichment.runners),
    });
    await runner.start();
    closers.push(() => runner.stop());
    await runner.drained();
    return {
      list: (query) => deadLetters.list(query),
      find: (id) => deadLetters.find(id),
      retry: (id) => deadLetters.retry(id),
      drop: (id) => deadLetters.drop(id),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
