import assert from "node:assert/strict";
import { test } from "node:test";
import { httpEndpoint } from "./http-address.ts";
import {
  boolean,
  driverName,
  duration,
  integer,
  logLevel,
  nodeId,
  oneOf,
  type Parser,
  path,
  registryGlobs,
  selinuxLabel,
  size,
  unixEndpoint,
} from "./parsers.ts";

const longest = `/${"a".repeat(106)}`;

const tables: { name: string; parser: Parser<unknown>; good: [text: string, value: unknown][]; bad: string[] }[] = [
  {
    name: "boolean",
    parser: boolean(),
    good: [
      ...["1", "t", "T", "TRUE", "true", "True"].map((text): [string, boolean] => [text, true]),
      ...["0", "f", "F", "FALSE", "false", "False"].map((text): [string, boolean] => [text, false]),
    ],
    bad: ["", "yes", "no", "on", "tRUE", "2", "01", " true", "true\n"],
  },
  {
    name: "integer 1 to 64",
    parser: integer(1, 64),
    good: [
      ["1", 1],
      ["64", 64],
      ["007", 7],
    ],
    bad: ["", "0", "65", "-1", "+1", "1.0", "1e1", "0x10", "1_0", " 1", "1 ", "٣", "99999999999999999999"],
  },
  {
    name: "integer without an upper end",
    parser: integer(1),
    good: [["9007199254740991", Number.MAX_SAFE_INTEGER]],
    bad: ["9007199254740992", "0"],
  },
  {
    name: "size",
    parser: size(),
    good: [
      ["1", 1],
      ["10k", 10_000],
      ["1.5M", 1_500_000],
      ["20G", 20e9],
      ["2T", 2e12],
      ["1Ki", 1024],
      ["1.5Gi", 1_610_612_736],
      ["4Mi", 4_194_304],
      ["1Ti", 1_099_511_627_776],
    ],
    bad: ["", "0", "0G", "-1", "1K", "1g", "1GB", "1 G", "G", ".5G", "1.G", "1e9", "0x10", "99999999T"],
  },
  {
    name: "duration",
    parser: duration(),
    good: [
      ["30s", 30_000],
      ["1h30m", 5_400_000],
      ["0.5s", 500],
      ["168h", 604_800_000],
    ],
    bad: ["", "0", "0s", "-1s", "30", "7d", "1 h", "s"],
  },
  {
    name: "one of words",
    parser: oneOf(["json", "text"]),
    good: [
      ["json", "json"],
      ["text", "text"],
    ],
    bad: ["", "JSON", "constructor", "__proto__"],
  },
  {
    name: "HTTP endpoint",
    parser: httpEndpoint(),
    good: [
      ["off", "off"],
      ["127.0.0.1:19808", { host: "127.0.0.1", port: 19808 }],
      ["localhost:1", { host: "localhost", port: 1 }],
      ["node-1.example.org:65535", { host: "node-1.example.org", port: 65535 }],
      ["[::]:8080", { host: "::", port: 8080 }],
      ["[fd00::1]:80", { host: "fd00::1", port: 80 }],
      ["[127.0.0.1]:80", { host: "127.0.0.1", port: 80 }],
    ],
    bad: [
      ...["", "OFF", "on", "127.0.0.1", ":8080", "8080", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "a b:1"],
      ...[
        "::1:80",
        "[::1]",
        "[::1]80",
        "[::g]:80",
        "[127.0.0.400]:80",
        "[1.2]:80",
        "[node]:80",
        "1.2.3.400:80",
        "http://a:80",
        "a:80/",
        "a:8x",
      ],
    ],
  },
  {
    name: "log level",
    parser: logLevel(),
    good: [
      ["error", "error"],
      ["trace", "trace"],
      ["2", "error"],
      ["3", "warn"],
      ["4", "info"],
      ["5", "debug"],
      ["6", "trace"],
    ],
    bad: ["", "0", "1", "7", "silent", "fatal", "INFO", "04"],
  },
  {
    name: "path",
    parser: path(),
    good: [
      ["/var/lib/x y", "/var/lib/x y"],
      ["relative/ä", "relative/ä"],
    ],
    bad: ["", "/a\0b"],
  },
  {
    name: "unix endpoint",
    parser: unixEndpoint(),
    good: [
      ["unix:///csi/csi.sock", "/csi/csi.sock"],
      ["unix:/csi/csi.sock", "/csi/csi.sock"],
      ["/csi/csi.sock", "/csi/csi.sock"],
      ["unix:///with blank/%2f?x#y", "/with blank/%2f?x#y"],
      [longest, longest],
      [`unix://${longest}`, longest],
      [`unix:${longest}`, longest],
    ],
    bad: [
      ...["", "/", "unix://", "unix:///", "unix:", "csi.sock", "./csi.sock", "unix:csi.sock", "unix://csi.sock"],
      ...["unix://host/csi.sock", "tcp://127.0.0.1:1", "unix:unix:///a", "UNIX:///a", "/a/", "/a\0b", "@abstract"],
      ...[`${longest}a`, `unix://${longest}a`, `/${"ä".repeat(54)}`],
    ],
  },
  {
    name: "registry globs",
    parser: registryGlobs(),
    good: [
      ["ghcr.io/org/app", ["ghcr.io/org/app"]],
      ["GHCR.io/org/**", ["ghcr.io/org/**"]],
      ["a.io/*, b.io/* ", ["a.io/*", "b.io/*"]],
      ["**", ["**"]],
      ["**.example.org:5000/a?p", ["**.example.org:5000/a?p"]],
      ["[::1]:5000/app", ["[::1]:5000/app"]],
    ],
    bad: [
      ...["", ",", "a.io/*,", "ghcr.io", "*", "/org/app", "ghcr.io/", "ghcr.io//app", "https://ghcr.io/org"],
      ...["oras://ghcr.io/org/app", "ghcr.io/org/app:v1", "ghcr.io/org@sha256", "a.io/b c", "a.io/{b,c}", "a.io/b\nc"],
    ],
  },
  {
    name: "SELinux label",
    parser: selinuxLabel(),
    good: [
      ["system_u:object_r:container_file_t:s0", "system_u:object_r:container_file_t:s0"],
      ["u:r:t", "u:r:t"],
      ["u:r:t:s0-s0:c0.c1023", "u:r:t:s0-s0:c0.c1023"],
      ["u:r:t:s0:c1,c2", "u:r:t:s0:c1,c2"],
    ],
    bad: ["", "container_file_t", "u:r", "u:r:", ":r:t", "u:r:t:", "u:r:t :s0", "u:r:t:s0\n", "u:r:t\0"],
  },
  {
    name: "node id",
    parser: nodeId(),
    good: [
      ["n", "n"],
      ["node-1.example", "node-1.example"],
      ["a".repeat(192), "a".repeat(192)],
      ["ä".repeat(96), "ä".repeat(96)],
    ],
    bad: ["", " ", "a b", "a\t", "\na", "a\u00a0b", "a\0", "a".repeat(193), "ä".repeat(97)],
  },
  {
    name: "driver name",
    parser: driverName(),
    good: [
      ["csi.oras.land", "csi.oras.land"],
      ["a", "a"],
      ["9p.csi", "9p.csi"],
      ["A-b", "A-b"],
      ["a".repeat(63), "a".repeat(63)],
    ],
    bad: ["", "a".repeat(64), ".a", "a.", "-a", "a-", "a_b", "a/b", "a b", "ä", "a\n"],
  },
];

for (const { name, parser, good, bad } of tables) {
  test(`${name}: accepts`, () => {
    for (const [text, value] of good) assert.deepEqual([text, parser.parse(text)], [text, value]);
  });
  test(`${name}: refuses`, () => {
    for (const text of bad) assert.deepEqual([text, parser.parse(text)], [text, undefined]);
  });
}
