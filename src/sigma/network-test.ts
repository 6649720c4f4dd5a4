/** @module Tests of one text against many networks, IPv4 and IPv6. */

import ipaddr from "ipaddr.js";
import type { TextTest } from "./text-test.ts";

/** An address as the bits of its family; IPv4 inside IPv6 (`::ffff:…`) is IPv4. */
interface Address {
  readonly bits: bigint;
  readonly width: 32 | 128;
}

export interface Network {
  readonly address: Address;
  readonly prefixLength: number;
}

/**
 * `10.0.0.0/8`, `2001:db8::/32` or one address alone; undefined when it is none, or has bits beyond
 * its prefix.
 */
export function parseNetwork(text: string): Network | undefined {
  const [addressText = "", lengthText, ...rest] = text.trim().split("/");
  const mapped = addressText.includes(":") && addressText.toLowerCase().startsWith("::ffff:");
  const address = mapped && lengthText !== undefined ? undefined : parseAddress(addressText);
  if (address === undefined || rest.length > 0) return undefined;
  if (lengthText === undefined) return { address, prefixLength: address.width };
  if (!/^[0-9]{1,3}$/.test(lengthText)) return undefined;
  const prefixLength = Number(lengthText);
  if (prefixLength > address.width) return undefined;
  const hostBits = BigInt(address.width - prefixLength);
  return (address.bits >> hostBits) << hostBits === address.bits
    ? { address, prefixLength }
    : undefined;
}

/**
 * Holds when the text is an address in any of the networks. Work grows with distinct prefix lengths
 * only.
 */
export function networkTest(networks: readonly Network[]): TextTest {
  const prefixes = new Map<number, Set<bigint>>();
  for (const { address, prefixLength } of networks) {
    const key = address.width * 1_000 + prefixLength;
    const known = prefixes.get(key) ?? new Set();
    known.add(address.bits >> BigInt(address.width - prefixLength));
    prefixes.set(key, known);
  }
  const lookups = [...prefixes].map(([key, known]) => {
    const width = Math.floor(key / 1_000);
    return { width, shift: BigInt(width - (key % 1_000)), known };
  });
  const holds = (text: string): boolean => {
    const address = parseAddress(text);
    if (address === undefined) return false;
    for (const { width, shift, known } of lookups) {
      if (width === address.width && known.has(address.bits >> shift)) return true;
    }
    return false;
  };
  return { cost: 4 + lookups.length, holds };
}

/** The longest text of an IPv6 address with a zone, generously. */
const addressLengthMax = 80;

/**
 * Strict: four plain decimal parts, or IPv6 with an optional zone. Octal and short forms are not
 * addresses.
 */
function parseAddress(text: string): Address | undefined {
  if (text.length > addressLengthMax) return undefined;
  if (!text.includes(":")) {
    if (!ipaddr.IPv4.isValidFourPartDecimal(text)) return undefined;
    return { bits: bitsOf(ipaddr.IPv4.parse(text).octets, 8n), width: 32 };
  }
  if (!ipaddr.IPv6.isValid(text)) return undefined;
  const address = ipaddr.IPv6.parse(text);
  if (address.isIPv4MappedAddress()) {
    return { bits: bitsOf(address.toIPv4Address().octets, 8n), width: 32 };
  }
  return { bits: bitsOf(address.parts, 16n), width: 128 };
}

function bitsOf(parts: readonly number[], width: bigint): bigint {
  return parts.reduce((bits, part) => (bits << width) | BigInt(part), 0n);
}
