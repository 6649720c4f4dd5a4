/**
 * @module What proves that a delivery comes from its feed: tokens, and signatures made with a
 * shared secret.
 */

import { createHmac } from "node:crypto";
import { secretAmong } from "../secret.ts";

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/**
 * The tokens a request carries: `Authorization: Bearer|Splunk <token>`, the password of HTTP Basic
 * (Falco can only put credentials in its URL), or the last path segment.
 */
export function givenTokens(headers: Headers, pathSecret?: string): string[] {
  const given = pathSecret === undefined || pathSecret === "" ? [] : [pathSecret];
  const authorization = headers["authorization"];
  if (typeof authorization !== "string") return given;
  const [scheme = "", value = ""] = authorization.split(/\s+/, 2);
  switch (scheme.toLowerCase()) {
    case "bearer":
    case "splunk":
      given.push(value);
      break;
    case "basic": {
      const decoded = Buffer.from(value, "base64").toString("utf8");
      given.push(decoded.slice(decoded.indexOf(":") + 1));
      break;
    }
  }
  return given;
}

/** True when no token is configured (a loopback installation) or one of them was given. */
export function tokenAccepted(given: readonly string[], configured: readonly string[]): boolean {
  return configured.length === 0 || secretAmong(given, configured);
}

/**
 * GitHub's `X-Hub-Signature-256`: `sha256=` and the HMAC of the raw body in hex. Several secrets
 * allow rotation. Source: GitHub docs, "Validating webhook deliveries".
 */
export function githubSignatureValid(
  body: Buffer,
  signature: string | undefined,
  secrets: readonly string[],
): boolean {
  const expected = secrets.map(
    (secret) => `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`,
  );
  return secretAmong([signature ?? ""], expected);
}
