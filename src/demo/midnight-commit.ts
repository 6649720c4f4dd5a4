/**
 * @module The Midnight Commit: three weeks from a fork PR to a POST at 02:08, as the feeds tell it.
 */

import { dayMs, type EpochMs, hourMs, minuteMs, secondMs } from "../clock.ts";
import { cacheUrl, jobPosts, nightlyJob, ordinaryDays, registryActor, runner } from "./company.ts";
import { type DemoJob, idOf, type Post } from "./feeds.ts";
import { pullRequest, push } from "./github.ts";
import { falco, registry, squid } from "./runtime.ts";

/** The cache entry that three weeks later is restored by the payment service. */
const sharedKey = `${cacheUrl}/shared/py312-wheels-8c1f.tar.zst`;
const attackerAddress = "203.0.113.77";

/**
 * The fork PR's run on the low-value repository: `pull_request_target`, so it may write the shared
 * cache.
 */
function toolingJob(now: EpochMs): DemoJob {
  const startedAt = now - 21 * dayMs - 9 * hourMs;
  return {
    repository: "acme/build-tools",
    workflow: "size-report",
    workflowFile: ".github/workflows/size-report.yml",
    job: "report",
    runId: idOf("size-report/41"),
    runNumber: 388,
    trigger: "pull_request_target",
    actor: "quiet-otter-9",
    branch: "docs-typo",
    runner: runner(3),
    startedAt,
    completedAt: startedAt + 3 * minuteMs,
    secrets: [],
    headRepository: "quiet-otter-9/build-tools",
    steps: ["Set up job", "Checkout", "Build", "Report size"],
  };
}

/**
 * Everything up to tonight, oldest first: the fork PR, three quiet weeks, tonight's build up to its
 * tests.
 */
export function history(now: EpochMs): Post[] {
  const tooling = toolingJob(now);
  const tonight = nightlyJob(now - 13 * minuteMs, 0);
  const { address } = tonight.runner;
  const use = { actor: registryActor, address, agent: "buildkit/0.15" };
  const posts = [
    ...ordinaryDays(now - 13 * minuteMs, 21),
    pullRequest(tooling, 41, "opened"),
    ...jobPosts(tooling),
    squid(tooling.runner.address, [
      {
        at: tooling.startedAt + minuteMs,
        method: "CONNECT",
        url: "api.github.com:443",
        address: "192.0.2.10",
      },
      {
        at: tooling.startedAt + 2 * minuteMs,
        method: "PUT",
        url: sharedKey,
        status: 201,
        bytesOut: 61_880_402,
      },
    ]),
    // The tiny patch that a contractor merged: a deep test, no workflow touched.
    push({
      repository: "acme/payments",
      at: now - 20 * dayMs,
      actor: "contractor-lee",
      summary: "Cover rounding of settlements",
      modified: ["tests/integration/deep/test_settlement_rounding.py"],
    }),
    // Today's dependency bump changes the lock file, and with it the cache key that tonight's build
    // asks for.
    push({
      repository: "acme/payments",
      at: now - 9 * hourMs,
      actor: "keiko-s",
      summary: "Bump dependencies",
      modified: ["requirements.lock"],
    }),
    ...jobPosts(tonight),
    squid(address, [
      {
        at: tonight.startedAt + 15 * secondMs,
        method: "CONNECT",
        url: "api.github.com:443",
        address: "192.0.2.10",
      },
      { at: tonight.startedAt + 25 * secondMs, method: "GET", url: sharedKey, bytesIn: 61_880_402 },
    ]),
    registry({ ...use, at: tonight.startedAt + minuteMs, action: "pull", image: "base/python" }),
  ];
  return posts.sort((a, b) => a.at - b.at);
}

/** 02:07: a test of the payment build reads the environment of the processes around it. */
export function environmentRead(now: EpochMs): Post {
  const { name } = nightlyJob(now, 0).runner;
  return falco({
    at: now - 26 * secondMs,
    host: name,
    rule: "Read environment variable from /proc files",
    priority: "Warning",
    tags: ["container", "host", "mitre_credential_access", "mitre_discovery", "process", "T1083"],
    text: "Environment variables were retrieved from /proc files | file=/proc/2114/environ",
    fields: {
      "proc.name": "python3",
      "proc.cmdline": "python3 -m pytest tests/integration/deep",
      "proc.exepath": "/usr/bin/python3.12",
      "proc.pname": "bash",
      "proc.pcmdline": "bash -e /runner/_temp/step.sh",
      "proc.aname[2]": "Runner.Worker",
      "fd.name": "/proc/2114/environ",
      "evt.type": "openat",
      "user.name": "runner",
      "container.id": "host",
      "k8s.pod.name": null,
      "k8s.ns.name": null,
    },
  });
}

/** 02:08: a blob leaves for an address nobody has a name for. */
export function blobPost(now: EpochMs): Post {
  return squid(nightlyJob(now, 0).runner.address, [
    {
      at: now,
      method: "POST",
      url: `http://${attackerAddress}/u`,
      address: attackerAddress,
      bytesOut: 3_981,
      bytesIn: 2,
      agent: "python-requests/2.32.3",
    },
  ]);
}

/** Minutes later: the stolen registry credential pulls private images from elsewhere. */
export function imagePulls(now: EpochMs): Post[] {
  return ["payments/service", "ledger/service", "base/python"].map((image, index) =>
    registry({
      at: now + index,
      action: "pull",
      image,
      actor: registryActor,
      address: "198.51.100.23",
      agent: "skopeo/1.15",
    }),
  );
}
