import { DriverError, parseBool, parseGoDuration } from "../base/index.ts";
import { type Platform, parsePlatform } from "../oci/index.ts";

/** Reads the text of one kind of value. */
export interface Parser<Value> {
  /** What `--help` shows for the value. */
  readonly placeholder: string;
  /** Completes the sentence "must be ..." for a text that is not allowed. */
  readonly allowed: string;
  /** A flag of this kind stands alone: it never takes the next word as its value (Go's rule for booleans). */
  readonly standsAlone: boolean;
  /** The value; undefined for a text that is not allowed. */
  parse(text: string): Value | undefined;
  /** What two texts of one source mean together, for options that may be given more than once. */
  add?(earlier: Value, later: Value): Value;
}

/** A boolean in exactly the spellings of Go's `strconv.ParseBool`. */
export function boolean(): Parser<boolean> {
  return {
    placeholder: "true|false",
    allowed: "true or false (or 1, 0, t, f, T, F, TRUE, FALSE, True, False)",
    standsAlone: true,
    parse: parseBool,
  };
}

/** A whole number in decimal digits, from `min` to `max` (both included; no `max`: as large as a number can be exact). */
export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): Parser<number> {
  const range = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `from ${min} to ${max}`;
  return {
    placeholder: "N",
    allowed: `a whole number, ${range}`,
    standsAlone: false,
    parse(text) {
      if (!/^[0-9]+$/.test(text)) return undefined;
      const value = Number(text);
      return value >= min && value <= max ? value : undefined;
    },
  };
}

const sizeUnits: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** A number of bytes, 1 or more, with or without a unit. */
export function size(): Parser<number> {
  return {
    placeholder: "SIZE",
    allowed: "a size in bytes or with k, M, G, T, Ki, Mi, Gi, Ti: 500M, 1.5Gi",
    standsAlone: false,
    parse(text) {
      const [, number, unit = ""] = /^(\d+(?:\.\d+)?)([kMGT]|[KMGT]i)?$/.exec(text) ?? [];
      const bytes = number === undefined ? 0 : Math.round(Number(number) * (sizeUnits[unit] ?? Number.NaN));
      return Number.isSafeInteger(bytes) && bytes >= 1 ? bytes : undefined;
    },
  };
}

/** A duration as Go writes it, longer than nothing; the value is in milliseconds. */
export function duration(): Parser<number> {
  return {
    placeholder: "DURATION",
    allowed: "a duration as 30s, 10m, 1h30m or 168h (h is the largest unit)",
    standsAlone: false,
    parse(text) {
      const ms = parseGoDuration(text);
      return ms !== undefined && ms > 0 && Number.isFinite(ms) ? ms : undefined;
    },
  };
}

/** One of a few words, spelled exactly so; `aliases` are further spellings of some of them. */
export function oneOf<Word extends string>(
  words: readonly Word[],
  aliases: Readonly<Record<string, Word>> = {},
): Parser<Word> {
  const meaning = new Map<string, Word>([...words.map((word) => [word, word] as const), ...Object.entries(aliases)]);
  return {
    placeholder: words.join("|"),
    allowed: [...meaning.keys()].join(", "),
    standsAlone: false,
    parse: (text) => meaning.get(text),
  };
}

/** The severities that `--log-level` knows; numbers are logrus', which the Go driver's manifests pass. */
export function logLevel(): Parser<"error" | "warn" | "info" | "debug" | "trace"> {
  const numbers = { "2": "error", "3": "warn", "4": "info", "5": "debug", "6": "trace" } as const;
  return oneOf(["error", "warn", "info", "debug", "trace"], numbers);
}

/** A path of the file system; a relative one is not resolved here. */
export function path(): Parser<string> {
  return {
    placeholder: "PATH",
    allowed: "a path",
    standsAlone: false,
    parse: (text) => (text === "" || text.includes("\0") ? undefined : text),
  };
}

/** A host with its port, then parts of a repository's name; stars and `?` anywhere. Any other glob matches nothing. */
const registryGlobForm = /^[a-z0-9._:[\]*?-]+(?:\/[a-z0-9._*?-]+)*$/;

