/**
 * @module Rule field names → event field names, per logsource.
 *
 * Sources: the Sigma taxonomy appendix (process_creation, network_connection, file_event, proxy,
 * dns), GitHub's audit log keys, Kubernetes audit keys, and Falco's field classes. Ours are listed
 * in docs/fields.md. A name that no table has is taken as one of ours, which all hold a dot.
 */

import type { FieldMapping, Logsource } from "../sigma/sigma.ts";

/**
 * Whether the machine itself opened the connection: no feed says so, it is derived when a rule asks
 * (detect.ts).
 */
export const initiatedField = "pipewarden.network.initiated";

type Table = ReadonlyMap<string, readonly string[]>;

/** Several names: the rule's field has the values of all of them; the likeliest first. */
function table(rows: Readonly<Record<string, string | readonly string[]>>): Table {
  return new Map(
    Object.entries(rows).map(([name, ours]) => [name, typeof ours === "string" ? [ours] : ours]),
  );
}

/** Names that mean the same in every category of runtime events. */
const processTable = table({
  Image: "process.executable",
  CommandLine: "process.command_line",
  CurrentDirectory: "process.working_directory",
  ParentImage: "process.parent.executable",
  ParentCommandLine: "process.parent.command_line",
  ProcessId: "process.pid",
  ParentProcessId: "process.parent.pid",
  ProcessName: "process.name",
  ParentProcessName: "process.parent.name",
  User: "user.name",
  UserId: "user.id",
  LogonId: "pipewarden.falco.user.loginuid",
  Computer: "host.hostname",
  ComputerName: "host.hostname",
});

const networkTable = table({
  DestinationIp: "destination.ip",
  DestinationHostname: "destination.domain",
  DestinationPort: "destination.port",
  SourceIp: "source.ip",
  SourcePort: "source.port",
  Protocol: "network.transport",
  dst_ip: "destination.ip",
  dst_port: "destination.port",
  src_ip: "source.ip",
  src_port: "source.port",
  Initiated: initiatedField,
});

const fileTable = table({
  TargetFilename: "file.path",
  SourceFilename: "pipewarden.falco.evt.arg.oldpath",
});

const proxyTable = table({
  "c-uri": "url.full",
  "cs-uri": "url.full",
  "c-uri-stem": "url.path",
  "cs-uri-stem": "url.path",
  "c-uri-query": "url.query",
  "cs-uri-query": "url.query",
  "c-uri-extension": "url.extension",
  "cs-host": ["url.domain", "destination.domain"],
  "r-dns": ["destination.domain", "url.domain"],
  "cs-method": "http.request.method",
  "c-useragent": "user_agent.original",
  "cs-user-agent": "user_agent.original",
  "cs-referrer": "http.request.referrer",
  "cs-username": "user.name",
  "cs-bytes": "http.request.bytes",
  "sc-bytes": "http.response.bytes",
  "sc-status": "http.response.status_code",
  "c-ip": "source.ip",
  "r-ip": "destination.ip",
  "r-port": "destination.port",
  src_ip: "source.ip",
  src_port: "source.port",
  dst_ip: "destination.ip",
  dst_port: "destination.port",
});

const dnsTable = table({
  query: ["destination.domain", "dns.question.name"],
  QueryName: ["destination.domain", "dns.question.name"],
  answer: ["destination.ip", "dns.resolved_ip"],
  record_type: "dns.question.type",
});

const githubTable = table({
  action: "event.action",
  actor: "user.name",
  actor_id: "user.id",
  actor_ip: "source.ip",
  user: "user.target.name",
  user_id: "user.target.id",
  user_agent: "user_agent.original",
  org: ["organization.name", "vcs.owner.name"],
  org_id: "organization.id",
  repo: "vcs.repository.name",
  repository: "vcs.repository.name",
  workflow_run_id: "cicd.pipeline.run.id",
  job_name: "cicd.pipeline.task.name",
  runner_name: "cicd.worker.name",
  runner_id: "cicd.worker.id",
  runner_labels: "pipewarden.runner.labels",
  runner_group_name: "pipewarden.runner.group",
  is_hosted_runner: "pipewarden.runner.hosted",
  head_branch: "vcs.ref.head.name",
  head_sha: "vcs.ref.head.revision",
  secrets_passed: "pipewarden.run.secrets_passed",
  environment_name: "pipewarden.run.environment",
});

