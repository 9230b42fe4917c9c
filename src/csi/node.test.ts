import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  VolumeCapability_AccessMode_Mode as Mode,
  type NodePublishVolumeRequest,
  NodePublishVolumeRequestSchema,
  NodeServiceCapability_RPC_Type,
  StorageHealthErrorType,
  VolumeCapabilitySchema,
  VolumeHealthErrorType,
  VolumeUsage_Unit,
} from "../../gen/csi/v1/csi_pb.js";
import { useCsiServer } from "../../test/csi/csi-server.ts";
import { DriverError, systemClock } from "../base/index.ts";

function validPublish(): NodePublishVolumeRequest {
  return create(NodePublishVolumeRequestSchema, {
    volumeId: "csi-1",
    targetPath: "/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/v/mount",
    volumeCapability: {
      accessType: { case: "mount", value: { mountFlags: ["noexec"], volumeMountGroup: "2000" } },
      accessMode: { mode: Mode.SINGLE_NODE_WRITER },
    },
    volumeContext: { "oras.artifact.reference": "ghcr.io/a/b:1" },
    secrets: { ".dockerconfigjson": "{}" },
  });
}

function failsWith(code: Code, says: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof ConnectError && error.code === code && says.test(error.rawMessage);
}

const rejected: { name: string; mutate: (r: NodePublishVolumeRequest) => void; says: RegExp }[] = [
  { name: "no volume id", mutate: (r) => (r.volumeId = ""), says: /the volume id is missing/ },
  { name: "no target path", mutate: (r) => (r.targetPath = ""), says: /the target path is missing$/ },
  { name: "a relative target path", mutate: (r) => (r.targetPath = "a/b"), says: /must be absolute/ },
  { name: "a NUL in the target path", mutate: (r) => (r.targetPath = "/a\0b"), says: /NUL/ },
  { name: "an overlong target path", mutate: (r) => (r.targetPath = `/${"é".repeat(2048)}`), says: /4095 bytes/ },
  { name: "no capability", mutate: (r) => delete r.volumeCapability, says: /the volume capability is missing$/ },
  {
    name: "no access type",
    mutate: (r) => (r.volumeCapability = create(VolumeCapabilitySchema)),
    says: /no access type/,
  },
  {
    name: "a block volume",
    mutate: (r) => (r.volumeCapability!.accessType = create(VolumeCapabilitySchema, block).accessType),
    says: /block volumes are not supported/,
  },
  {
    name: "a mode of the future",
    mutate: (r) => Object.assign(r.volumeCapability!.accessMode!, { mode: 99 }),
    says: /access mode/,
  },
];
const block = { accessType: { case: "block" as const, value: {} } };

for (const row of rejected) {
  test(`publish refuses ${row.name}`, async () => {
    await using csi = await useCsiServer();
    const request = validPublish();
    row.mutate(request);
    await assert.rejects(csi.clients.node.nodePublishVolume(request), failsWith(Code.InvalidArgument, row.says));
    assert.equal(csi.volumes.published.length, 0);
  });
}

test("all problems of a request are told together", async () => {
  await using csi = await useCsiServer();
  await assert.rejects(
    csi.clients.node.nodePublishVolume({}),
    failsWith(Code.InvalidArgument, /^the volume id is missing; .*target path is missing; .*capability is missing$/),
  );
});

test("publish hands on what the request says", async () => {
  await using csi = await useCsiServer();
  await csi.clients.node.nodePublishVolume(validPublish());
  const [asked] = csi.volumes.published;
  assert.ok(asked);
  const { deadlineMs, signal, ...rest } = asked;
  assert.ok(deadlineMs > 0 && signal instanceof AbortSignal);
  assert.deepEqual(rest, {
    fieldProblems: [],
    volumeId: "csi-1",
    targetPath: "/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/v/mount",
    readOnly: false,
    mountFlags: ["noexec"],
    mountGroup: "2000",
    volumeContext: { "oras.artifact.reference": "ghcr.io/a/b:1" },
    secrets: { ".dockerconfigjson": "{}" },
    timeoutMs: 120_000,
  });
});

