import { createHash, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { type BuiltManifest, type FolderFiles, image, tarOfFolder } from "../test/registry/index.ts";

/** What an image is made of. */
export interface ImageSize {
  readonly layers: number;
  readonly filesALayer: number;
  readonly bytesALayer: number;
}

const FILES_A_FOLDER = 20;

/** An image of gzip layers; files have many sizes and pack to about a third. */
export async function imageOfFiles({ layers, filesALayer, bytesALayer }: ImageSize): Promise<BuiltManifest> {
  const made: { packed: Buffer; diffId: string }[] = [];
  for (let number = 0; number < layers; number++) {
    const files = filesOfLayer(number, filesALayer, bytesALayer / filesALayer);
    const tar = await tarOfFolder(".", files);
    const diffId = `sha256:${createHash("sha256").update(tar).digest("hex")}`;
    made.push({ packed: await promisify(gzip)(tar), diffId });
  }
  return image(made);
}

function filesOfLayer(layer: number, count: number, meanBytes: number): FolderFiles {
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => {
      const size = Math.round(meanBytes * (0.2 + ((i * 7919) % 1600) / 1000));
      const noise = randomBytes(Math.ceil(size / 3));
      const content = Buffer.concat([noise, Buffer.alloc(size - noise.length, `${i} text `)]);
      return [`usr/layer-${layer}/d${Math.floor(i / FILES_A_FOLDER)}/f${i}`, content];
    }),
  );
}
