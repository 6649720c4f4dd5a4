/**
 * @module What tells a request of this machine from one that a web page of another site had a
 * browser on it send.
 */

import { isIP } from "node:net";

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** Whether a name or address, without port or brackets, is this machine for itself alone. */
export function isLoopback(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  return isIP(host) === 4 && host.startsWith("127.");
}

/**
 * Whether the Host header names loopback, with any port. A page whose name is made to resolve to
 * 127.0.0.1 (DNS rebinding) is of one origin with the service for its browser; what remains of it
 * is its name in this header.
 */
export function asksLoopback({ host }: Headers): boolean {
  if (typeof host !== "string") return false;
  const [, bracketed, plain] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d{1,5})?$/.exec(host) ?? [];
  return isLoopback((bracketed ?? plain ?? "").toLowerCase());
}

/** Whether a browser says that the page which sends this is not of the host it sends it to. */
export function isFromOtherSite({ origin, host }: Headers): boolean {
  if (origin === undefined) return false;
  if (typeof origin !== "string" || !URL.canParse(origin)) return true;
  return new URL(origin).host !== host;
}
