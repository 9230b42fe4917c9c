export { describeFault, Verifier, type VerifyOptions, type VerifyReport } from "./verifier.ts";
export type { Fault, VerifyCounts } from "./verify-calls.ts";
