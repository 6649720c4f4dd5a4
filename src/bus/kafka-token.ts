/**
 * @module Tokens for SASL OAUTHBEARER (RFC 7628): from a file, or from an authorization server by
 * the client credentials grant (RFC 6749, section 4.4). No token and no secret is ever in an error.
 */

import { readFile } from "node:fs/promises";
import { fetch } from "undici";
import { type Clock, type EpochMs, secondMs } from "../clock.ts";
import { ServiceError, shown } from "../error.ts";

export type TokenSource = () => Promise<string>;

/** Something else puts fresh tokens there: read each time. Rejects with bus-unavailable. */
export function tokenFromFile(path: string): TokenSource {
  const place = `bus.kafka.sasl.tokenFile ${shown(path)}`;
  return async () => {
    let text: string;
    try {
      text = (await readFile(path, "utf8")).trim();
    } catch (error) {
      throw noToken(place, (error as NodeJS.ErrnoException).code ?? "it cannot be read");
    }
    if (!isToken(text)) throw noToken(place, `a file of ${text.length} characters that is none`);
    return text;
  };
}

export interface TokenGrant {
  readonly url: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly scope?: string;
  readonly clock: Clock;
}

const answerMsMax = 10 * secondMs;
const answerCharactersMax = 64 * 1024;
/** A token goes this long before it expires, or after half its life when that is short. */
const spareMs = 60 * secondMs;
/** Where the server does not say for how long. */
const lifeMsDefault = 300 * secondMs;

/** Asks when it has no token that lives on, once for all who wait. Rejects with bus-unavailable. */
export function tokenFromServer(grant: TokenGrant): TokenSource {
  let kept: { readonly token: string; readonly until: EpochMs } | undefined;
  let asking: Promise<string> | undefined;
  const ask = async (): Promise<string> => {
    const { token, lifeMs } = await granted(grant);
    kept = { token, until: grant.clock.now() + lifeMs - Math.min(spareMs, lifeMs / 2) };
    return token;
  };
  return () => {
    if (kept !== undefined && grant.clock.now() < kept.until) return Promise.resolve(kept.token);
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    return asking;
  };
}

async function granted(
  grant: TokenGrant,
): Promise<{ readonly token: string; readonly lifeMs: number }> {
  const { url, clientId, clientSecret, scope } = grant;
  const place = `bus.kafka.sasl.tokenUrl ${new URL(url).host}`;
  // Section 2.3.1: each part is form-encoded before it goes into the header.
  const user = [clientId, clientSecret].map((part) => encodeForm(part)).join(":");
  const form = new URLSearchParams({ grant_type: "client_credentials" });
  if (scope !== undefined) form.set("scope", scope);
  let status: number;
  let text: string;
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: {
        authorization: `Basic ${Buffer.from(user).toString("base64")}`,
        "content-type": "application/x-www-form-urlencoded",
        accept: "application/json",
      },
      body: form.toString(),
      // Elsewhere the secret has no business.
      redirect: "error",
      signal: AbortSignal.timeout(answerMsMax),
    });
    status = response.status;
    text = await response.text();
  } catch (error) {
    const { cause } = error as { readonly cause?: { readonly code?: unknown } };
    throw noToken(place, shown(cause?.code ?? (error as Error).name));
  }
  const answer = answerOf(text);
  const token = answer?.["access_token"];
  if (status !== 200 || typeof token !== "string" || !isToken(token)) {
    // Section 5.2: one of a few words, such as invalid_client.
    const { error } = answer ?? {};
    const reason = typeof error === "string" ? `, error ${shown(error, 40)}` : "";
    throw noToken(place, `status ${status}${reason}${status === 200 ? " without one" : ""}`);
  }
  const seconds = Number(answer?.["expires_in"]);
  return { token, lifeMs: seconds > 0 ? seconds * secondMs : lifeMsDefault };
}

function encodeForm(text: string): string {
  return new URLSearchParams({ "": text }).toString().slice(1);
}

function answerOf(text: string): Readonly<Record<string, unknown>> | undefined {
  if (text.length > answerCharactersMax) return undefined;
  try {
    const read: unknown = JSON.parse(text);
    return typeof read === "object" && read !== null ? { ...read } : undefined;
  } catch {
    return undefined;
  }
}

/** RFC 6750, section 2.1: what may stand in the header; no control character ends it early. */
function isToken(text: string): boolean {
  return /^[\w.~+/=-]+$/.test(text);
}

function noToken(place: string, found: string): ServiceError {
  return new ServiceError({ code: "bus-unavailable", place, expected: "a token", found });
}
