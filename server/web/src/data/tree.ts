// The tree: its nodes, what is known of them, and their colours.
import type { Segment } from "../server/api";
import type { Triple } from "./space";

/** Nodes in the order of the file. `parent` is an index, or -1 for a root. */
export interface Tree {
  count: number;
  id: Int32Array; // the number of the file; an edit keeps it
  index: Map<number, number>; // from id to place
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
  const index = new Map<number, number>();
  const tree: Tree = {
    count,
    id: new Int32Array(count),
    index,
    xyz: new Float32Array(3 * count),
    radius: new Float32Array(count),
    type: new Uint8Array(count),
    parent: new Int32Array(count).fill(-1),
    order: new Int32Array(count),
    confidence: new Float32Array(count).fill(1),
  };
  lines.forEach((line, i) => {
    const [id, type, x, y, z, radius, parent] = line.trim().split(/\s+/).map(Number);
    index.set(id!, i);
    tree.id[i] = id!;
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

/** What is shown beside the tree, in one colour: an earlier tree, or a piece that the tree lacks. */
export type Beside = "earlier" | "missing";
export type Colouring = "confidence" | "order" | "type" | Beside;
type Colour = readonly [number, number, number];

export const ORDERS: readonly Colour[] = [
  [1, 0.35, 0.25],
  [1, 0.75, 0.2],
  [0.55, 0.9, 0.3],
  [0.25, 0.85, 0.9],
  [0.5, 0.6, 1],
  [0.9, 0.5, 1],
];
export const TYPE_NAMES: Record<number, string> = {
  1: "soma",
  2: "axon",
  3: "dendrite",
  4: "apical dendrite",
  0: "undefined",
};
export const BESIDE: Record<Beside, Colour> = { earlier: [0.75, 0.6, 1], missing: [1, 0.36, 0.88] };
const TYPES: Record<number, Colour> = {
  1: [0.25, 0.85, 0.9],
  2: [0.5, 0.6, 1],
  3: [1, 0.35, 0.25],
  4: [1, 0.5, 0.9],
};

/** The red, green and blue of a value, 0 to 1. */
export const colourFor = {
  order: (order: number): Colour => ORDERS[order % ORDERS.length]!,
  type: (type: number): Colour => TYPES[type] ?? [0.8, 0.8, 0.8],
  // From grey-green for a certain node, over yellow, to red for a node that is likely wrong.
  confidence: (confidence: number): Colour => {
    const doubt = Math.min(1, Math.max(0, (1 - confidence) * 2));
    return [
      0.3 + 0.7 * Math.min(1, 2 * doubt),
      0.9 - 0.75 * Math.max(0, 2 * doubt - 1),
      0.35 * (1 - doubt),
    ];
  },
};

/** The red, green and blue of a node, 0 to 1. */
export const colourOf = (tree: Tree, node: number, by: Colouring): Colour =>
  by === "earlier" || by === "missing" ? BESIDE[by] : colourFor[by](tree[by][node]!);

/** The confidences of the traced tree for the nodes that an edited one kept; a person's are certain. */
export function carryConfidence(edited: Tree, traced: Tree): Tree {
  for (let i = 0; i < edited.count; i++) {
    const before = traced.index.get(edited.id[i]!);
    if (before !== undefined) edited.confidence[i] = traced.confidence[before]!;
  }
  return edited;
}

/** One of several trees, by the id of its root. `from` is a place x, y, z before it, or null. */
export function pieceOf(all: Tree, root: number, from: Triple | null): Tree {
  const inside = new Uint8Array(all.count);
  const lines = from ? [`0 0 ${from.join(" ")} 1 -1`] : [];
  for (let i = 0; i < all.count; i++) {
    const parent = all.parent[i]!;
    if (all.id[i] !== root && !(parent >= 0 && inside[parent])) continue;
    inside[i] = 1;
    const above = all.id[i] === root ? (from ? 0 : -1) : all.id[parent]!;
    const place = placeOf(all, i).join(" ");
    lines.push(`${all.id[i]} ${all.type[i]} ${place} ${all.radius[i]} ${above}`);
  }
  return parseTree(lines.join("\n"), []);
}

/** The place of a node, x, y, z in voxels. */
export const placeOf = (tree: Tree, node: number): Triple =>
  [...tree.xyz.subarray(3 * node, 3 * node + 3)] as Triple;
