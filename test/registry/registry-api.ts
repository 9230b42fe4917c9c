import { type RegistryContent, sha256Of } from "./registry-content.ts";
import type { Answer } from "./registry-delivery.ts";

/** What one request of the distribution API is about. */
export type Route =
  | { readonly kind: "base" }
  | { readonly kind: "blob"; readonly repository: string; readonly digest: string }
  | { readonly kind: "upload"; readonly repository: string; readonly id: string }
  | { readonly kind: "manifest"; readonly repository: string; readonly reference: string }
  | { readonly kind: "unknown" };

/** A request with its body, as the API needs it. */
export interface ApiRequest {
  readonly method: string;
  readonly query: URLSearchParams;
  readonly contentType: string;
  readonly range: string | undefined;
  readonly body: Buffer;
}

/** Reads a path of the API. */
export function routeFromPath(path: string): Route {
  if (path === "/v2/" || path === "/v2") return { kind: "base" };
  const [, repository = "", kind = "", last = ""] =
    /^\/v2\/(.+?)\/(blobs\/uploads|blobs|manifests)\/([^/]*)$/.exec(path) ?? [];
  if (kind === "blobs/uploads") return { kind: "upload", repository, id: last };
  if (kind === "blobs") return { kind: "blob", repository, digest: last };
  if (kind === "manifests") return { kind: "manifest", repository, reference: last };
  return { kind: "unknown" };
}

/** Answers what is allowed: the part of the distribution API that `oras push`, `oras pull` and the driver use. */
export function answerApi(content: RegistryContent, route: Route, request: ApiRequest, ranges: boolean): Answer {
  const read = request.method === "GET" || request.method === "HEAD";
  if (route.kind === "base") return json(200, {});
  if (route.kind === "blob" && read) return answerBlob(content, route, ranges ? request.range : undefined);
  if (route.kind === "manifest" && read) {
    const found = content.manifest(route.repository, route.reference);
    if (found === undefined) return errorAnswer(404, "MANIFEST_UNKNOWN", `no manifest ${route.reference}`);
    const headers = { "content-type": found.mediaType, "docker-content-digest": found.digest };
    return { status: 200, headers, body: found.bytes };
  }
  if (route.kind === "manifest" && request.method === "PUT") {
    const manifest = { mediaType: request.contentType, bytes: request.body };
    const digest = content.putManifest(route.repository, route.reference, manifest);
    const location = `/v2/${route.repository}/manifests/${digest}`;
    return { status: 201, headers: { location, "docker-content-digest": digest }, body: Buffer.alloc(0) };
  }
  if (route.kind === "upload") return answerUpload(content, route, request);
  return errorAnswer(404, "UNSUPPORTED", `no ${request.method} here`);
}

/** An answer in the registry's own error form. */
export function errorAnswer(status: number, code: string, message: string, headers = {}): Answer {
  const answer = json(status, { errors: [{ code, message }] });
  return { ...answer, headers: { ...answer.headers, ...headers } };
}

/** A JSON answer. */
export function json(status: number, value: unknown): Answer {
  return { status, headers: { "content-type": "application/json" }, body: Buffer.from(JSON.stringify(value)) };
}

function answerBlob(
  content: RegistryContent,
  route: { readonly repository: string; readonly digest: string },
  range: string | undefined,
): Answer {
  const bytes = content.blob(route.repository, route.digest);
  if (bytes === undefined) return errorAnswer(404, "BLOB_UNKNOWN", `no blob ${route.digest}`);
  const headers = { "content-type": "application/octet-stream", "docker-content-digest": route.digest };
  const [, first = "", last = ""] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
  if (first === "") return { status: 200, headers, body: bytes };
  const start = Number(first);
  const end = Math.min(last === "" ? bytes.length - 1 : Number(last), bytes.length - 1);
  if (start > end) return errorAnswer(416, "RANGE_INVALID", `${bytes.length} bytes are all there is`);
  const contentRange = `bytes ${start}-${end}/${bytes.length}`;
  return { status: 206, headers: { ...headers, "content-range": contentRange }, body: bytes.subarray(start, end + 1) };
}

function answerUpload(
  content: RegistryContent,
  route: { readonly repository: string; readonly id: string },
  request: ApiRequest,
): Answer {
  const digest = request.query.get("digest");
  const id = request.method === "POST" ? content.beginUpload() : route.id;
  if (!content.appendUpload(id, request.body)) return errorAnswer(404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
  if (digest === null) {
    const location = `/v2/${route.repository}/blobs/uploads/${id}`;
    return { status: 202, headers: { location, "docker-upload-uuid": id }, body: Buffer.alloc(0) };
  }
  const bytes = content.takeUpload(id);
  if (sha256Of(bytes) !== digest) return errorAnswer(400, "DIGEST_INVALID", `these bytes are not ${digest}`);
  content.putBlob(route.repository, digest, bytes);
  const location = `/v2/${route.repository}/blobs/${digest}`;
  return { status: 201, headers: { location, "docker-content-digest": digest }, body: Buffer.alloc(0) };
}
