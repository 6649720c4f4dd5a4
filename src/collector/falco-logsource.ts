/** @module Which logsource a Falco alert belongs to: by its source and its system call. */

import type { Logsource } from "../event/event.ts";
import { textAt } from "../event/fields.ts";

/**
 * Where an alert arose: in the kernel, in Falco itself, or in a plugin, then by the plugin's name.
 */
export type FalcoOrigin = "syscall" | "internal" | (string & {});

/** falcosidekick's test comes as `syscalls` or `internal`; by its rule it is never a real alert. */
export function falcoOrigin(rule: string, source: string | undefined): FalcoOrigin {
  if (rule === "Test rule" || rule.startsWith("Falco internal:")) return "internal";
  return source === undefined || source === "syscalls" ? "syscall" : source.toLowerCase();
}

const categories: ReadonlyMap<string, string> = new Map([
  ...pairs("process_creation", "execve execveat clone clone3 fork vfork"),
  ...pairs(
    "network_connection",
    "connect accept accept4 bind listen sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg",
  ),
  ...pairs(
    "file_event",
    "open openat openat2 open_by_handle_at creat rename renameat renameat2 unlink unlinkat rmdir",
  ),
  ...pairs(
    "file_event",
    "mkdir mkdirat link linkat symlink symlinkat chmod fchmod fchmodat fchmodat2 chown lchown",
  ),
  ...pairs("file_event", "fchown fchownat truncate ftruncate mknod mknodat"),
]);

function pairs(category: string, calls: string): [string, string][] {
  return calls.split(" ").map((call) => [call, category]);
}

/**
 * The category comes from `evt.type`. Many rules do not print it: then from what the alert shows, a
 * socket before a file before a command line. A call outside the table (ptrace, setuid) has no
 * category.
 */
export function falcoLogsource(origin: FalcoOrigin, output: unknown): Logsource {
  if (origin === "internal") return { product: "falco", service: "internal" };
  if (origin === "k8s_audit") return { product: "kubernetes", service: "audit" };
  if (origin !== "syscall") return { product: origin, service: "falco" };
  const call = textAt(output, "evt.type");
  const category = call === undefined ? shownCategory(output) : callCategory(call, output);
  return { product: "linux", service: "falco", ...(category === undefined ? {} : { category }) };
}

function callCategory(call: string, output: unknown): string | undefined {
  const category = categories.get(call.toLowerCase());
  if (category !== undefined) return category;
  // read and write are of whatever they are done to.
  return /^(?:p?readv?|p?writev?|p?read64|p?write64|sendfile)$/.test(call)
    ? descriptorCategory(output)
    : undefined;
}

function shownCategory(output: unknown): string | undefined {
  const descriptor = descriptorCategory(output);
  if (descriptor !== undefined) return descriptor;
  return textAt(output, "proc.cmdline") === undefined ? undefined : "process_creation";
}

function descriptorCategory(output: unknown): string | undefined {
  const type = textAt(output, "fd.type");
  if (type === "ipv4" || type === "ipv6") return "network_connection";
  if (type === "file" || type === "directory") return "file_event";
  if (textAt(output, "fd.sip") !== undefined || textAt(output, "fd.l4proto") !== undefined) {
    return "network_connection";
  }
  return textAt(output, "fd.name")?.startsWith("/") === true ? "file_event" : undefined;
}
