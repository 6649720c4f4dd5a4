/**
 * @module The webhook sink: one signed POST per notice. Source of headers, signature and answers:
 * Standard Webhooks 1.0.
 */

import { createHash, createHmac } from "node:crypto";
import { type Static, Type } from "typebox";
import { Agent, type Dispatcher, request } from "undici";
import type { Notice } from "../alert/alert.ts";
import { type Clock, type EpochMs, secondMs } from "../clock.ts";
import { ServiceError, shown } from "../error.ts";
import type { Delivery, Sink } from "./model.ts";
import { Notices } from "./terminal.ts";
import { webhookBody } from "./webhook-body.ts";

export const WebhookConfig = Type.Object(
  {
    type: Type.Literal("webhook"),
    url: Type.String({ minLength: 1, description: "Where to POST; http or https, no user in it." }),
    secrets: Type.Array(Type.String({ minLength: 1 }), {
      minItems: 1,
      maxItems: 2,
      description:
        "`whsec_` and base64 of 24 to 64 bytes. Two: both sign, while one replaces the other.",
    }),
    notices: Notices,
  },
  { additionalProperties: false },
);
export type WebhookConfig = Static<typeof WebhookConfig>;

export interface WebhookSettings {
  readonly name: string;
  readonly config: WebhookConfig;
  readonly clock: Clock;
  /** Base of the links to incidents. */
  readonly consoleUrl?: string;
  readonly wants?: (notice: Notice) => boolean;
}

/** Throws `config-invalid` for an address or a secret that cannot be used; neither is shown. */
export function createWebhookSink(settings: WebhookSettings): Sink {
  const { name, config, clock, consoleUrl, wants = () => true } = settings;
  const url = checkedUrl(config.url, `sinks.${name}.url`);
  const keys = config.secrets.map((secret) => signingKey(secret, `sinks.${name}.secrets`));
  // Its own agent: no proxy taken from the environment, no redirect followed, closed with the sink.
  const dispatcher = new Agent({
    connections: 4,
    connect: { timeout: 10 * secondMs },
    bodyTimeout: 15 * secondMs,
  });
  return {
    name,
    wants,
    async send(notice, signal) {
      const body = webhookBody(notice, consoleUrl);
      const id = webhookId(notice.key);
      const timestamp = String(Math.floor(clock.now() / secondMs));
      const headers = {
        "content-type": "application/json",
        "user-agent": "pipewarden",
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signatures(keys, { id, timestamp, body }),
      };
      try {
        const answer = await request(url, { method: "POST", headers, body, signal, dispatcher });
        return await classified(answer, clock.now());
      } catch (error) {
        // The code and never the text: an address may hold a token.
        return { kind: "retry", reason: `no answer: ${faultOf(error)}` };
      }
    },
    close: () => dispatcher.destroy(),
  };
}

/** The same for each try of a notice; a receiver keeps it to know repeats. */
export function webhookId(noticeKey: string): string {
  return `msg_${createHash("sha256").update(noticeKey).digest("hex").slice(0, 32)}`;
}

/** The bytes a `whsec_` secret stands for. Throws `config-invalid`, never showing it. */
export function signingKey(secret: string, place: string): Buffer {
  const text = secret.startsWith("whsec_") ? secret.slice(6) : secret;
  const key = Buffer.from(text, "base64");
  const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(text);
  if (isBase64 && key.length >= 24 && key.length <= 64) return key;
  const expected = "whsec_ and base64 of 24 to 64 bytes";
  const found = isBase64 ? `${key.length} bytes` : "other text";
  throw new ServiceError({ code: "config-invalid", place, expected, found });
}

/** One `v1` signature per key over exactly the bytes sent, separated by spaces. */
export function signatures(
  keys: readonly Buffer[],
  signed: { readonly id: string; readonly timestamp: string; readonly body: string },
): string {
  const content = `${signed.id}.${signed.timestamp}.${signed.body}`;
  return keys
    .map((key) => `v1,${createHmac("sha256", key).update(content).digest("base64")}`)
    .join(" ");
}

function checkedUrl(text: string, place: string): URL {
  const expected = "an http or https address without user and password";
  const refuse = (found: string) =>
    new ServiceError({ code: "config-invalid", place, expected, found });
  const url = URL.parse(text);
  if (url === null) throw refuse("no address");
  if (url.protocol !== "http:" && url.protocol !== "https:") throw refuse(url.protocol);
  if (url.username !== "" || url.password !== "") throw refuse("an address with a user");
  return url;
}

/**
 * Answers about the notice itself, and 410, which Standard Webhooks gives to an address that is
 * gone for good. All others, 401, 403, 404, 405 and 501 too, are what a rotated secret or an
 * ingress without its backend answers: somebody repairs those, and the page must not be lost.
 */
const permanent: ReadonlySet<number> = new Set([400, 410, 413, 415, 422]);

async function classified(answer: Dispatcher.ResponseData, now: EpochMs): Promise<Delivery> {
  const { statusCode: status, headers, body } = answer;
  if (status >= 200 && status < 300) {
    // Taken: not waited for, since what is wrong with the rest of the answer changes nothing.
    body.dump({ limit: 16 * 1024 }).catch(() => undefined);
    return { kind: "delivered", receipt: `http ${status}` };
  }
  const reason = `http ${status}${await excerpt(body)}`;
  if (permanent.has(status)) return { kind: "rejected", reason };
  // A redirect is not followed, the body would go where nobody configured; it may be passing, so it
  // is a retry.
  const afterMs = retryAfterMs(headers["retry-after"], now);
  return afterMs === undefined ? { kind: "retry", reason } : { kind: "retry", reason, afterMs };
}

/** The beginning of the answer, for the person who has to find out why. */
async function excerpt(body: Dispatcher.ResponseData["body"]): Promise<string> {
  let text = "";
  try {
    for await (const chunk of body) {
      text += Buffer.from(chunk as Uint8Array).toString("utf8");
      if (text.length > 200) break;
    }
  } catch {
    // The status has come; the rest is a courtesy.
  }
  return text.trim() === "" ? "" : `: ${shown(text.trim(), 200)}`;
}

/**
 * `Retry-After` as a wait: seconds, or an HTTP date (RFC 9110 §10.2.3). Undefined when absent or
 * neither.
 */
export function retryAfterMs(
  header: string | string[] | undefined,
  now: EpochMs,
): number | undefined {
  const text = (Array.isArray(header) ? header[0] : header)?.trim();
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text) * secondMs;
  // Only the form HTTP asks for: Date.parse takes much more for a date.
  const isDate = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text);
  const time = isDate ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? undefined : Math.max(0, time - now);
}

function faultOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (typeof code === "string") return code;
  return error instanceof Error ? error.name : "unknown error";
}