const access: { name: string; mutate: (r: NodePublishVolumeRequest) => void; readOnly: boolean }[] = [
  { name: "the readonly field", mutate: (r) => (r.readonly = true), readOnly: true },
  {
    name: "SINGLE_NODE_READER_ONLY",
    mutate: (r) => (r.volumeCapability!.accessMode!.mode = Mode.SINGLE_NODE_READER_ONLY),
    readOnly: true,
  },
  {
    name: "MULTI_NODE_READER_ONLY",
    mutate: (r) => (r.volumeCapability!.accessMode!.mode = Mode.MULTI_NODE_READER_ONLY),
    readOnly: true,
  },
  {
    name: "MULTI_NODE_MULTI_WRITER",
    mutate: (r) => (r.volumeCapability!.accessMode!.mode = Mode.MULTI_NODE_MULTI_WRITER),
    readOnly: false,
  },
  { name: "no access mode", mutate: (r) => delete r.volumeCapability!.accessMode, readOnly: false },
];
for (const row of access) {
  test(`${row.name} makes a volume ${row.readOnly ? "read-only" : "writable"}`, async () => {
    await using csi = await useCsiServer();
    const request = validPublish();
    row.mutate(request);
    await csi.clients.node.nodePublishVolume(request);
    assert.equal(csi.volumes.published[0]?.readOnly, row.readOnly);
  });
}

test("the caller's time becomes the deadline", async () => {
  await using csi = await useCsiServer();
  const before = systemClock.monotonicMs();
  await csi.clients.node.nodePublishVolume(validPublish(), { timeoutMs: 50_000 });
  const asked = csi.volumes.published[0];
  assert.ok(asked && asked.timeoutMs > 40_000 && asked.timeoutMs <= 50_000);
  assert.ok(
    asked.deadlineMs >= before + asked.timeoutMs && asked.deadlineMs <= systemClock.monotonicMs() + asked.timeoutMs,
  );
});

test("unpublish is handed on, and needs an id and a path", async () => {
  await using csi = await useCsiServer();
  const { node } = csi.clients;
  await node.nodeUnpublishVolume({ volumeId: "v", targetPath: "/t" });
  assert.deepEqual(csi.volumes.unpublished, [{ volumeId: "v", targetPath: "/t" }]);
  await assert.rejects(node.nodeUnpublishVolume({ targetPath: "/t" }), failsWith(Code.InvalidArgument, /volume id/));
  await assert.rejects(node.nodeUnpublishVolume({ volumeId: "v" }), failsWith(Code.InvalidArgument, /target path/));
});

test("stats tell bytes and inodes in whole numbers", async () => {
  await using csi = await useCsiServer();
  csi.volumes.onStats = () =>
    Promise.resolve({
      bytes: { used: 10, total: 2 ** 40, available: 3.7 },
      inodes: { used: 1, total: 2, available: -1 },
    });
  const { usage } = await csi.clients.node.nodeGetVolumeStats({ volumeId: "v", volumePath: "/t" });
  assert.deepEqual(
    usage.map((u) => [u.unit, u.used, u.total, u.available]),
    [
      [VolumeUsage_Unit.BYTES, 10n, 2n ** 40n, 3n],
      [VolumeUsage_Unit.INODES, 1n, 2n, 0n],
    ],
  );
});

test("stats of an unknown volume are NOT_FOUND, also at a relative path; without id or path INVALID_ARGUMENT", async () => {
  await using csi = await useCsiServer();
  const { node } = csi.clients;
  const asked = { volumeId: "v", volumePath: "some/path" };
  await assert.rejects(node.nodeGetVolumeStats(asked), failsWith(Code.NotFound, /no volume v at some\/path/));
  await assert.rejects(node.nodeGetVolumeStats({ volumeId: "v" }), failsWith(Code.InvalidArgument, /path/));
  await assert.rejects(node.nodeGetVolumeStats({ volumePath: "/t" }), failsWith(Code.InvalidArgument, /id/));
});

