import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mask } from "../../src/alert/alert.ts";

// Put together here, so that no scanner takes this file for a leak.
const classic = `${"ghp"}_${"aB3".repeat(12)}`;
const app = `${"ghs"}_${"Zx9".repeat(12)}`;
const fine = `${"github"}_pat_${"11AAAA_".repeat(6)}`;
const aws = `${"AK"}IA${"ABCD2345EFGH6789"}`;
const jwt = `${"ey"}JhbGciOiJIUzI1NiJ9.${"eyJzdWIiOiIxIn0"}.${"c2lnbmF0dXJl"}`;
const key = `-----BEGIN RSA ${"PRIVATE"} KEY-----\nMIIEow\n-----END RSA ${"PRIVATE"} KEY-----`;

describe("mask", () => {
  it.each([
    [`git clone with ${classic} now`, "git clone with [masked] now"],
    [`x${"-"}${app}`, "x-[masked]"],
    [`a ${fine}`, "a [masked]"],
    [`id ${aws}.`, "id [masked]."],
    [`jwt ${jwt} end`, "jwt [masked] end"],
    [key, "[masked]"],
    [`cut off ${key.slice(0, 40)}`, "cut off [masked]"],
    ["curl https://ann:hunter2@git.example/x", "curl https://ann:[masked]@git.example/x"],
    ["scp ann:hunter2@git.example", "scp ann:[masked]@git.example"],
    ["Authorization: Bearer abcdef0123", "Authorization: Bearer [masked]"],
    ["-H 'authorization: token abc'", "-H 'authorization: [masked]'"],
    ["-H 'X-Api-Key: abc' -v", "-H 'X-Api-Key: [masked]' -v"],
    ["REGISTRY_TOKEN=abc make", "REGISTRY_TOKEN=[masked] make"],
    ["docker run -e LEDGER=s3cr3t img", "docker run -e LEDGER=[masked] img"],
    ["HOME=/root\0DB=p\0Q", "HOME=[masked]\0DB=p\0Q"],
    ['{"password": "hunter2", "user": "ann"}', '{"password": "[masked]", "user": "ann"}'],
    ["tool --password hunter2 --user ann", "tool --password [masked] --user ann"],
    ["tool --api-key=hunter2", "tool --api-key=[masked]"],
    ["http://203.0.113.77/in?token=abc&x=1", "http://203.0.113.77/in?token=[masked]&x=1"],
    ["dbPassword: hunter2", "dbPassword: [masked]"],
    ["curl -u ann:hunter2 https://a.example", "curl -u ann:[masked] https://a.example"],
  ])("%j → %j", (text, expected) => {
    expect(mask(text)).toBe(expected);
    expect(mask(mask(text))).toBe(expected);
  });

  it.each([
    "docker run -p 8080:80 -u 1000:1000 img",
    "docker run -u 1000:1000",
    "docker run --user '1000:1000' img",
    "author: ann, authority=x, bypass=1, tokenizer=bpe",
    "docker pull registry.example/app:1.2@sha256:0123456789abcdef",
    "app:1.2@sha256:0123456789abcdef",
    "git@git.example:acme/payments.git",
    "cat /proc/812/environ",
    "python -m http.server 8000",
    "the run read 2 secrets and a token",
    "key=3 KEYS count=4",
    "ghp_short AKIA eyJ",
    "restored a cache entry saved 21 days before by fork PR #41 of acme/tooling (run 77/1).",
    "2026-11-23T00:13:07Z 203.0.113.77:80",
  ])("leaves %j whole", (text) => {
    expect(mask(text)).toBe(text);
  });

  it("is done after once, on any text", () => {
    const word = fc.constantFrom("TOKEN=", "a:b@c ", classic, "-u ", "x:y", "password: ", " ", '"');
    const text = fc.array(fc.oneof(word, fc.string()), { maxLength: 12 });
    fc.assert(
      fc.property(text, (parts) => {
        const once = mask(parts.join(""));
        expect(mask(once)).toBe(once);
      }),
      { seed: 7, numRuns: 500 },
    );
  });

  it("ends on hostile text of any length", () => {
    for (const part of ["a:", "secret-", "-----BEGIN PRIVATE KEY-----", "eyJ", "A_", "://a:"]) {
      expect(mask(part.repeat(100_000)).length).toBeLessThan(60_000);
    }
  });
});
