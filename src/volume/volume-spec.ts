import type { PullPolicy, Selection } from "../artifact/index.ts";
import { DriverError, nearestName, parseBool, parseGoDuration } from "../base/index.ts";
import type { KeepMs } from "../cache/index.ts";
import {
  formatPlatform,
  formatReference,
  type Platform,
  parsePlatform,
  parseReference,
  type Reference,
} from "../oci/index.ts";
import { type AttributeKey, attributeTable, podInfoKeys } from "./attributes.ts";
import { podUidOf } from "./kubelet-target.ts";

/** What a volume is to show, as its attributes mean it; what they leave out is undefined or the contract's default. */
export interface VolumeSpec {
  readonly reference: Reference;
  readonly selection: Selection;
  readonly platform: Platform | undefined;
  readonly transport: "https" | "insecure" | "http";
  readonly concurrency: number | undefined;
  readonly policy: PullPolicy;
  /** How long the tree stays after its last volume; undefined: as long as there is room. */
  readonly keepMs: KeepMs;
}

/** Where a volume belongs, as kubelet tells it. */
export interface PodInfo {
  /** The pod's namespace; `_` for a call without pod info. */
  readonly namespace: string;
  /** The pod's name, for people; undefined where it is not told, or cannot be one. */
  readonly name: string | undefined;
  /** A PersistentVolume, whose writes nobody expects to be forgotten. */
  readonly persistent: boolean;
}

type Attributes = Readonly<Record<string, string>>;

const policies: ReadonlyMap<string, PullPolicy> = new Map([
  ["always", "Always"],
  ["ifnotpresent", "IfNotPresent"],
  ["never", "Never"],
]);
const dnsLabel = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** RFC 1123 subdomain: what Kubernetes allows as the name of a pod. */
const podName = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** Reads all attributes at once. Throws one "bad-input" that lists every problem. */
export function parseVolumeSpec(attributes: Attributes): VolumeSpec {
  const problems = unknownKeys(attributes);
  const attempt = <T>(read: () => T, otherwise: T): T => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof DriverError)) throw error;
      problems.push(error.message);
      return otherwise;
    }
  };
  const text = (key: AttributeKey) => attributes[key]?.trim() ?? "";
  const flag = (key: AttributeKey) => attempt(() => parseFlag(key, attributes[key]), false);
  const plainHttp = flag("oras.options.plainhttp");
  const insecure = flag("oras.options.insecure");
  const reference = attempt(() => requiredReference(text("oras.artifact.reference")), undefined);
  const spec = {
    selection: {
      mediaTypes: list(text("oras.artifact.layers.mediatype")),
      titles: list(text("oras.artifact.layers.title")),
    },
    platform: attempt(() => optional(text("oras.artifact.platform"), parsePlatform), undefined),
    transport: plainHttp ? ("http" as const) : insecure ? ("insecure" as const) : ("https" as const),
    concurrency: attempt(() => optional(text("oras.options.concurrency"), parseConcurrency), undefined),
    policy: attempt(
      () => parsePolicy(text("oras.options.pullpolicy"), flag("oras.options.pullalways")),
      "IfNotPresent",
    ),
    keepMs: attempt(() => parseCleanup(text("oras.options.cleanup")), undefined),
  };
  if (problems.length > 0 || reference === undefined) {
    throw new DriverError("bad-input", `volume attributes: ${[...new Set(problems)].join("; ")}`);
  }
  return { reference, ...spec };
}

/**
 * Reads what kubelet says about the pod. Throws "bad-input" for a namespace that cannot be one, and for the uid of
 * another pod than the target path's.
 */
export function parsePodInfo(attributes: Attributes, targetPath: string): PodInfo {
  const namespace = attributes[podInfoKeys.namespace] ?? "";
  if (namespace !== "" && !dnsLabel.test(namespace)) {
    throw new DriverError(
      "bad-input",
      `${podInfoKeys.namespace} ${JSON.stringify(namespace.slice(0, 80))} is no namespace's name`,
    );
  }
  const uid = attributes[podInfoKeys.uid] ?? "";
  const uidOfTarget = podUidOf(targetPath);
  // A uid that is missing does not agree either: who makes pod info up knows a namespace, but no uid beforehand.
  const given = uid !== "" || namespace !== "";
  if (given && uidOfTarget !== undefined && uid !== uidOfTarget) {
    throw new DriverError(
      "bad-input",
      `${podInfoKeys.uid} ${JSON.stringify(uid.slice(0, 80))} is not the pod of the target ${targetPath}`,
    );
  }
  const name = attributes[podInfoKeys.name] ?? "";
  return {
    namespace: namespace || "_",
    name: podName.test(name) ? name : undefined,
    persistent: attributes[podInfoKeys.ephemeral] === "false",
  };
}

