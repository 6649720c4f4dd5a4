/** @module Falco's output fields under their ECS names (docs/fields.md). */

import { type FieldSet, isRecord, textAt, valueAt } from "../event/fields.ts";
import type { FalcoOrigin } from "./falco-logsource.ts";

/** Falco's name, ours, and what ours holds when it is not plain text. Earlier rows win. */
const mapped: readonly (readonly [falco: string, ours: string, form?: "list" | "number"])[] = [
  ["proc.pid", "process.pid", "number"],
  ["proc.name", "process.name"],
  ["proc.exepath", "process.executable"],
  ["proc.cmdline", "process.command_line"],
  ["proc.cwd", "process.working_directory"],
  ["proc.pname", "process.parent.name"],
  ["proc.pcmdline", "process.parent.command_line"],
  ["proc.pexepath", "process.parent.executable"],
  ["proc.ppid", "process.parent.pid", "number"],
  ["user.name", "user.name"],
  ["user.uid", "user.id"],
  ["fd.cip", "source.ip"],
  ["fd.cport", "source.port", "number"],
  ["fd.sip.name", "destination.domain"],
  ["fd.sip", "destination.ip"],
  ["fd.sport", "destination.port", "number"],
  ["fd.lip", "source.ip"],
  ["fd.lport", "source.port", "number"],
  ["fd.rip.name", "destination.domain"],
  ["fd.rip", "destination.ip"],
  ["fd.rport", "destination.port", "number"],
  ["fd.l4proto", "network.transport"],
  ["container.id", "container.id"],
  ["container.name", "container.name"],
  ["container.image.repository", "container.image.name"],
  ["container.image.tag", "container.image.tag", "list"],
  ["container.image.digest", "container.image.hash.all", "list"],
  ["k8s.ns.name", "orchestrator.namespace"],
  ["k8smeta.ns.name", "orchestrator.namespace"],
  ["k8s.pod.name", "orchestrator.resource.name"],
  ["k8smeta.pod.name", "orchestrator.resource.name"],
  ["ka.user.name", "user.name"],
  ["ka.target.namespace", "orchestrator.namespace"],
  ["ka.target.name", "orchestrator.resource.name"],
  ["ka.target.resource", "orchestrator.resource.type"],
  ["ka.useragent", "user_agent.original"],
  ["ka.uri", "url.path"],
  ["ka.response.code", "http.response.status_code", "number"],
];

/** Adds the ECS names. Falco writes an absent value as null, and as `<NA>` in text. */
export function mapFalcoFields(fields: FieldSet, output: unknown, origin: FalcoOrigin): void {
  if (!isRecord(output)) return;
  const set = new Set<string>();
  for (const [falco, ours, form] of mapped) {
    const text = presentText(output, falco);
    if (text === undefined || set.has(ours)) continue;
    if (form === "number" && !/^-?\d{1,15}$/.test(text)) continue;
    set.add(ours);
    fields.set(ours, form === "list" ? [text] : form === "number" ? Number(text) : text);
  }
  const sourceIps = valueAt(output, "ka.sourceips");
  if (!set.has("source.ip") && sourceIps !== undefined) {
    const first = Array.isArray(sourceIps) ? sourceIps[0] : sourceIps;
    if (typeof first === "string") fields.set("source.ip", first);
  }
  setOutcome(fields, output);
  setFile(fields, output);
  if (!set.has("destination.ip")) setSocket(fields, output);
  if (origin === "syscall") setAncestors(fields, output);
}

function presentText(output: unknown, name: string): string | undefined {
  const text = textAt(output, name);
  return text === "<NA>" || text === "N/A" ? undefined : text;
}

/** `evt.res` is SUCCESS or the name of an errno. */
function setOutcome(fields: FieldSet, output: unknown): void {
  const result = presentText(output, "evt.res");
  if (result !== undefined) {
    fields.set("event.outcome", result === "SUCCESS" ? "success" : "failure");
  }
}

/**
 * `fd.name` is a path only for files; calls that take a path instead of a descriptor name it
 * elsewhere.
 */
function setFile(fields: FieldSet, output: unknown): void {
  const name = presentText(output, "fd.name");
  const type = presentText(output, "fd.type");
  if (name !== undefined && (type === "file" || type === "directory" || name.startsWith("/"))) {
    fields.set("file.path", name);
    return;
  }
  fields.set(
    "file.path",
    presentText(output, "fs.path.name") ?? presentText(output, "evt.abspath"),
  );
}

/**
 * A socket's `fd.name` is `client:port->server:port`; read when the rule printed no address of its
 * own.
 */
function setSocket(fields: FieldSet, output: unknown): void {
  const found = /^(\S{2,45}):(\d{1,5})->(\S{2,45}):(\d{1,5})$/.exec(
    presentText(output, "fd.name") ?? "",
  );
  if (found === null) return;
  const [, clientIp, clientPort, serverIp, serverPort] = found;
  fields
    .set("source.ip", clientIp)
    .set("source.port", Number(clientPort))
    .set("destination.ip", serverIp)
    .set("destination.port", Number(serverPort));
}

/**
 * From the parent's parent outward. falcosidekick may have rewritten `proc.aname[2]` to
 * `proc.aname_2`.
 */
function setAncestors(fields: FieldSet, output: unknown): void {
  const lists: readonly (readonly [falco: string, ours: string])[] = [
    ["proc.aname", "pipewarden.process.ancestors"],
    ["proc.aexepath", "pipewarden.process.ancestor_executables"],
    ["proc.acmdline", "pipewarden.process.ancestor_command_lines"],
  ];
  for (const [falco, ours] of lists) {
    const chain: string[] = [];
    for (let level = 2; level <= 32; level++) {
      const name =
        presentText(output, `${falco}[${level}]`) ?? presentText(output, `${falco}_${level}`);
      if (name !== undefined) chain.push(name);
    }
    if (chain.length > 0) fields.set(ours, chain);
  }
}
