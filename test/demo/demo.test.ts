import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { runCli } from "../../src/cli/cli.ts";

/** Runs a command as a script would, without a terminal, and answers what it printed. */
async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const texts = [stdout, stderr].map(async (stream) => {
    const parts: Buffer[] = [];
    for await (const part of stream as AsyncIterable<Buffer>) parts.push(part);
    return Buffer.concat(parts).toString("utf8");
  });
  const code = await runCli(args, { stdout, stderr, stdin: process.stdin });
  stdout.end();
  stderr.end();
  const [out = "", err = ""] = await Promise.all(texts);
  return { code, out, err };
}

/** How often `text` stands in `whole`. */
function times(whole: string, text: string): number {
  return whole.split(text).length - 1;
}

describe("npm run demo", () => {
  it("ends with one page that names the payment run, the tooling PR, the secrets and its incident", async () => {
    const { code, out, err } = await run("demo");
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(times(out, "Do now")).toBe(1);
    const page = out.slice(out.indexOf("Job with secrets sends data"), out.indexOf("first seen"));
    for (const named of [
      "acme/payments",
      "nightly #812",
      "fork PR #41 of",
      "acme/build-tools",
      "REGISTRY_PAT, STAGING_DB_URL, SIGNING_KEY",
      "203.0.113.77",
      "read the environment",
    ]) {
      expect(out.slice(0, out.indexOf("first seen")).replace(/\s+/g, " ")).toContain(named);
    }
    expect(page).toContain("runner build-07");
    // The stolen credential's use belongs to the same incident, and is told as an update.
    expect(out).toContain("CI's registry identity is used from outside");
    expect(out).toMatch(/Incident {2}http:\/\/127\.0\.0\.1:\d+\/api\/v1\/incidents\/inc_\w+/);
    const took = /The page came (\d+\.\d+) s after the POST was sent/.exec(out);
    expect(Number(took?.[1])).toBeLessThan(60);
    expect(out).toContain("1 incident, 1 page");
  }, 60_000);

  it("shows no page without the rule that pages", async () => {
    const { code, out } = await run("demo", "--without-rule", "exfiltration/post-to-bare-address");
    expect(times(out, "Do now")).toBe(0);
    expect(out).toContain("no page came");
    expect(code).toBe(1);
  }, 60_000);
});
