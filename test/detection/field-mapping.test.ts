import { describe, expect, it } from "vitest";
import { fieldMappingOf } from "../../src/detection/field-mapping.ts";
import type { Logsource } from "../../src/sigma/sigma.ts";

const processes = { product: "linux", category: "process_creation" };
const network = { product: "linux", category: "network_connection" };
const files = { product: "linux", category: "file_event" };
const proxy = { category: "proxy" };
const audit = { product: "github", service: "audit" };
const webhook = { product: "github", service: "webhook" };

describe("field mapping", () => {
  it.each<[Logsource, string, readonly string[]]>([
    [processes, "Image", ["process.executable"]],
    [processes, "CommandLine", ["process.command_line"]],
    [processes, "ParentImage", ["process.parent.executable"]],
    [processes, "ParentCommandLine", ["process.parent.command_line"]],
    [processes, "User", ["user.name"]],
    [processes, "CurrentDirectory", ["process.working_directory"]],
    [network, "DestinationIp", ["destination.ip"]],
    [network, "DestinationHostname", ["destination.domain"]],
    [network, "Image", ["process.executable"]],
    [files, "TargetFilename", ["file.path"]],
    [proxy, "c-uri", ["url.full"]],
    [proxy, "cs-host", ["url.domain", "destination.domain"]],
    [proxy, "r-dns", ["destination.domain", "url.domain"]],
    [proxy, "cs-method", ["http.request.method"]],
    [proxy, "c-useragent", ["user_agent.original"]],
    [proxy, "sc-status", ["http.response.status_code"]],
    [proxy, "dst_ip", ["destination.ip"]],
    [audit, "action", ["event.action"]],
    [audit, "actor", ["user.name"]],
    [audit, "repo", ["vcs.repository.name"]],
    [audit, "hashed_token", ["pipewarden.audit.hashed_token"]],
    [webhook, "ref_type", ["pipewarden.webhook.ref_type"]],
    // Without a service the audit log is meant, which Sigma's GitHub rules are for.
    [{ product: "github" }, "hashed_token", ["pipewarden.audit.hashed_token"]],
    [processes, "proc.name", ["process.name"]],
    [processes, "proc.pname", ["process.parent.name"]],
    [processes, "evt.type", ["pipewarden.falco.evt.type"]],
    [
      processes,
      "proc.aname[2]",
      ["pipewarden.falco.proc.aname[2]", "pipewarden.falco.proc.aname_2"],
    ],
    [processes, "container.privileged", ["pipewarden.falco.container.privileged"]],
    [{ service: "falco" }, "k8s.ns.name", ["orchestrator.namespace"]],
  ])("%o %s", (logsource, name, ours) => {
    expect(fieldMappingOf(logsource)(name)).toEqual(ours);
  });

  it.each<[Logsource, string]>([
    // Ours stay as they are, in every logsource.
    [processes, "process.executable"],
    [processes, "container.name"],
    [audit, "event.action"],
    [audit, "pipewarden.audit.repo_id"],
    [proxy, "pipewarden.run.trust"],
    // A table of another logsource does not leak in.
    [proxy, "Image"],
    [audit, "proc.name"],
    [processes, "c-uri"],
    // Names from a rule are outside data.
    [processes, "constructor"],
    [proxy, "__proto__"],
  ])("%o %s is taken as it is", (logsource, name) => {
    expect(fieldMappingOf(logsource)(name)).toEqual([name]);
  });
});
