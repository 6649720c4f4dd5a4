// Some registry mirrors serve only the platform builds their own machines need. npm then leaves the
// other platforms out of package-lock.json, and the next `npm ci` refuses it as out of step. This
// writes the missing optional entries back from the exact versions their parents ask for. Run it
// (`npm run lockfile`) after a dependency change.
import { readFileSync, writeFileSync } from "node:fs";

interface LockEntry {
  version?: string;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  engines?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

const path = "package-lock.json";
const lock = JSON.parse(readFileSync(path, "utf8")) as { packages: Record<string, LockEntry> };
const platforms = ["android", "darwin", "freebsd", "linux", "openharmony", "win32"];
const processors = ["arm64", "x64", "ia32", "arm", "ppc64", "riscv64", "s390x"];

let added = 0;
for (const parent of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key] !== undefined) continue;
    const words = name.split("/").at(-1)?.split("-") ?? [];
    const os = words.find((word) => platforms.includes(word));
    const cpu = words.find((word) => processors.includes(word));
    if (os === undefined || cpu === undefined) continue;
    lock.packages[key] = { version, optional: true, os: [os], cpu: [cpu] };
    if (words.includes("musl")) lock.packages[key].libc = ["musl"];
    added += 1;
  }
}
const ordered = Object.fromEntries(
  Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)),
);
writeFileSync(path, `${JSON.stringify({ ...lock, packages: ordered }, null, 2)}\n`);
process.stdout.write(`package-lock.json: ${added} optional entries added\n`);
