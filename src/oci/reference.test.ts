import assert from "node:assert/strict";
import { test } from "node:test";
import { formatReference, parseReference } from "./reference.ts";

const digest = `sha256:${"0123456789abcdef".repeat(4)}`;
const long = "a".repeat(128);

const read: [text: string, full: string][] = [
  ["ghcr.io/org/model:v1", "ghcr.io/org/model:v1"],
  ["oras://ghcr.io/org/model:v1", "ghcr.io/org/model:v1"],
  ["  ghcr.io/org/model:v1\n", "ghcr.io/org/model:v1"],
  ["ghcr.io/org/model", "ghcr.io/org/model:latest"],
  ["ghcr.io/model", "ghcr.io/model:latest"],
  [`ghcr.io/org/model@${digest}`, `ghcr.io/org/model@${digest}`],
  [`ghcr.io/org/model:v1@${digest}`, `ghcr.io/org/model:v1@${digest}`],
  [`localhost:5000/a/b@sha512:${"0".repeat(128)}`, `localhost:5000/a/b@sha512:${"0".repeat(128)}`],
  ["GHCR.IO/org/model:V1", "ghcr.io/org/model:V1"],
  ["localhost/x", "localhost/x:latest"],
  ["LocalHost/x", "localhost/x:latest"],
  ["localhost:5000/x:5000", "localhost:5000/x:5000"],
  ["registry:5000/x", "registry:5000/x:latest"],
  ["10.0.0.1:80/a/b/c/d", "10.0.0.1:80/a/b/c/d:latest"],
  ["[::1]:5000/x:y", "[::1]:5000/x:y"],
  ["[2001:DB8::1]/x", "[2001:db8::1]/x:latest"],
  [`[fe80::1]:65535/x@${digest}`, `[fe80::1]:65535/x@${digest}`],
  ["xn--bcher-kva.example/x", "xn--bcher-kva.example/x:latest"],
  ["my_registry.local:1/x", "my_registry.local:1/x:latest"],
  ["nginx", "docker.io/library/nginx:latest"],
  ["nginx:1.27", "docker.io/library/nginx:1.27"],
  [`nginx@${digest}`, `docker.io/library/nginx@${digest}`],
  ["org/model", "docker.io/org/model:latest"],
  ["org/sub/model:x", "docker.io/org/sub/model:x"],
  ["docker.io/nginx", "docker.io/library/nginx:latest"],
  ["docker.io/library/nginx", "docker.io/library/nginx:latest"],
  ["index.docker.io/nginx", "docker.io/library/nginx:latest"],
  ["registry-1.docker.io/org/x", "docker.io/org/x:latest"],
  ["Docker.IO/org/x", "docker.io/org/x:latest"],
  ["ghcr.io", "docker.io/library/ghcr.io:latest"],
  ["localhost:5000", "docker.io/library/localhost:5000"],
  ["ghcr.io/a/b__c--d.e---f/0:_x.Y-z", "ghcr.io/a/b__c--d.e---f/0:_x.Y-z"],
  [`ghcr.io/x:${long}`, `ghcr.io/x:${long}`],
];
for (const [text, full] of read) {
  test(`reference ${JSON.stringify(text)} is ${full}`, () => {
    const reference = parseReference(text);
    assert.equal(formatReference(reference), full);
    assert.deepEqual(parseReference(full), reference);
  });
}

test("the parts of a reference", () => {
  assert.deepEqual(parseReference(`oras://Localhost:5000/a/b:T@${digest}`), {
    registry: "localhost:5000",
    repository: "a/b",
    tag: "T",
    digest,
  });
  assert.deepEqual(parseReference(`x@${digest}`).tag, undefined);
});

