import { readFileSync } from "node:fs";

/** The part of Ginkgo's report that is read here. */
interface GinkgoReport {
  readonly SpecReports: readonly {
    readonly ContainerHierarchyTexts: readonly string[] | null;
    readonly LeafNodeType: string;
    readonly LeafNodeText: string;
    readonly State: string;
  }[];
}

/** Which specs have to pass, and which may be skipped. */
export interface Wanted {
  readonly of: RegExp;
  readonly unless: RegExp;
  /** How many there are: csi-sanity itself could lose some. */
  readonly count: number;
}

/** What the specs of a run became, by their full names; the state is "passed", "skipped", "failed" or another of Ginkgo's. */
export function readSpecs(file: string): Map<string, string> {
  const [report]: GinkgoReport[] = JSON.parse(readFileSync(file, "utf8"));
  const specs = (report?.SpecReports ?? []).filter((spec) => spec.LeafNodeType === "It");
  return new Map(
    specs.map((spec) => [[...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(" "), spec.State]),
  );
}

/** What is missing when each wanted spec has to pass in one of the runs; nothing if all is well. */
export function missingSpecs(runs: readonly ReadonlyMap<string, string>[], { of, unless, count }: Wanted): string[] {
  const names = [...new Set(runs.flatMap((run) => [...run.keys()]))];
  const wanted = names.filter((name) => of.test(name) && !unless.test(name));
  const missing = wanted
    .filter((name) => !runs.some((run) => run.get(name) === "passed"))
    .map((name) => `${name} (${runs.map((run) => run.get(name) ?? "not there").join(", ")})`);
  return wanted.length >= count ? missing : [...missing, `there are ${wanted.length} specs instead of ${count}`];
}
