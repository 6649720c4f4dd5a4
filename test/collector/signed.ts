/**
 * @module GitHub's signature of a delivery, as GitHub makes it. Apart from deliver.ts: processes
 * without a test in them sign too.
 */

import { createHmac } from "node:crypto";

/** The header that proves that whoever sent `body` knows `secret`. */
export function githubSigned(
  body: string | Buffer,
  secret: string,
): { readonly "x-hub-signature-256": string } {
  const hex = createHmac("sha256", secret).update(body).digest("hex");
  return { "x-hub-signature-256": `sha256=${hex}` };
}