const noHost = /is no registry host/;
const noTag = /the tag ".*" is not one/;
const noPart = /is no part of a repository's name/;
const emptyPart = /a part of the repository's name is empty/;
const refused: [name: string, text: string, says: RegExp][] = [
  ["nothing", "", /it names no repository/],
  ["blanks", " \t ", /it names no repository/],
  ["the prefix alone", "oras://", /it names no repository/],
  ["the prefix twice", "oras://oras://ghcr.io/x", /write it without oras:\/\//],
  ["another scheme", "https://ghcr.io/x", /write it without https:\/\//],
  ["another scheme in capitals", "Docker://ghcr.io/x", /write it without Docker:\/\//],
  ["no repository", "ghcr.io/", /it names no repository/],
  ["no repository on docker.io", "docker.io/", /it names no repository/],
  ["no repository but a tag", "ghcr.io/:v1", /it names no repository/],
  ["capitals", "ghcr.io/Org/Model", /in lower case: write "org\/model"/],
  ["capitals on docker.io", "NGINX", /in lower case: write "library\/nginx"/],
  ["capitals beyond ASCII", "ghcr.io/É", noPart],
  ["a letter whose small form is ASCII", "ghcr.io/\u212a", noPart],
  ["capitals, and what would be wrong without them, too", "NOT//ok", emptyPart],
  ["capitals in a part that is none", "ghcr.io/Org/_Model", /"_Model" is no part of a repository's name/],
  ["a slash at the beginning", "/ghcr.io/x", emptyPart],
  ["a slash at the end", "ghcr.io/x/", emptyPart],
  ["two slashes", "ghcr.io/a//b", emptyPart],
  ["dots that climb", "ghcr.io/../x", noPart],
  ["a dot", "ghcr.io/./x", noPart],
  ["three underscores", "ghcr.io/a___b", noPart],
  ["a dash at the end", "ghcr.io/a-", noPart],
  ["a blank inside", "ghcr.io/a b", noPart],
  ["a query", "ghcr.io/a?b", noPart],
  ["a fragment", "ghcr.io/a#b", noPart],
  ["an escape", "ghcr.io/a%2fb", noPart],
  ["a NUL", "ghcr.io/a\0b", noPart],
  ["a line end inside", "ghcr.io/a\nb", noPart],
  ["half a surrogate pair", "ghcr.io/\ud800", noPart],
  ["an empty tag", "ghcr.io/x:", noTag],
  ["two tags", "ghcr.io/x:a:b", noPart],
  ["a tag with a slash", "ghcr.io/x:a/b", noTag],
  ["a tag that begins with a dot", "ghcr.io/x:.a", noTag],
  ["a tag that begins with a dash", "ghcr.io/x:-a", noTag],
  ["a tag that is too long", `ghcr.io/x:${long}a`, noTag],
  ["a tag with a line end", "ghcr.io/x:a\n/", noTag],
  ["an empty digest", "ghcr.io/x@", /digest "" is of no known algorithm/],
  ["a short digest", "ghcr.io/x@sha256:abc", /64 hex digits/],
  ["another algorithm", `ghcr.io/x@md5:${"0".repeat(32)}`, /no known algorithm/],
  ["two digests", `ghcr.io/x@${digest}@${digest}`, /64 hex digits/],
  ["a tag after the digest", `ghcr.io/x@${digest}:v1`, /64 hex digits/],
  ["a user", "user@ghcr.io/x", /no known algorithm/],
  ["a port without a number", "ghcr.io:/x", noHost],
  ["a port that is a word", "ghcr.io:http/x", noHost],
  ["port 0", "ghcr.io:0/x", /port 0 is not between 1 and 65535/],
  ["port 65536", "ghcr.io:65536/x", /port 65536 is not between/],
  ["a port of six digits", "ghcr.io:000080/x", noHost],
  ["two ports", "ghcr.io:1:2/x", noHost],
  ["a host that begins with a dot", ".ghcr.io/x", noHost],
  ["a host that ends with a dot", "ghcr.io./x", noHost],
  ["dots only", "../x", noHost],
  ["two dots in a host", "ghcr..io/x", noHost],
  ["a dash at the end of a label", "ghcr-.io/x", noHost],
  ["a host that is no ASCII", "bücher.example/x", noHost],
  ["a host with a backslash", "ghcr.io\\x/y", noHost],
  ["numbers that are no address", "256.0.0.1/x", noHost],
  ["an address of five numbers", "1.2.3.4.5/x", noHost],
  ["v6 without brackets", "::1/x", noHost],
  ["v6 that is none", "[::1::2]:5000/x", noHost],
  ["v6 with a zone", "[fe80::1%25eth0]/x", noHost],
  ["v6 in open brackets", "[::1/x", noHost],
  ["nothing in brackets", "[]:5000/x", noHost],
  ["a host that is too long", `${"a.".repeat(200)}io/x`, noHost],
  ["a repository that is too long", `ghcr.io/${"a".repeat(256)}`, /longer than 255/],
];
for (const [name, text, says] of refused) {
  test(`no reference: ${name}`, () => {
    assert.throws(() => parseReference(text), { name: "DriverError", kind: "bad-input", message: says });
  });
}

/** What makes patterns slow and messages long, if anything does. */
const huge = ["a", "a/", "a.", "a-", "A", ":", "@", "[", "a:", "\ud83d\ude00", "oras://", " ", "\0"];
for (const piece of huge) {
  test(`a megabyte of ${JSON.stringify(piece)} is refused with a short message`, () => {
    const text = piece.repeat((1 << 20) / piece.length);
    for (const hostile of [text, `ghcr.io/${text}!`, `ghcr.io/x:${text}`, `ghcr.io/x@${text}`, `${text}/x`]) {
      assert.throws(
        () => parseReference(hostile),
        (error: Error & { kind?: string }) => error.kind === "bad-input" && error.message.length < 3000,
      );
    }
  });
}
