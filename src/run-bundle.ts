import process from "node:process";
import { Script } from "node:vm";

/**
 * Runs a bundle of the executable, the asset `<name>.cjs`: a function of CommonJS' `exports` and `require`. Its functions
 * come compiled from the asset `<name>.code` if there is one: compiling each when it is called first would be a sixth of
 * the time to start. V8 refuses, with a warning here, what it has compiled with other flags or as another version.
 */
export function runBundle(name: string): Script {
  const sea = process.getBuiltinModule("node:sea");
  // A bundle is ASCII: nothing has to be decoded.
  const source = Buffer.from(sea.getRawAsset(`${name}.cjs`)).toString("latin1");
  const codeAsset = `${name}.code`;
  const hasCode = sea.getAssetKeys().includes(codeAsset);
  const code = hasCode ? { cachedData: new Uint8Array(sea.getRawAsset(codeAsset)) } : {};
  const script = new Script(source, { filename: `${name}.cjs`, ...code });
  if (script.cachedDataRejected === true) process.emitWarning(`V8 refuses the compiled code of ${name}: slow start`);
  script.runInThisContext()({}, process.getBuiltinModule);
  return script;
}
