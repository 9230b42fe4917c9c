import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import {
  createGrpcJsClient,
  CsiError,
  Driver,
  Kubelet,
  type KubeletVolume,
  mountsBelow,
} from "../../test/driver/index.ts";
import {
  artifact,
  type BuiltLayer,
  EmbeddedRegistry,
  fileLayer,
  folderLayer,
  push,
  sha256Of,
  TITLE,
} from "../../test/registry/index.ts";
import { formatBytes, formatMs, type Printer } from "./printer.ts";

const MODEL_BYTES = 24_000_000;
const SLOW_BYTES = 20_000_000;
/** The slow artifact comes in 4 s; kubelet's patience in that scene is 2.5 s, in place of two minutes. */
const SLOW_BYTES_PER_SECOND = 5_000_000;
const SHORT_PATIENCE_MS = 2500;

/** The people and things of the story. */
interface Cast {
  readonly printer: Printer;
  readonly stage: string;
  readonly registry: EmbeddedRegistry;
  readonly layers: readonly BuiltLayer[];
  readonly driver: Driver;
  readonly kubelet: Kubelet;
}

/** Plays the whole demo in the folder `stage`, and fails loudly where the driver does not do what the story tells. */
export async function playStory(printer: Printer, stage: string, signal: AbortSignal): Promise<void> {
  await using registry = await EmbeddedRegistry.start();
  const layers = await openRegistry(printer, registry);
  await using driver = await startDriver(printer, stage);
  signal.throwIfAborted();
  signal.addEventListener("abort", () => void driver.stop("SIGKILL"), { once: true });
  const kubelet = new Kubelet(join(stage, "kubelet"), () => createGrpcJsClient(driver.socketPath));
  const cast: Cast = { printer, stage, registry, layers, driver, kubelet };
  try {
    const first = await firstPod(cast);
    const second = await secondPod(cast, first);
    refuseWriting(cast, second);
    await impatientKubelet(cast);
    await sayGoodbye(cast, [first, second]);
  } catch (reason) {
    if (!signal.aborted) printer.detail(`the driver's last words:\n${driver.output.slice(-4000)}`);
    throw reason;
  }
}

async function openRegistry(printer: Printer, registry: EmbeddedRegistry): Promise<BuiltLayer[]> {
  printer.scene("A registry with an artifact");
  const layers = [
    fileLayer("model.bin", randomBytes(MODEL_BYTES), "application/vnd.demo.weights"),
    fileLayer("README.md", "A haiku model.\nIt knows five, seven and five,\nand nothing beyond.\n", "text/markdown"),
    await folderLayer("prompts", {
      "autumn.txt": "leaves, and a mailbox\n",
      "winter/night.txt": "snow on the server\n",
    }),
  ];
  await push(registry, "demo/haiku", artifact(layers, { artifactType: "application/vnd.demo.model" }), "v1");
  printer.line(`a small OCI registry listens on ${registry.host}; pushed to it, as oras push does: demo/haiku:v1`);
  for (const { annotations, bytes, mediaType } of layers) {
    printer.detail(
      `  ${(annotations[TITLE] ?? "").concat(mediaType.endsWith("gzip") ? "/" : "").padEnd(10)} ${formatBytes(bytes.length).padStart(9)}  ${mediaType}`,
    );
  }
  return layers;
}

async function startDriver(printer: Printer, stage: string): Promise<Driver> {
  printer.scene("The driver: one executable");
  const started = performance.now();
  const driver = await Driver.start({
    flavour: "executable",
    socketPath: join(stage, "csi.sock"),
    dataDir: join(stage, "data"),
  });
  printer.line("dist/oras-csi serve --csi-endpoint=unix://<stage>/csi.sock --data-dir=<stage>/data");
  using client = createGrpcJsClient(driver.socketPath);
  const { name, vendorVersion } = await client.pluginInfo();
  printer.good(`${name} ${vendorVersion} answers Probe ${formatMs(performance.now() - started)} after it was started`);
  return driver;
}

async function firstPod(cast: Cast): Promise<KubeletVolume> {
  const { printer, registry, layers } = cast;
  printer.scene("A first pod wants the artifact");
  const volume = newVolume(cast, "demo/haiku:v1");
  const told = await timedPublish(cast, volume);
  printer.good(`NodePublishVolume: OK after ${told.duration}; ${told.traffic}`);
  for (const path of filesBelow(volume.targetPath)) {
    printer.detail(`  ${path.padEnd(24)} ${formatBytes(statSync(join(volume.targetPath, path)).size).padStart(9)}`);
  }
  printer.line("README.md reads:");
  for (const row of read(volume, "README.md").trimEnd().split("\n")) printer.quote(row);
  const model = readFileSync(join(volume.targetPath, "model.bin"));
  expect(sha256Of(model) === layers[0]?.digest, "model.bin has other bytes than were pushed");
  expect(read(volume, "prompts/winter/night.txt") === "snow on the server\n", "the folder is not as it was pushed");
  printer.good(
    `model.bin is what was pushed: sha256 ${createHash("sha256").update(model).digest("hex").slice(0, 16)}…`,
  );
  expect(registry.log.blobGets().length === layers.length, "not every layer was fetched exactly once");
  return volume;
}

