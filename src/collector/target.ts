/**
 * @module What a request names as its destination: host, port, path, and whether that is an
 * address.
 */

import { isIPv4, isIPv6 } from "node:net";

export interface Target {
  /** As named, without brackets, in lower case, without a last dot. */
  readonly host?: string;
  readonly port?: number;
  readonly scheme?: string;
  readonly path?: string;
  /** Without the `?`; Squid logs none by default. */
  readonly query?: string;
  /** The host in dotted or colon form, when it is an address in any spelling. */
  readonly address?: string;
}

const defaultPorts: ReadonlyMap<string, number> = new Map([
  ["http", 80],
  ["https", 443],
  ["ftp", 21],
  ["ws", 80],
  ["wss", 443],
]);

/**
 * Reads `scheme://user@host:port/path`, `host:port` (CONNECT) and a bare host. The platform's URL
 * parser is not used: it would hide the spelling, and 2130706433 or 0x7f.1 is how a name check is
 * dodged.
 */
export function targetOf(text: string): Target {
  const found = /^([a-z][a-z0-9+.-]{0,20}):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?/i.exec(text);
  if (found === null) return authorityTarget(text.split("/", 1)[0] ?? "");
  const [, schemeText = "", authority = "", path = "", query = ""] = found;
  const scheme = schemeText.toLowerCase();
  const target = authorityTarget(authority);
  const port = target.port ?? defaultPorts.get(scheme);
  return {
    ...target,
    scheme,
    ...(port === undefined ? {} : { port }),
    ...(path === "" ? {} : { path }),
    ...(query === "" ? {} : { query }),
  };
}

/** `host:port`, `[address]:port`, a host, or an address. */
export function authorityTarget(text: string): Target {
  const named = text.slice(text.lastIndexOf("@") + 1);
  const bracketed = /^\[([^\]]*)\](?::(\d{1,5}))?$/.exec(named);
  if (bracketed !== null) return hostTarget(bracketed[1] ?? "", bracketed[2]);
  const colon = named.lastIndexOf(":");
  if (named.indexOf(":") !== colon && isIPv6(named)) return hostTarget(named, undefined);
  const port = /^:\d{1,5}$/.test(named.slice(colon)) ? named.slice(colon + 1) : undefined;
  return hostTarget(port === undefined ? named : named.slice(0, colon), port);
}

function hostTarget(hostText: string, portText: string | undefined): Target {
  const host = hostText.toLowerCase().replace(/\.$/, "");
  const port = portText === undefined ? undefined : Number(portText);
  if (host === "" || host === "-" || host.startsWith("error:")) return {};
  const address = addressOf(host);
  return {
    host,
    ...(port === undefined || port > 65_535 ? {} : { port }),
    ...(address === undefined ? {} : { address }),
  };
}

/**
 * The address a host text spells, or undefined for a name. Takes IPv6, dotted IPv4, and what
 * inet_aton takes beside: one to four numbers in decimal, octal (`0…`) or hexadecimal (`0x…`), the
 * last filling the bytes left.
 */
export function addressOf(host: string): string | undefined {
  if (host.includes(":")) return isIPv6(host) ? host.split("%", 1)[0] : undefined;
  // Each number begins with a digit, so a name is told from an address by its first character.
  const first = host.charCodeAt(0);
  if (!(first >= 0x30 && first <= 0x39)) return undefined;
  if (isIPv4(host)) return host;
  const parts = host.split(".");
  if (parts.length > 4) return undefined;
  const numbers = parts.map(partOf);
  if (numbers.some((number) => number === undefined)) return undefined;
  let value = 0;
  for (const [index, number = 0] of numbers.entries()) {
    const last = index === parts.length - 1;
    const bytes = last ? 5 - parts.length : 1;
    if (number >= 256 ** bytes) return undefined;
    value = value * 256 ** bytes + number;
  }
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}

function partOf(text: string): number | undefined {
  if (/^0x[0-9a-f]{1,8}$/i.test(text)) return Number.parseInt(text.slice(2), 16);
  if (/^0[0-7]{1,11}$/.test(text)) return Number.parseInt(text, 8);
  return /^(?:0|[1-9]\d{0,9})$/.test(text) ? Number(text) : undefined;
}
