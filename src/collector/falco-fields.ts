/** @module Falco's output fields under their ECS names (docs/fields.md). */

import { type FieldSet, isRecord, type OpenRecord, textAt, valueAt } from "../event/fields.ts";
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

const ancestorLists: readonly (readonly [falco: string, ours: string])[] = [
  ["proc.aname", "pipewarden.process.ancestors"],
  ["proc.aexepath", "pipewarden.process.ancestor_executables"],
  ["proc.acmdline", "pipewarden.process.ancestor_command_lines"],
];
const levelMax = 32;

interface AncestorPlace {
  readonly list: number;
  readonly level: number;
  readonly rewritten: boolean;
}

/** `proc.aname[2]`, which falcosidekick may have rewritten to `proc.aname_2`, and so on. */
const ancestorPlaces: ReadonlyMap<string, AncestorPlace> = new Map(
  ancestorLists.flatMap(([falco], list) => {
    const levels = Array.from({ length: levelMax - 1 }, (_, index) => index + 2);
    return levels.flatMap((level): [string, AncestorPlace][] => [
      [`${falco}[${level}]`, { list, level, rewritten: false }],
      [`${falco}_${level}`, { list, level, rewritten: true }],
    ]);
  }),
);

/** From the parent's parent outward. */
function setAncestors(fields: FieldSet, output: OpenRecord): void {
  const chains: string[][] = ancestorLists.map(() => []);
  for (const key of Object.keys(output)) {
    const place = ancestorPlaces.get(key);
    const chain = place === undefined ? undefined : chains[place.list];
    if (place === undefined || chain === undefined) continue;
    const name = presentText(output, key);
    if (name === undefined || (place.rewritten && chain[place.level] !== undefined)) continue;
    chain[place.level] = name;
  }
  for (const [list, [, ours]] of ancestorLists.entries()) {
    const chain = chains[list]?.filter((name) => name !== undefined) ?? [];
    if (chain.length > 0) fields.set(ours, chain);
  }
}