async function secondPod(cast: Cast, first: KubeletVolume): Promise<KubeletVolume> {
  const { printer, registry } = cast;
  printer.scene("A second pod wants it, too");
  const volume = newVolume(cast, "demo/haiku:v1");
  const told = await timedPublish(cast, volume);
  expect(registry.log.blobGets().length === 0, "the second publish fetched blobs");
  printer.good(`NodePublishVolume: OK after ${told.duration}; ${told.traffic}`);
  const inode = ({ targetPath }: KubeletVolume) => statSync(join(targetPath, "model.bin")).ino;
  expect(inode(first) === inode(volume), "the two pods have copies of their own");
  printer.good(`both pods see the same file (inode ${inode(volume)}): its bytes are on the node once`);
  return volume;
}

function refuseWriting({ printer }: Cast, volume: KubeletVolume): void {
  printer.scene("A pod tries to write");
  let answer = "written";
  try {
    writeFileSync(join(volume.targetPath, "README.md"), "my own words");
  } catch (reason) {
    answer = (reason as NodeJS.ErrnoException).code ?? String(reason);
  }
  expect(answer === "EROFS", `writing into a read-only volume was answered ${answer}`);
  printer.good("refused: EROFS, read-only file system");
  printer.detail(`mounted ${mountsBelow(volume.targetPath)[0]?.options.join(",")}`);
}

async function impatientKubelet(cast: Cast): Promise<void> {
  const { printer, stage } = cast;
  printer.scene("A pull that takes longer than kubelet waits");
  await using slow = await EmbeddedRegistry.start({ bytesPerSecond: SLOW_BYTES_PER_SECOND });
  await push(slow, "demo/large", artifact([fileLayer("large.bin", randomBytes(SLOW_BYTES))]), "v1");
  slow.log.clear();
  const volume = newVolume({ ...cast, registry: slow }, "demo/large:v1");
  let answer = "OK";
  try {
    await volume.publish({ timeoutMs: SHORT_PATIENCE_MS });
  } catch (reason) {
    if (!(reason instanceof CsiError) || reason.code !== "ABORTED") throw reason;
    answer = reason.message;
  }
  expect(answer !== "OK", "the slow pull was not slow");
  printer.line("kubelet's patience is nearly over; kubectl describe pod would now show:");
  printer.quote(answer.replaceAll(stage, "<stage>"));
  printer.line("the pull goes on; kubelet calls again and joins it:");
  await volume.publish();
  expect(slow.log.blobGets().filter(({ status }) => status === 200).length === 1, "the slow blob was fetched twice");
  printer.good("NodePublishVolume: OK, and the registry sent every byte once");
  await volume.unpublish();
}

async function sayGoodbye(cast: Cast, volumes: readonly KubeletVolume[]): Promise<void> {
  const { printer, stage, driver } = cast;
  printer.scene("The pods go");
  for (const volume of volumes) await volume.unpublish();
  const left = mountsBelow(stage).filter(({ target }) => target !== stage);
  expect(left.length === 0, `mounts are left: ${left.map(({ target }) => target).join(" ")}`);
  printer.good("NodeUnpublishVolume: OK, no mount and no folder is left; the cache stays for the next pod");
  const { code } = await driver.stop("SIGTERM");
  expect(code === 0, `the driver ended with ${code}`);
  printer.good("SIGTERM: the driver ends with 0");
}

function newVolume({ kubelet, registry }: Cast, name: string): KubeletVolume {
  const reference = `${registry.host}/${name}`;
  return kubelet.volume({
    attributes: { "oras.artifact.reference": reference, "oras.options.plainhttp": "true" },
  });
}

async function timedPublish({ registry }: Cast, volume: KubeletVolume): Promise<{ duration: string; traffic: string }> {
  registry.log.clear();
  const started = performance.now();
  await volume.publish();
  const duration = formatMs(performance.now() - started);
  const { entries } = registry.log;
  const blobs = registry.log.blobGets();
  const sent = entries.reduce((sum, { bytesSent }) => sum + bytesSent, 0);
  const traffic =
    entries.length === 0
      ? "the registry was not asked for anything"
      : `the registry was asked for ${blobs.length} blobs and sent ${formatBytes(sent)}`;
  return { duration, traffic };
}

function filesBelow(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.map((entry) => relative(folder, join(entry.parentPath, entry.name))).sort();
}

function read({ targetPath }: KubeletVolume, path: string): string {
  return readFileSync(join(targetPath, path), "utf8");
}

function expect(condition: boolean, otherwise: string): void {
  if (!condition) throw new Error(`the demo went wrong: ${otherwise}`);
}
