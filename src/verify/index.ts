export { describeFault, Verifier, type VerifyOptions, type VerifyReport } from "./verifier.ts";
export type { DiskKind, Fault, MeasuredKind, VerifyCounts } from "./verify-calls.ts";
