const SLASH = Buffer.from("/");

/** The path of what is in a folder, or further down; the folder's own for an empty path. */
export function below(folder: Buffer, path: Buffer): Buffer {
  return path.length === 0 ? folder : Buffer.concat([folder, SLASH, path]);
}
