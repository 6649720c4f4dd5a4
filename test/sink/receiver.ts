/**
 * @module A receiver of webhooks on loopback, for tests: it checks the signature over the raw
 * bytes, knows repeated deliveries by their id, and answers as it is told.
 */

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * How to answer one request. "hang" never answers; "drop" closes the connection; "stall" answers
 * 200 without an end.
 */
export type Answer =
  | "hang"
  | "drop"
  | "stall"
  | {
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    };

export interface ReceivedWebhook {
  readonly id: string;
  /** Seconds since 1970, as sent. */
  readonly timestamp: number;
  readonly signature: string;
  /** Whether one of the signatures is good for these bytes. */
  readonly verified: boolean;
  readonly body: string;
  readonly answered: Answer;
}

export interface ReceiverSettings {
  /** `whsec_…`; one that signs is enough. */
  readonly secret: string;
  /** Where given, a timestamp more than 5 minutes off is refused with 401. */
  readonly now?: () => number;
}

export interface WebhookReceiver {
  readonly url: string;
  /** Every request, in order. */
  readonly requests: readonly ReceivedWebhook[];
  /** What was accepted, once per id: what a person would see. */
  readonly accepted: ReadonlyMap<string, ReceivedWebhook>;
  /**
   * Answers for the next requests, in order; after them the usual 204, or 401 for a bad signature.
   */
  answerNext(...answers: readonly Answer[]): void;
  /** The answer for all requests that no `answerNext` covers; undefined for the usual again. */
  answerAll(answer: Answer | undefined): void;
  close(): Promise<void>;
}

export async function startReceiver(settings: ReceiverSettings): Promise<WebhookReceiver> {
  const requests: ReceivedWebhook[] = [];
  const accepted = new Map<string, ReceivedWebhook>();
  const next: Answer[] = [];
  let all: Answer | undefined;
  const server = createServer(async (request, response) => {
    const body = await bytesOf(request);
    const seen = read(request, body, settings);
    const answered = next.shift() ?? all ?? { status: seen.verified ? 204 : 401 };
    const received: ReceivedWebhook = { ...seen, answered };
    requests.push(received);
    const taken = answered === "stall" || (typeof answered === "object" && answered.status < 300);
    if (taken && seen.verified && !accepted.has(seen.id)) accepted.set(seen.id, received);
    reply(response, answered);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/hook`,
    requests,
    accepted,
    answerNext: (...answers) => void next.push(...answers),
    answerAll: (answer) => {
      all = answer;
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function read(
  request: IncomingMessage,
  body: Buffer,
  { secret, now }: ReceiverSettings,
): Omit<ReceivedWebhook, "answered"> {
  const header = (name: string) => String(request.headers[name] ?? "");
  const id = header("webhook-id");
  const timestamp = header("webhook-timestamp");
  const signature = header("webhook-signature");
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  const wanted = createHmac("sha256", key)
    .update(Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]))
    .digest();
  const signed = signature.split(" ").some((part) => {
    const given = Buffer.from(part.replace(/^v1,/, ""), "base64");
    return part.startsWith("v1,") && given.length === 32 && timingSafeEqual(given, wanted);
  });
  const fresh = now === undefined || Math.abs(now() / 1_000 - Number(timestamp)) <= 300;
  const verified = signed && fresh && request.method === "POST";
  return { id, timestamp: Number(timestamp), signature, verified, body: body.toString("utf8") };
}

function reply(response: ServerResponse, answer: Answer): void {
  if (answer === "hang") return;
  if (answer === "drop") {
    response.destroy();
  } else if (answer === "stall") {
    response.writeHead(200).write("{");
  } else {
    response.writeHead(answer.status, answer.headers).end(answer.body);
  }
}