/**
 * What two requests for one volume must have in common, as text: the meaning of the attributes and whether it is
 * read-only. How many blobs are fetched at once does not count.
 */
export function specIdentity(spec: VolumeSpec, readOnly: boolean): string {
  const { reference, selection, platform, transport, policy, keepMs } = spec;
  const sorted = (texts: readonly string[]) => [...new Set(texts)].sort();
  const { mediaTypes, titles } = selection;
  // The digest decides over a tag beside it, and arm64 has one variant that is meant by default.
  const decided = reference.digest === undefined ? reference : { ...reference, tag: undefined };
  const variant = platform?.variant ?? (platform?.architecture === "arm64" ? "v8" : undefined);
  return JSON.stringify({
    reference: formatReference(decided),
    mediaTypes: sorted(mediaTypes),
    titles: sorted(titles),
    platform: platform === undefined ? null : formatPlatform({ ...platform, variant }),
    transport,
    policy,
    readOnly,
    // Left out where it is the default: so it is in what older drivers wrote.
    keepMs,
  });
}

function unknownKeys(attributes: Attributes): string[] {
  const known = Object.keys(attributeTable);
  const unknown = Object.keys(attributes).filter((key) => key.startsWith("oras.") && !known.includes(key));
  return unknown.map((key) => {
    const near = nearestName(key, known);
    return `there is no ${JSON.stringify(key.slice(0, 100))}${near === undefined ? "" : `, is ${near} meant?`}`;
  });
}

function requiredReference(text: string): Reference {
  if (text === "") throw new DriverError("bad-input", "oras.artifact.reference is missing");
  return parseReference(text);
}

function optional<T>(text: string, parse: (text: string) => T): T | undefined {
  return text === "" ? undefined : parse(text);
}

function list(text: string): readonly string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** Go's strconv.ParseBool. */
function parseFlag(key: AttributeKey, text: string | undefined): boolean {
  if (text === undefined) return false;
  const value = parseBool(text);
  if (value !== undefined) return value;
  throw new DriverError("bad-input", `${key} is ${JSON.stringify(text.slice(0, 40))}, it must be "true" or "false"`);
}

function parseConcurrency(text: string): number {
  const count = Number(text);
  if (/^[0-9]+$/.test(text) && count >= 1 && count <= 64) return count;
  throw new DriverError(
    "bad-input",
    `oras.options.concurrency is ${JSON.stringify(text.slice(0, 40))}, it must be 1 to 64`,
  );
}

function parseCleanup(text: string): KeepMs {
  if (text === "" || text === "retain") return undefined;
  if (text === "delete") return 0;
  const keepMs = parseGoDuration(text);
  if (keepMs !== undefined && keepMs >= 0 && Number.isFinite(keepMs)) return keepMs;
  const shown = JSON.stringify(text.slice(0, 40));
  throw new DriverError(
    "bad-input",
    `oras.options.cleanup is ${shown}, it must be retain, delete or a duration as 30m`,
  );
}

function parsePolicy(text: string, always: boolean): PullPolicy {
  const policy = text === "" ? undefined : policies.get(text.toLowerCase());
  if (text !== "" && policy === undefined) {
    const shown = JSON.stringify(text.slice(0, 40));
    throw new DriverError("bad-input", `oras.options.pullpolicy is ${shown}, it must be Always, IfNotPresent or Never`);
  }
  if (always && policy !== undefined && policy !== "Always") {
    throw new DriverError("bad-input", `oras.options.pullalways contradicts oras.options.pullpolicy ${policy}`);
  }
  return always ? "Always" : (policy ?? "IfNotPresent");
}
