import assert from "node:assert/strict";
import { test } from "node:test";
import { hostLabel, isLoopback, parseTarget, resolveLocation, type Target } from "./target.ts";
import { TransportError } from "./transport-error.ts";

const base: Target = { scheme: "https", host: "r.example", port: 443, path: "/v2/a/b/blobs/x?old=1" };

const locations: { location: string; leadsTo: string }[] = [
  {
    location: "https://cdn.example/a//b/%7Ec/../d?sig=a%2Fb+c&x=//y",
    leadsTo: "https cdn.example 443 /a//b/%7Ec/../d?sig=a%2Fb+c&x=//y",
  },
  { location: "HTTP://CDN.example:8080?x", leadsTo: "http cdn.example 8080 /?x" },
  { location: "https://user:pass@cdn.example/p#part", leadsTo: "https cdn.example 443 /p" },
  { location: "https://[::1]:5000/x", leadsTo: "https [::1] 5000 /x" },
  { location: "//cdn.example:444/p%20q", leadsTo: "https cdn.example 444 /p%20q" },
  { location: "/p//q?s=%2f#f", leadsTo: "https r.example 443 /p//q?s=%2f" },
  { location: "y", leadsTo: "https r.example 443 /v2/a/b/blobs/y" },
  { location: "./y?n=1", leadsTo: "https r.example 443 /v2/a/b/blobs/y?n=1" },
  { location: "../../c/.", leadsTo: "https r.example 443 /v2/a/c/" },
  { location: "../../../../../../etc", leadsTo: "https r.example 443 /etc" },
  { location: "?new=2", leadsTo: "https r.example 443 /v2/a/b/blobs/x?new=2" },
  { location: "", leadsTo: "https r.example 443 /v2/a/b/blobs/x?old=1" },
  { location: "/a b\tc", leadsTo: "https r.example 443 /a%20b%09c" },
  { location: "/caf\u00e9", leadsTo: "https r.example 443 /caf\u00e9" },
];
for (const { location, leadsTo } of locations) {
  test(`location ${JSON.stringify(location)}`, () => {
    const { scheme, host, port, path } = resolveLocation(base, location);
    assert.equal(`${scheme} ${host} ${port} ${path}`, leadsTo);
  });
}

for (const location of ["ftp://x/y", "file:///etc/passwd", "https://", "https://a:99999/", "https://a b/"]) {
  test(`location ${JSON.stringify(location)} is refused`, () => {
    assert.throws(
      () => resolveLocation(base, location),
      (e) => e instanceof TransportError && e.fault === "redirect",
    );
  });
}

test("hosts are told as people write them", () => {
  assert.equal(hostLabel(base), "r.example");
  assert.equal(hostLabel({ scheme: "http", host: "[::1]", port: 5000 }), "[::1]:5000");
});

test("loopback hosts", () => {
  const isLocal = (url: string) => isLoopback(parseTarget(url) ?? base);
  assert.deepEqual(
    [
      "http://localhost:1",
      "http://127.0.0.53",
      "http://[::1]/",
      "http://127.0.0.1.evil.example",
      "http://localhost.example",
    ].map(isLocal),
    [true, true, true, false, false],
  );
});

test("nothing in a Location ends the request line early", () => {
  for (const location of ["http://b.example/x HTTP/1.1\nX: y\0", "/x HTTP/1.1\nX: y\0", "x HTTP/1.1\nX: y\0"]) {
    const { path } = resolveLocation({ scheme: "http", host: "a.example", port: 80, path: "/" }, location);
    assert.equal(path, "/x%20HTTP/1.1%0AX:%20y%00");
  }
});