/** Globs on `registry/repository` in lower case, comma-separated; what is given more than once adds up. */
export function registryGlobs(): Parser<readonly string[]> {
  const canMatch = (glob: string) => registryGlobForm.test(glob) && (glob.includes("/") || glob.includes("**"));
  return {
    placeholder: "GLOB",
    allowed: "globs on registry/repository, comma-separated: ghcr.io/org/*, ghcr.io/**, **.example.org:5000/app",
    standsAlone: false,
    parse(text) {
      const globs = text.split(",").map((glob) => glob.trim().toLowerCase());
      return globs.every(canMatch) ? globs : undefined;
    },
    add: (earlier, later) => [...earlier, ...later],
  };
}

/** What `sun_path` holds beside its closing NUL: the longest path of a unix socket. */
export const SOCKET_PATH_BYTES = 107;

/** A unix socket as `unix:///abs`, `unix:/abs` or `/abs`; the value is its absolute path. */
export function unixEndpoint(): Parser<string> {
  return {
    placeholder: "ENDPOINT",
    allowed: `unix:///PATH, unix:/PATH or /PATH: a unix socket, absolute, of ${SOCKET_PATH_BYTES} bytes at most`,
    standsAlone: false,
    parse(text) {
      const [, socketPath] = /^(?:unix:\/\/|unix:(?!\/\/))?(\/[^\0]*[^\0/])$/.exec(text) ?? [];
      if (socketPath === undefined || Buffer.byteLength(socketPath) > SOCKET_PATH_BYTES) return undefined;
      return socketPath;
    },
  };
}

/** An SELinux security context. */
export function selinuxLabel(): Parser<string> {
  return {
    placeholder: "LABEL",
    allowed: "an SELinux label as user:role:type or user:role:type:level",
    standsAlone: false,
    parse: (text) => (/^[\w.-]+:[\w.-]+:[\w.-]+(?::[\w.:,-]+)?$/.test(text) ? text : undefined),
  };
}

/** CSI's limit for what NodeGetInfo answers (wire contract, NodeGetInfoResponse). */
const NODE_ID_BYTES = 192;

/** The node's name as the cluster knows it. */
export function nodeId(): Parser<string> {
  return {
    placeholder: "NAME",
    allowed: `1 to ${NODE_ID_BYTES} bytes without blanks`,
    standsAlone: false,
    parse: (text) => (/^[^\s\p{Cc}]+$/u.test(text) && Buffer.byteLength(text) <= NODE_ID_BYTES ? text : undefined),
  };
}

/** A CSI driver name (wire contract, GetPluginInfoResponse). */
export function driverName(): Parser<string> {
  return {
    placeholder: "NAME",
    allowed: "1 to 63 letters, digits, dashes and dots, with a letter or digit first and last",
    standsAlone: false,
    parse: (text) => (/^[a-zA-Z0-9]([-.a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$/.test(text) ? text : undefined),
  };
}

/** A platform as an index names them, in Go's words. */
export function platform(): Parser<Platform> {
  return {
    placeholder: "OS/ARCH[/VARIANT]",
    allowed: "of the form os/arch[/variant]: linux/amd64, linux/arm/v7",
    standsAlone: false,
    parse(text) {
      try {
        return parsePlatform(text);
      } catch (error) {
        if (error instanceof DriverError) return undefined;
        throw error;
      }
    },
  };
}

/** Whoever logs in at a registry: a colon would end the name (RFC 7617). */
export function username(): Parser<string> {
  return {
    placeholder: "NAME",
    allowed: "a name without a colon",
    standsAlone: false,
    parse: (text) => (/^[^:\p{Cc}]+$/u.test(text) ? text : undefined),
  };
}

/** A namespace of Kubernetes (a DNS label, RFC 1123), or `*` for all of them. */
export function namespace(): Parser<string> {
  return {
    placeholder: "NAMESPACE",
    allowed: "a namespace's name, or * for all",
    standsAlone: false,
    parse: (text) => (text === "*" || /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(text) ? text : undefined),
  };
}
