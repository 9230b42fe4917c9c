export { describeFault, Verifier, type VerifierOptions, type VerifyOptions, type VerifyReport } from "./verifier.ts";
export type { DiskKind, Fault, MeasuredKind, TreePart, VerifyCounts } from "./verify-calls.ts";
