/** @module Shared secrets, compared so that the time taken tells nothing of them. */

import { createHash, timingSafeEqual } from "node:crypto";

/** Compares digests, so neither length nor content of the secret shows in the time taken. */
function equalSecrets(given: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

/** Whether any of `expected` was given; looks at all of them whatever the first says. */
export function secretAmong(given: readonly string[], expected: readonly string[]): boolean {
  let found = false;
  for (const candidate of given) {
    for (const secret of expected) if (equalSecrets(candidate, secret)) found = true;
  }
  return found;
}
