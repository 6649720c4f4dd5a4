/** @module Cursor: where a page of documents ended, as opaque text. */

import type { EpochMs } from "../clock.ts";
import { ServiceError, shown } from "../error.ts";

/** The last document of a page: what comes next is older, or as old with a lower id. */
export interface Cursor {
  readonly sortAt: EpochMs;
  readonly id: string;
}

export function writeCursor({ sortAt, id }: Cursor): string {
  return Buffer.from(JSON.stringify([sortAt, id])).toString("base64url");
}

/**
 * Throws ServiceError (`cursor-invalid`) for text that `writeCursor` did not give: the caller
 * answers with it.
 */
export function readCursor(text: string): Cursor {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
  } catch {
    parsed = undefined;
  }
  if (Array.isArray(parsed) && parsed.length === 2) {
    const [sortAt, id]: unknown[] = parsed;
    if (Number.isSafeInteger(sortAt) && typeof id === "string") {
      return { sortAt: sortAt as number, id };
    }
  }
  throw new ServiceError({
    code: "cursor-invalid",
    place: "cursor",
    expected: "the cursor of an earlier page",
    found: shown(text),
  });
}
