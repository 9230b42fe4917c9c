import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { artifact, createCertificates, DockerRegistry, fileLayer, push } from "../test/registry/index.ts";

/** An artifact in a registry of its own, and how it is pulled. */
export interface PullCase extends AsyncDisposable {
  readonly reference: string;
  /** Flags that mean the same to both commands. */
  readonly flags: readonly string[];
}

/** Makes a case in a scratch folder. */
export type CaseMaker = (scratch: string) => Promise<PullCase>;

const GIB = 2 ** 30;
const PIECE_BYTES = 2 ** 24;
const THROTTLED_BYTES_PER_SECOND = 50_000_000;
const SMALL_FILES = 2_000;
const SMALL_BYTES = 4096;
const TREE_FILES = 20_000;
const TREE_FILES_A_FOLDER = 2;
const TREE_BYTES = 600e6;

/** All cases of the table, by name. */
export const pullCases: Readonly<Record<string, CaseMaker>> = {
  "1 GiB blob, http": (scratch) => fromRegistry(scratch, [oneGibibyte(scratch)]),
  "1 GiB blob, TLS": (scratch) => fromTlsRegistry(scratch, [oneGibibyte(scratch)]),
  "1 GiB blob, 50 MB/s a connection": (scratch) => throttled(scratch, [oneGibibyte(scratch)]),
  "folder as tar.gz, 20,000 files": (scratch) => fromRegistry(scratch, [folderOfFiles(scratch)]),
  "2,000 blobs of 4 KiB, concurrency 16": smallBlobs,
};

async function fromRegistry(scratch: string, names: readonly string[]): Promise<PullCase> {
  const registry = await DockerRegistry.start();
  const flags = ["--plain-http"];
  const reference = `${registry.host}/bench/thing:v1`;
  orasPush(scratch, reference, flags, names);
  return { reference, flags, [Symbol.asyncDispose]: () => registry.close() };
}

async function fromTlsRegistry(scratch: string, names: readonly string[]): Promise<PullCase> {
  const tls = await createCertificates();
  const registry = await DockerRegistry.start({ tls });
  const caFile = join(scratch, "ca.pem");
  writeFileSync(caFile, tls.ca);
  const flags = [`--ca-file=${caFile}`];
  const reference = `${registry.host}/bench/thing:v1`;
  orasPush(scratch, reference, flags, names);
  return { reference, flags, [Symbol.asyncDispose]: () => registry.close() };
}

async function throttled(scratch: string, names: readonly string[]): Promise<PullCase> {
  const made = await fromRegistry(scratch, names);
  const port = /:(\d+)\//.exec(made.reference)?.[1] ?? "";
  const proxy = spawn(
    process.execPath,
    [join(import.meta.dirname, "throttle-proxy.ts"), port, String(THROTTLED_BYTES_PER_SECOND)],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const [line] = await once(proxy.stdout, "data");
  return {
    reference: made.reference.replace(`:${port}/`, `:${String(line).trim()}/`),
    flags: made.flags,
    async [Symbol.asyncDispose]() {
      await end(proxy);
      await made[Symbol.asyncDispose]();
    },
  };
}

async function end(child: ChildProcess): Promise<void> {
  const closed = once(child, "close");
  child.kill("SIGKILL");
  await closed;
}

function orasPush(scratch: string, reference: string, flags: readonly string[], names: readonly string[]): void {
  execFileSync("oras", ["push", ...flags, "--no-tty", reference, ...names], { cwd: scratch, stdio: "ignore" });
}

function oneGibibyte(scratch: string): string {
  writeNoise(join(scratch, "blob.bin"), GIB);
  return "blob.bin";
}

/** Writes a file of whole pieces of 16 MiB, no two alike: nothing on the way can make them less. */
export function writeNoise(path: string, bytes: number): void {
  const file = openSync(path, "w");
  const piece = randomBytes(PIECE_BYTES);
  for (let written = 0; written < bytes; written += piece.length) {
    piece.writeBigUInt64LE(BigInt(written));
    writeSync(file, piece);
  }
  closeSync(file);
}

/** Pushed blob by blob: `oras push` of so many files may never end. */
async function smallBlobs(): Promise<PullCase> {
  const registry = await DockerRegistry.start();
  const layers = Array.from({ length: SMALL_FILES }, (_, i) =>
    fileLayer(`file-${String(i).padStart(4, "0")}`, randomBytes(SMALL_BYTES)),
  );
  await push(registry, "bench/thing", artifact(layers), "v1");
  const flags = ["--plain-http", "--concurrency=16"];
  return { reference: `${registry.host}/bench/thing:v1`, flags, [Symbol.asyncDispose]: () => registry.close() };
}

/** Files of many sizes in many folders, about a third as large when packed. */
function folderOfFiles(scratch: string): string {
  for (let i = 0; i < TREE_FILES; i++) {
    const number = Math.floor(i / TREE_FILES_A_FOLDER);
    const folder = join(scratch, "tree", `d${Math.floor(number / 100)}`, `e${number % 100}`);
    mkdirSync(folder, { recursive: true });
    const size = Math.round((TREE_BYTES / TREE_FILES) * (0.2 + ((i * 7919) % 1600) / 1000));
    const noise = randomBytes(Math.ceil(size / 3));
    writeFileSync(join(folder, `f${i}`), Buffer.concat([noise, Buffer.alloc(size - noise.length, `${i} text `)]));
  }
  return "tree";
}
