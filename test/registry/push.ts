import { type IncomingHttpHeaders, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { BuiltManifest } from "./artifact-builder.ts";

/** A registry to push to. */
export interface PushTarget {
  /** `http://host:port` or `https://host:port`. */
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
  /** The certificate (PEM) that an https registry is verified by. */
  readonly ca?: string;
}

interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface PushRequest {
  readonly method: string;
  readonly url: string;
  readonly body?: Buffer;
  readonly contentType?: string;
}

/**
 * Pushes a manifest with its blobs (an index with its manifests first) to `repository`, under `tag` where one is given,
 * by the HTTP API of the OCI distribution specification. Returns the manifest's digest.
 */
export async function push(
  target: PushTarget,
  repository: string,
  manifest: BuiltManifest,
  tag?: string,
): Promise<string> {
  const send = createSender(target);
  await pushOne(send, `${target.url}/v2/${repository}`, manifest, tag);
  return manifest.digest;
}

type Send = (request: PushRequest) => Promise<HttpAnswer>;

async function pushOne(send: Send, base: string, manifest: BuiltManifest, tag?: string): Promise<void> {
  for (const child of manifest.children) await pushOne(send, base, child);
  for (const blob of manifest.blobs) {
    const begun = await send({ method: "POST", url: `${base}/blobs/uploads/` });
    const location = new URL(begun.headers.location ?? "", base);
    location.searchParams.set("digest", blob.digest);
    await send({ method: "PUT", url: location.href, body: blob.bytes, contentType: "application/octet-stream" });
  }
  const url = `${base}/manifests/${tag ?? manifest.digest}`;
  await send({ method: "PUT", url, body: manifest.bytes, contentType: manifest.mediaType });
}

/** Sends requests, answering challenges: Basic at once, Bearer by the token endpoint that the challenge names. */
function createSender(target: PushTarget): Send {
  const basic =
    target.username === undefined
      ? undefined
      : `Basic ${Buffer.from(`${target.username}:${target.password ?? ""}`).toString("base64")}`;
  let authorization: string | undefined;
  return async (request) => {
    let answer = await exchange(target, request, authorization);
    if (answer.status === 401 && basic !== undefined) {
      authorization = await answerChallenge(target, String(answer.headers["www-authenticate"]), basic);
      answer = await exchange(target, request, authorization);
    }
    if (answer.status < 200 || answer.status > 299) {
      throw new Error(`${request.method} ${request.url} was answered ${answer.status}: ${answer.body.toString()}`);
    }
    return answer;
  };
}

async function answerChallenge(target: PushTarget, challenge: string, basic: string): Promise<string> {
  if (!/^bearer /i.test(challenge)) return basic;
  const parameters = Object.fromEntries(
    [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
  );
  const url = new URL(parameters.realm ?? "");
  url.searchParams.set("service", parameters.service ?? "");
  url.searchParams.set("scope", parameters.scope ?? "");
  const answer = await exchange(target, { method: "GET", url: url.href }, basic);
  return `Bearer ${JSON.parse(answer.body.toString()).token}`;
}

function exchange(target: PushTarget, wanted: PushRequest, authorization: string | undefined): Promise<HttpAnswer> {
  const url = new URL(wanted.url);
  const headers: Record<string, string> = { "content-length": String(wanted.body?.length ?? 0) };
  if (wanted.contentType !== undefined) headers["content-type"] = wanted.contentType;
  if (authorization !== undefined) headers.authorization = authorization;
  const ca = target.ca === undefined ? {} : { ca: target.ca };
  return new Promise((resolve, reject) => {
    const open = url.protocol === "https:" ? httpsRequest : httpRequest;
    const request = open(url, { method: wanted.method, headers, agent: false, ...ca }, (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.once("error", reject);
      response.once("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) }),
      );
    });
    request.once("error", reject);
    request.end(wanted.body);
  });
}
