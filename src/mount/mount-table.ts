/** One line of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export interface MountEntry {
  readonly mountId: number;
  /** The mount that this one lies on: another entry's `mountId`, unless it is outside of what the process sees. */
  readonly parentId: number;
  /** `major:minor`; not always what stat says (btrfs). */
  readonly device: string;
  /** The folder of the file system that is the mount's root. */
  readonly root: string;
  /** Where it is, as the process sees it; bytes that are no UTF-8 read as U+FFFD. */
  readonly mountPoint: string;
  /** The same byte for byte. */
  readonly mountPointBytes: Buffer;
  /** The mount's own flags: `ro`, `nosuid`, ... */
  readonly options: readonly string[];
  readonly readOnly: boolean;
  /** The peer group it is shared in. */
  readonly sharedGroup: number | undefined;
  /** The peer group it receives mounts from. */
  readonly masterGroup: number | undefined;
  readonly fsType: string;
  readonly source: string;
  /** The file system's own options, escaped as the kernel writes them: `hasUpperDir` reads them. */
  readonly superOptions: string;
}

/** Parses the whole table. Lines that are not of the kernel's form are left out: it adds fields, but does not drop any. */
export function parseMountTable(table: Uint8Array): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of latin1(table).split("\n")) {
    const entry = parseLine(line);
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

/** The entry of one mount, without parsing the others. */
export function findInMountTable(table: Uint8Array, mountId: number): MountEntry | undefined {
  const text = `\n${latin1(table)}`;
  const start = text.indexOf(`\n${mountId} `);
  if (start < 0) return undefined;
  const end = text.indexOf("\n", start + 1);
  return parseLine(text.slice(start + 1, end < 0 ? undefined : end));
}

/**
 * The entries that lie below a path, deepest and newest first: told by the mount that the path lies on and, for what is
 * mounted right on that mount, by the path from the namespace's root.
 */
export function entriesBelow(
  entries: readonly MountEntry[],
  path: { readonly mountId: number; readonly canonical: Uint8Array },
): MountEntry[] {
  const children = Map.groupBy(entries, (entry) => entry.parentId);
  const text = latin1(path.canonical);
  const prefix = text === "/" ? text : `${text}/`;
  // The namespace's first mount may be its own parent.
  const isBelow = (entry: MountEntry) =>
    entry.mountId !== path.mountId && latin1(entry.mountPointBytes).startsWith(prefix);
  const found = (children.get(path.mountId) ?? []).filter(isBelow);
  const seen = new Set(found);
  for (const entry of found) {
    for (const child of children.get(entry.mountId) ?? []) {
      if (seen.has(child)) continue;
      seen.add(child);
      found.push(child);
    }
  }
  return found.reverse();
}

/**
 * Whether what is mounted below stays in the process's own mount namespace: the mount was brought into a container from
 * the host, as all but its root are, without propagation back.
 */
export function keepsMountsInside({
  mountPoint,
  sharedGroup,
}: Pick<MountEntry, "mountPoint" | "sharedGroup">): boolean {
  return mountPoint !== "/" && sharedGroup === undefined;
}

/** Whether the entry is an overlay with this folder as its upper layer. */
export function hasUpperDir(entry: MountEntry, path: string): boolean {
  const shown = shownUpperDir(entry);
  return shown === path || shown === escapeOverlayPath(path);
}

/** The upper layer of an overlay, as a path; undefined if the entry is none, or shows what cannot be a path. */
export function upperDirOf(entry: MountEntry): string | undefined {
  return shownUpperDir(entry)?.replace(/\\([\\,:])/g, "$1");
}

/** The kernel shows the path as mount(2) was given it, on some versions with the overlay's own escapes. */
function shownUpperDir(entry: MountEntry): string | undefined {
  if (entry.fsType !== "overlay") return undefined;
  const option = entry.superOptions.split(",").find((text) => text.startsWith("upperdir="));
  return option === undefined ? undefined : utf8(unescapeOctal(option.slice("upperdir=".length)));
}

/** A path as the options of an overlay want it: commas separate options, colons layers. */
export function escapeOverlayPath(path: string): string {
  return path.replace(/[\\,:]/g, "\\$&");
}

// id parent device root mount-point options tag... - type source super-options; blanks in them are escaped.
function parseLine(line: string): MountEntry | undefined {
  const fields = line.split(" ");
  const separator = fields.indexOf("-", 6);
  if (separator < 0) return undefined;
  const field = (index: number) => fields[index] ?? "";
  const mountPoint = unescapeOctal(field(4));
  const options = field(5).split(",");
  return {
    mountId: Number(fields[0]),
    parentId: Number(fields[1]),
    device: field(2),
    root: utf8(unescapeOctal(field(3))),
    mountPoint: utf8(mountPoint),
    mountPointBytes: Buffer.from(mountPoint, "latin1"),
    options,
    readOnly: options.includes("ro"),
    sharedGroup: peerGroup(fields, "shared:", separator),
    masterGroup: peerGroup(fields, "master:", separator),
    fsType: utf8(unescapeOctal(field(separator + 1))),
    source: utf8(unescapeOctal(field(separator + 2))),
    superOptions: field(separator + 3),
  };
}

function peerGroup(fields: readonly string[], name: string, end: number): number | undefined {
  for (let i = 6; i < end; i++) if (fields[i]?.startsWith(name)) return Number(fields[i]?.slice(name.length));
  return undefined;
}

// Lines are taken apart as one character a byte, so that names that are no UTF-8 survive.
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

function utf8(bytes: string): string {
  return /[\x80-\xff]/.test(bytes) ? Buffer.from(bytes, "latin1").toString() : bytes;
}

function unescapeOctal(text: string): string {
  if (!text.includes("\\")) return text;
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
