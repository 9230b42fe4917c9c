/** A pattern of kubelet's `matchImages`, or an image in the same form: host labels, port and path. */
interface Parts {
  readonly labels: readonly string[];
  readonly port: string;
  readonly path: string;
}

/**
 * True if an image (`registry/repository`) is one that a pattern of a credential provider means: as many labels, each
 * matching by itself (`*`, `?`, `[a-z]`), the same port, and the path a prefix. (kubelet, credentialprovider/v1)
 */
export function matchesImagePattern(pattern: string, image: string): boolean {
  const [wanted, found] = [partsOf(pattern), partsOf(image)];
  if (wanted === undefined || found === undefined) return false;
  if (wanted.labels.length !== found.labels.length || wanted.port !== found.port) return false;
  if (!found.path.startsWith(wanted.path)) return false;
  return wanted.labels.every((label, i) => matchesGlob(label, found.labels[i] ?? ""));
}

function partsOf(text: string): Parts | undefined {
  const parts = /^(?:https?:\/\/)?(\[[0-9a-f:.]+\]|[^/:]+)(?::(\d+))?(\/.*)?$/i.exec(text.trim());
  if (parts === null) return undefined;
  const [, host = "", port = "", path = ""] = parts;
  const labels = host.startsWith("[") && host.includes(":") ? [host] : host.split(".");
  return { labels: labels.map((label) => label.toLowerCase()), port, path };
}

function matchesGlob(glob: string, text: string): boolean {
  if (glob === text) return true;
  const escaped = glob.replace(/\[(\^?)([^\]\\]+)\]|[\s\S]/g, (part: string, not?: string, set?: string) => {
    if (set !== undefined) return `[${not ?? ""}${set.replace(/[\]\\^[]/g, "\\$&")}]`;
    if (part === "*") return ".*";
    return part === "?" ? "." : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  });
  try {
    return new RegExp(`^(?:${escaped})$`, "s").test(text);
  } catch {
    // Such as [z-a]: it matches nothing.
    return false;
  }
}
