import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesImagePattern } from "./image-pattern.ts";

const rows: [pattern: string, image: string, matches: boolean][] = [
  ["ghcr.io", "ghcr.io/org/app", true],
  ["GHCR.io", "ghcr.io/org/app", true],
  ["https://ghcr.io", "ghcr.io/org/app", true],
  ["*.dkr.ecr.*.amazonaws.com", "123.dkr.ecr.eu-west-1.amazonaws.com/app", true],
  ["*.dkr.ecr.*.amazonaws.com", "dkr.ecr.eu-west-1.amazonaws.com/app", false],
  ["*.io", "a.k8s.io/app", false],
  ["*.k8s.io", "a.k8s.io/app", true],
  ["app*.k8s.io", "app-3.k8s.io/x", true],
  ["app?.k8s.io", "app10.k8s.io/x", false],
  ["app[0-9].k8s.io", "app7.k8s.io/x", true],
  ["app[^0-9].k8s.io", "app7.k8s.io/x", false],
  ["app[z-a].k8s.io", "appz.k8s.io/x", false],
  ["app[a-c0-9].k8s.io", "appb.k8s.io/x", true],
  ["*pp*.k8s.io", "apppp-3.k8s.io/x", true],
  ["a*b*c.k8s.io", "aXbYcZbc.k8s.io/x", true],
  ["a*b*c.k8s.io", "aXcYb.k8s.io/x", false],
  ["a**.k8s.io", "a.k8s.io/x", true],
  ["*.*.registry.io", "a.b.registry.io/x", true],
  ["ghcr.io/org", "ghcr.io/org/app", true],
  ["ghcr.io/or", "ghcr.io/org/app", true],
  ["ghcr.io/org/app/x", "ghcr.io/org/app", false],
  ["ghcr.io/*/app", "ghcr.io/org/app", false],
  ["r.io:8080/path", "r.io:8080/path/x", true],
  ["r.io", "r.io:8080/x", false],
  ["r.io:8080", "r.io/x", false],
  ["r.io:*", "r.io:80/x", false],
  ["localhost:5000", "localhost:5000/x", true],
  ["[::1]:5000", "[::1]:5000/x", true],
  ["", "ghcr.io/x", false],
  [".*", "ghcr.io/x", false],
];
for (const [pattern, image, matches] of rows) {
  test(`${pattern} ${matches ? "means" : "does not mean"} ${image}`, () => {
    assert.equal(matchesImagePattern(pattern, image), matches);
  });
}

test("a pattern of many stars takes no time", () => {
  const label = "a".repeat(60);
  assert.equal(matchesImagePattern(`${"*a".repeat(400)}*b.io`, `${label}.io/x`), false);
});
