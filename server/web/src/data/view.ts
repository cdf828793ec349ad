// The reduced volume that comes with a result.
import type { Triple } from "./space";

/** Brightness and mask of a region. Voxel i stands for the `step` voxels at `origin + i * step`. */
export interface View {
  shape: Triple; // z, y, x
  step: Triple;
  origin: Triple;
  image: Uint8Array;
  mask: Uint8Array;
}

export function parseView(buffer: ArrayBuffer): View {
  const head = new DataView(buffer);
  if (new TextDecoder().decode(buffer.slice(0, 4)) !== "DNV1")
    throw new Error("the preview cannot be read");
  const triple = (at: number): Triple => [
    head.getInt32(at, true),
    head.getInt32(at + 4, true),
    head.getInt32(at + 8, true),
  ];
  const packed = new Uint8Array(buffer, 40);
  const image = new Uint8Array(packed.length);
  const mask = new Uint8Array(packed.length);
  for (let i = 0; i < packed.length; i++) {
    image[i] = packed[i]! & 0xfe;
    mask[i] = (packed[i]! & 1) * 255;
  }
  return { shape: triple(4), step: triple(16), origin: triple(28), image, mask };
}
