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
const opaque = "aB3dE5gH".repeat(5);
const slackHost = ["hooks", "slack", "com"].join(".");
const discordHost = ["discord", "com"].join(".");
const bot = ["8123456789", opaque.slice(0, 35)].join(":");

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
    [
      `POST https://${slackHost}/services/T0/B0/x9 now`,
      `POST https://${slackHost}/services/[masked] now`,
    ],
    [`https://${slackHost}/triggers/E1/2/abc`, `https://${slackHost}/triggers/[masked]`],
    [
      `https://${discordHost}/api/webhooks/12345/a-B_9`,
      `https://${discordHost}/api/webhooks/12345/[masked]`,
    ],
    [
      `https://${discordHost}/api/v10/webhooks/1/abc?wait=1`,
      `https://${discordHost}/api/v10/webhooks/1/[masked]?wait=1`,
    ],
    [
      `https://chat.example/bot${bot}/sendMessage`,
      "https://chat.example/bot8123456789:[masked]/sendMessage",
    ],
    [`bot ${bot}.`, "bot 8123456789:[masked]."],
    [
      "https://b.example/c?sv=2024&sig=a%2Bb%3D&se=1",
      "https://b.example/c?sv=2024&sig=[masked]&se=1",
    ],
    ["https://b.example/o?X-Amz-Signature=0a1b", "https://b.example/o?X-Amz-Signature=[masked]"],
    ["https://a.example/x?key=abc,def&v=1", "https://a.example/x?key=[masked]&v=1"],
    ["https://a.example/x?a=1&token=b;c|d", "https://a.example/x?a=1&token=[masked]"],
    ["https://a.example/x?client_secret=a,b", "https://a.example/x?client_secret=[masked]"],
    ["https://a.example/x?password=p@ss,1#top", "https://a.example/x?password=[masked]#top"],
    ...["sk-ant-", "sk_live_", "sk_test_", "AIza", "hvs.", "glpat-", "npm_", "xoxz-", "xoxb-"].map(
      (start): [string, string] => [`use ${start}${opaque} now`, "use [masked] now"],
    ),
    [`${"ghp"}_${opaque.repeat(10)}`, "[masked]"],
    [`${"whsec"}_${opaque}=`, "[masked]"],
    [
      "docker login -u ann -p hunter2 registry.example",
      "docker login -u ann -p [masked] registry.example",
    ],
    ["docker --config /x login -phunter2", "docker --config /x login -p[masked]"],
    ["helm registry login r.example -p=hunter2", "helm registry login r.example -p=[masked]"],
    ["docker login --password hunter2 r.example", "docker login --password [masked] r.example"],
    ["docker login -p 1:2; docker run -p 1:2 i", "docker login -p 1:2; docker run -p 1:2 i"],
    ["docker login -p abc && mkdir -p dir", "docker login -p [masked] && mkdir -p dir"],
    ["sshpass -p hunter2 ssh -p 2222 a.example", "sshpass -p [masked] ssh -p 2222 a.example"],
    ["sshpass -v -phunter2 ssh a.example", "sshpass -v -p[masked] ssh a.example"],
    ["mysql -u root -phunter2 db", "mysql -u root -p[masked] db"],
    ["/usr/bin/mysqldump -p'hunter2' db", "/usr/bin/mysqldump -p'[masked]' db"],
    ["mariadb-admin -pa&b ping", "mariadb-admin -p[masked] ping"],
    [
      "aws configure set aws_secret_access_key abc/d+e",
      "aws configure set aws_secret_access_key [masked]",
    ],
    [
      "aws configure --profile ci set aws_session_token abc --region x",
      "aws configure --profile ci set aws_session_token [masked] --region x",
    ],
    [
      "npm config set //registry.example/:_authToken abc",
      "npm config set //registry.example/:_authToken [masked]",
    ],
  ])("%j → %j", (text, expected) => {
    expect(mask(text)).toBe(expected);
    expect(mask(mask(text))).toBe(expected);
  });

  it.each([
    "mkdir -p dir",
    "mkdir -p /opt/login/mysql && docker run -p 8080:80 img",
    "docker run --name login -p 127.0.0.1:8080:80/tcp img",
    "docker run -p 127.0.0.1:8080:80/tcp --name login img",
    "sudo cp -p /etc/passwd /tmp/x",
    "ssh -p 2222 git.example",
    "ssh -l login -p 22 git.example",
    "mysql -u root -p db -P 3306 -h 10.0.0.5",
    "docker run -d mysql -p 3306:3306",
    "sshpass -e ssh -p 2222 git.example",
    "sshpass -f /run/x ssh -p 2222 git.example",
    "docker login -u ann --password-stdin registry.example",
    "tool --token-file /run/token --user ann",
    "aws configure set region eu-west-1",
    "git config set user.name ann",
    "https://a.example/x?keyword=a&design=b&monkey=c",
    "npm_config_cache sk_livery AIzawa xox-y hvs.",
    "1700000000:aaaa 12345678:0123456789abcdef0123456789abcdef01234567",
    "https://discord.example/api/webhooks/1/abc",
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
    const word = fc.constantFrom(
      ...["TOKEN=", "a:b@c ", classic, "-u ", "x:y", "password: ", " ", '"', "[masked]"],
      ...["docker ", "login ", " -p", " -p ", "=", "mysql ", "sshpass ", "; ", "&", "?key=", "1:2"],
      ...["configure set ", "secret_key ", "--password ", bot, `${slackHost}/services/`, "/x"],
    );
    const text = fc.array(fc.oneof({ weight: 4, arbitrary: word }, fc.string()), { maxLength: 14 });
    fc.assert(
      fc.property(text, (parts) => {
        const once = mask(parts.join(""));
        expect(mask(once)).toBe(once);
      }),
      { seed: 7, numRuns: 2_000 },
    );
  });

  it("ends on hostile text of any length", () => {
    const parts = [
      ...["a:", "secret-", "-----BEGIN PRIVATE KEY-----", "eyJ", "A_", "://a:"],
      ...[
        "docker ",
        "docker login ",
        "login -p",
        "mysql ",
        " -p",
        "sshpass -P x ",
        "?a",
        "config ",
      ],
      ...["configure --a b ", "configure set a", "hvs.", "1".repeat(12), "?secret", "--x-stdin"],
    ];
    for (const part of parts) {
      expect(mask(part.repeat(100_000)).length).toBeLessThan(60_000);
    }
  });
});
