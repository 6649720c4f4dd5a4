/** @module The bytes of a request as its feed wrote them. */

import { createGunzip } from "node:zlib";
import type { FastifyRequest } from "fastify";
import { type Problem, ServiceError, shown } from "../error.ts";

/** A header that came once and is not empty. */
export function headerText(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

export interface DecodingLimits {
  /** Of the body after decompression. */
  readonly bytesMax: number;
  /** Told of each piece of so many bytes before it is kept; what it throws ends the work. */
  readonly grow: (bytes: number) => void;
}

/**
 * The body as sent before compression, or the problem. Stops inflating at the limit: a bomb costs
 * no more than that.
 */
export async function decoded(
  request: FastifyRequest<{ Body: Buffer }>,
  { bytesMax, grow }: DecodingLimits,
): Promise<Buffer | Problem> {
  const encoding = headerText(request, "content-encoding")?.toLowerCase() ?? "identity";
  const gzipped = request.body[0] === 0x1f && request.body[1] === 0x8b;
  if (encoding === "identity" && !gzipped) return request.body;
  const place = `${request.url.split("?")[0]} content-encoding`;
  if (encoding !== "gzip" && !gzipped) {
    return {
      code: "encoding-unsupported",
      place,
      expected: "gzip or none",
      found: shown(encoding),
    };
  }
  const parts: Buffer[] = [];
  let size = 0;
  const gunzip = createGunzip();
  gunzip.end(request.body);
  try {
    for await (const part of gunzip as AsyncIterable<Buffer>) {
      size += part.length;
      if (size > bytesMax) {
        gunzip.destroy();
        const expected = `at most ${bytesMax} bytes after decompression`;
        return { code: "body-too-large", place, expected, found: "more" };
      }
      grow(part.length);
      parts.push(part);
    }
  } catch (error) {
    if (error instanceof ServiceError) throw error;
    return { code: "encoding-unsupported", place, expected: "gzip", found: shown(String(error)) };
  }
  return Buffer.concat(parts);
}
