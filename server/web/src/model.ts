// The data of the views: the reduced volume and the tree.
import type { Segment } from "./api";

/** Brightness and mask of a region. Voxel i stands for the `step` voxels at `origin + i * step`. */
export interface View {
  shape: [number, number, number]; // z, y, x
  step: [number, number, number];
  origin: [number, number, number];
  image: Uint8Array;
  mask: Uint8Array;
}

export function parseView(buffer: ArrayBuffer): View {
  const head = new DataView(buffer);
  if (new TextDecoder().decode(buffer.slice(0, 4)) !== "DNV1")
    throw new Error("the preview cannot be read");
  const triple = (at: number): [number, number, number] => [
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

/** Nodes in the order of the file. `parent` is an index, or -1 for a root. */
export interface Tree {
  count: number;
  xyz: Float32Array; // in voxels of the whole volume
  radius: Float32Array;
  type: Uint8Array;
  parent: Int32Array;
  order: Int32Array; // the number of forks between the node and its root
  confidence: Float32Array;
}

export function parseTree(text: string, segments: Segment[]): Tree {
  const lines = text.split("\n").filter((line) => line && !line.startsWith("#"));
  const count = lines.length;
  const tree: Tree = {
    count,
    xyz: new Float32Array(3 * count),
    radius: new Float32Array(count),
    type: new Uint8Array(count),
    parent: new Int32Array(count).fill(-1),
    order: new Int32Array(count),
    confidence: new Float32Array(count).fill(1),
  };
  const index = new Map<number, number>();
  lines.forEach((line, i) => {
    const [id, type, x, y, z, radius, parent] = line.trim().split(/\s+/).map(Number);
    index.set(id!, i);
    tree.type[i] = type!;
    tree.xyz.set([x!, y!, z!], 3 * i);
    tree.radius[i] = radius!;
    tree.parent[i] = index.get(parent!) ?? -1;
  });
  countForks(tree);
  for (const segment of segments)
    grade(tree, index.get(segment.start), index.get(segment.end), segment.confidence);
  return tree;
}

// The server's files have parents before their children.
function countForks(tree: Tree): void {
  const children = new Int32Array(tree.count);
  for (const parent of tree.parent) if (parent >= 0) children[parent]!++;
  for (let i = 0; i < tree.count; i++) {
    const parent = tree.parent[i]!;
    if (parent >= 0) tree.order[i] = tree.order[parent]! + (children[parent]! > 1 ? 1 : 0);
  }
}

function grade(
  tree: Tree,
  start: number | undefined,
  end: number | undefined,
  confidence: number,
): void {
  for (let node = end ?? -1; node >= 0 && node !== start; node = tree.parent[node]!)
    tree.confidence[node] = confidence;
}

export type Colouring = "confidence" | "order" | "type";
const ORDERS = [
  [1, 0.35, 0.25],
  [1, 0.75, 0.2],
  [0.55, 0.9, 0.3],
  [0.25, 0.85, 0.9],
  [0.5, 0.6, 1],
  [0.9, 0.5, 1],
] as const;
const TYPES: Record<number, readonly [number, number, number]> = {
  1: [0.25, 0.85, 0.9],
  2: [0.5, 0.6, 1],
  3: [1, 0.35, 0.25],
  4: [1, 0.5, 0.9],
};

/** The red, green and blue of a node, 0 to 1. */
export function colourOf(
  tree: Tree,
  node: number,
  by: Colouring,
): readonly [number, number, number] {
  if (by === "order") return ORDERS[tree.order[node]! % ORDERS.length]!;
  if (by === "type") return TYPES[tree.type[node]!] ?? [0.8, 0.8, 0.8];
  // From grey-green for a certain node, over yellow, to red for a node that is likely wrong.
  const doubt = Math.min(1, Math.max(0, (1 - tree.confidence[node]!) * 2));
  return [
    0.3 + 0.7 * Math.min(1, 2 * doubt),
    0.9 - 0.75 * Math.max(0, 2 * doubt - 1),
    0.35 * (1 - doubt),
  ];
}