test("health lists what is wrong within the limits of a pod's status", async () => {
  await using csi = await useCsiServer();
  csi.volumes.healthEntries = [
    { status: "data-loss", reason: "WrongBytes", message: "é".repeat(1000) },
    { status: "inaccessible", reason: "MountGone", message: "nothing is mounted" },
  ];
  const { volumeHealth } = await csi.clients.node.nodeGetVolumeHealth({ volumeId: "v" });
  assert.equal(volumeHealth?.volumeId, "v");
  const [loss, gone] = volumeHealth?.healthStatuses ?? [];
  assert.equal(loss?.status, VolumeHealthErrorType.DATA_LOSS);
  assert.ok(loss && Buffer.byteLength(loss.message) <= 1024);
  assert.equal(gone?.status, VolumeHealthErrorType.INACCESSIBLE);
  assert.equal(gone?.reason, "MountGone");
  assert.deepEqual(csi.volumes.healthAsked, [{ volumeId: "v", volumePath: undefined }]);
});

test("health of a healthy volume is an empty list; an id is needed", async () => {
  await using csi = await useCsiServer();
  const { node } = csi.clients;
  const { volumeHealth } = await node.nodeGetVolumeHealth({ volumeId: "v", volumePublishPath: "/t" });
  assert.deepEqual(volumeHealth?.healthStatuses, []);
  assert.equal(csi.volumes.healthAsked[0]?.volumePath, "/t");
  await assert.rejects(node.nodeGetVolumeHealth({}), failsWith(Code.InvalidArgument, /volume id/));
});

test("the storage's health is told within the same limits, and is an empty list when it is well", async () => {
  await using csi = await useCsiServer();
  const { node } = csi.clients;
  assert.deepEqual((await node.nodeGetStorageHealth({})).backendHealth, []);
  csi.volumes.storageEntries = [
    { status: "degraded", reason: "DiskFull", message: "no room" },
    { status: "unreachable", reason: "R".repeat(300), message: "é".repeat(1000) },
  ];
  const { backendHealth } = await node.nodeGetStorageHealth({ secrets: { password: "hunter2" } });
  const [degraded, unreachable] = backendHealth;
  assert.deepEqual(
    [degraded?.status, degraded?.reason, degraded?.message, degraded?.volumeCapability],
    [StorageHealthErrorType.STORAGE_DEGRADED, "DiskFull", "no room", undefined],
  );
  assert.equal(unreachable?.status, StorageHealthErrorType.STORAGE_UNREACHABLE);
  assert.ok(unreachable.reason.length <= 256 && Buffer.byteLength(unreachable.message) <= 1024);
  assert.ok(!JSON.stringify(csi.logged).includes("hunter2"));
});

test("capabilities and node info say what is served, and the rest is UNIMPLEMENTED", async () => {
  await using csi = await useCsiServer();
  const { node } = csi.clients;
  const { capabilities } = await node.nodeGetCapabilities({});
  const { GET_VOLUME_STATS, GET_VOLUME_HEALTH, GET_STORAGE_HEALTH, VOLUME_MOUNT_GROUP } =
    NodeServiceCapability_RPC_Type;
  assert.deepEqual(
    capabilities.map((c) => c.type.value?.type),
    [GET_VOLUME_STATS, GET_VOLUME_HEALTH, GET_STORAGE_HEALTH, VOLUME_MOUNT_GROUP],
  );
  const info = await node.nodeGetInfo({});
  assert.deepEqual([info.nodeId, info.maxVolumesPerNode, info.accessibleTopology], ["node-1", 0n, undefined]);
  const calls = [() => node.nodeStageVolume({}), () => node.nodeUnstageVolume({}), () => node.nodeExpandVolume({})];
  for (const call of calls) await assert.rejects(call(), failsWith(Code.Unimplemented, /not implemented/));
});

test("a failed publish carries the code and message of its error", async () => {
  await using csi = await useCsiServer();
  csi.volumes.onPublish = () => Promise.reject(new DriverError("no-space", "cannot pull a/b:1: the disk is full"));
  await assert.rejects(
    csi.clients.node.nodePublishVolume(validPublish()),
    failsWith(Code.ResourceExhausted, /^cannot pull a\/b:1: the disk is full$/),
  );
});