const kubernetesTable = table({
  verb: "pipewarden.falco.ka.verb",
  "objectRef.resource": "orchestrator.resource.type",
  "objectRef.subresource": "pipewarden.falco.ka.target.subresource",
  "objectRef.namespace": "orchestrator.namespace",
  "objectRef.name": "orchestrator.resource.name",
  "user.username": "user.name",
  "responseStatus.code": "http.response.status_code",
  requestURI: "url.path",
  sourceIPs: "source.ip",
  userAgent: "user_agent.original",
});

/** Falco's names for what has one of ours. Its other names are kept under `pipewarden.falco.`. */
const falcoTable = table({
  "proc.pid": "process.pid",
  "proc.name": "process.name",
  "proc.exepath": "process.executable",
  "proc.cmdline": "process.command_line",
  "proc.cwd": "process.working_directory",
  "proc.pname": "process.parent.name",
  "proc.pcmdline": "process.parent.command_line",
  "proc.pexepath": "process.parent.executable",
  "proc.ppid": "process.parent.pid",
  "proc.aname": "pipewarden.process.ancestors",
  "proc.aexepath": "pipewarden.process.ancestor_executables",
  "proc.acmdline": "pipewarden.process.ancestor_command_lines",
  "user.uid": "user.id",
  "fd.cip": "source.ip",
  "fd.cport": "source.port",
  "fd.sip": "destination.ip",
  "fd.sip.name": "destination.domain",
  "fd.sport": "destination.port",
  "fd.l4proto": "network.transport",
  "fd.name": ["pipewarden.falco.fd.name", "file.path"],
  "container.image.repository": "container.image.name",
  "container.image.digest": "container.image.hash.all",
  "k8s.ns.name": "orchestrator.namespace",
  "k8s.pod.name": "orchestrator.resource.name",
  "k8smeta.ns.name": "orchestrator.namespace",
  "k8smeta.pod.name": "orchestrator.resource.name",
});

/** Field classes that are Falco's alone. */
const falcoClass = /^(?:proc|fd|evt|fs|thread|syslog|k8s|k8smeta|ka|static|jevt|json)\./;
/** Falco fields in classes that ECS has too. */
const falcoOnly = new Set([
  "user.loginuid",
  "user.loginname",
  "user.homedir",
  "user.shell",
  "container.full_id",
  "container.type",
  "container.image",
  "container.privileged",
  "container.mounts",
  "container.ip",
  "container.start_ts",
]);

/**
 * `proc.aname[2]`, which falcosidekick may have rewritten to `proc.aname_2`: both stand in what we
 * keep of Falco.
 */
function falcoNames(name: string): readonly string[] | undefined {
  if (!falcoClass.test(name) && !falcoOnly.has(name)) return undefined;
  const kept = `pipewarden.falco.${name}`;
  const rewritten = kept.replace(/\[([^\]]+)\]/g, "_$1");
  return rewritten === kept ? [kept] : [kept, rewritten];
}

/** Where a GitHub feed's own keys are kept, by service. */
const githubPrefixes: ReadonlyMap<string, string> = new Map([
  ["audit", "pipewarden.audit."],
  ["webhook", "pipewarden.webhook."],
]);

/**
 * The mapping for rules of one logsource. Tables come in order: the first that has the name
 * decides.
 */
export function fieldMappingOf(logsource: Logsource): FieldMapping {
  const tables = tablesOf(logsource);
  const prefix = githubPrefix(logsource);
  return (field) => {
    for (const rows of tables) {
      const ours = rows.get(field);
      if (ours !== undefined) return ours;
    }
    // All our names hold a dot, so a bare name can only be one of GitHub's keys.
    if (prefix !== undefined && !field.includes(".")) return [`${prefix}${field}`];
    return (prefix === undefined ? falcoNames(field) : undefined) ?? [field];
  };
}

function githubPrefix({ product, service }: Logsource): string | undefined {
  if (product !== "github") return undefined;
  return githubPrefixes.get(service ?? "audit");
}

function tablesOf({ product, category, service }: Logsource): readonly Table[] {
  if (product === "github") return [githubTable];
  if (product === "kubernetes") return [kubernetesTable, falcoTable];
  switch (category) {
    case "process_creation":
      return [processTable, falcoTable];
    case "network_connection":
    case "firewall":
      return [networkTable, processTable, falcoTable];
    case "file_event":
    case "file_change":
    case "file_delete":
    case "file_rename":
      return [fileTable, processTable, falcoTable];
    case "proxy":
      return [proxyTable];
    case "dns":
    case "dns_query":
      return [dnsTable, networkTable, processTable];
    default:
      // A rule for one of Falco's sources at large.
      return service === "falco" || product === "linux"
        ? [fileTable, networkTable, processTable, falcoTable]
        : [];
  }
}
