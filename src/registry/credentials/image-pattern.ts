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

type Token = "*" | ((character: string) => boolean);

/** Go's filepath.Match without escapes. In steps that grow with both lengths only: pods' secrets may hold patterns. */
function matchesGlob(glob: string, text: string): boolean {
  if (glob === text) return true;
  const tokens = tokensOf(glob);
  let [at, position] = [0, 0];
  let lastStar: { readonly at: number; position: number } | undefined;
  while (position < text.length) {
    const token = tokens[at];
    if (token === "*") {
      lastStar = { at, position };
      at++;
    } else if (token?.(text.charAt(position))) {
      at++;
      position++;
    } else if (lastStar !== undefined) {
      // The last star takes one character more; what an earlier one took need not change.
      lastStar.position++;
      at = lastStar.at + 1;
      position = lastStar.position;
    } else {
      return false;
    }
  }
  return tokens.slice(at).every((token) => token === "*");
}

function tokensOf(glob: string): Token[] {
  const parts = glob.match(/\[\^?[^\]]+\]|[\s\S]/g) ?? [];
  return parts.map((part): Token => {
    if (part === "*") return "*";
    if (part === "?") return () => true;
    return part.length > 1 ? setFrom(part.slice(1, -1)) : (character) => character === part;
  });
}

/** `a-z0`, or `^a-z0` for all others. */
function setFrom(text: string): (character: string) => boolean {
  const isNegated = text.startsWith("^");
  const ranges = (isNegated ? text.slice(1) : text).match(/[\s\S]-[\s\S]|[\s\S]/g) ?? [];
  return (character) =>
    isNegated !== ranges.some((range) => range.charAt(0) <= character && character <= range.charAt(range.length - 1));
}
