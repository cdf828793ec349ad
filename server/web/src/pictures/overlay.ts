// What is drawn over a slice: the tree near it, the crosshair, marks, and the bar of the scale.
import { AXIS_COLOURS, LETTERS, roundLength, type Triple } from "../data/space";
import { type Colouring, colourOf, type Tree } from "../data/tree";
import type { Projection } from "./projection";

type Pen = CanvasRenderingContext2D;

/** The tree is drawn up to this many finest voxels beyond its radius on both sides of the slice. */
const NEAR = 2.5;
/** A piece that the tree lacks is drawn at any depth, far from the slice as dark as this. */
const FAR = 0.4;
/** A click is on a node that is at most this many pixels away. */
const REACH = 14;
/** The type of the soma in SWC. */
const SOMA = 1;

/** A place that is marked, x, y, z in voxels. */
export interface Mark {
  place: Triple;
  colour: string;
  now: boolean; // whether it is the one that is looked at
}

/** How near a place is to the slice: 1 in it, 0 where it is no longer drawn. */
function nearness(p: Projection, along: number, radius: number): number {
  const { spacing } = p.view.space;
  const finest = Math.min(...spacing);
  const far = (Math.abs(along - p.slice) * spacing[p.axes.along]) / finest;
  const body = (radius * spacing[2]) / finest;
  // A slice that is thicker than that still shows what is nearest to it.
  const reach = Math.max(NEAR + body, (0.6 * spacing[p.axes.along]) / finest);
  return Math.max(0, Math.min(1, 1.25 * (1 - far / reach)));
}

const css = (rgb: readonly number[]): string =>
  `rgb(${rgb.map((value) => Math.round(255 * value)).join(" ")})`;

export function drawTree(pen: Pen, p: Projection, tree: Tree, by: Colouring): void {
  const { along, columns, rows } = p.axes;
  const at = (node: number, axis: number): number => tree.xyz[3 * node + 2 - axis]!;
  const pixel = (node: number): [number, number] => p.pixel(at(node, columns), at(node, rows));
  pen.lineWidth = Math.max(1.5, Math.min(3, p.view.zoom / 3));
  pen.lineCap = "round";
  for (let i = 0; i < tree.count; i++) {
    const parent = tree.parent[i]!;
    if (parent < 0) continue;
    const thick = tree.type[parent] === SOMA ? i : parent; // a soma has a circle of its own
    const near = Math.max(
      by === "missing" ? FAR : 0,
      nearness(p, at(i, along), tree.radius[i]!),
      nearness(p, at(parent, along), tree.radius[thick]!),
    );
    if (!near) continue;
    pen.globalAlpha = near;
    pen.strokeStyle = css(colourOf(tree, i, by));
    pen.beginPath();
    pen.moveTo(...pixel(parent));
    pen.lineTo(...pixel(i));
    pen.stroke();
  }
  pen.globalAlpha = 1;
  if (by !== "missing") drawSomata(pen, p, tree);
}

/** The node nearest to a place z, y, x of the slice, among those that are drawn; null if none is near. */
export function nodeNear(p: Projection, tree: Tree, place: Triple): number | null {
  const { along, columns, rows } = p.axes;
  const [left, top] = p.pixel(place[columns], place[rows]);
  let best: number | null = null;
  let least = REACH;
  for (let i = 0; i < tree.count; i++) {
    const at = (axis: number): number => tree.xyz[3 * i + 2 - axis]!;
    const near = nearness(p, at(along), tree.radius[i]!);
    if (!near) continue;
    const [x, y] = p.pixel(at(columns), at(rows));
    // Of two nodes at one pixel, the one nearer to the slice is meant.
    const far = Math.hypot(x - left, y - top) + 4 * (1 - near);
    if (far < least) [best, least] = [i, far];
  }
  return best;
}

// A soma is a sphere: a circle where the slice cuts it. A root is a square.
function drawSomata(pen: Pen, p: Projection, tree: Tree): void {
  const { spacing } = p.view.space;
  for (let i = 0; i < tree.count; i++) {
    if (tree.parent[i]! >= 0) continue;
    const [x, y, z] = tree.xyz.subarray(3 * i, 3 * i + 3);
    const place = [z!, y!, x!];
    const [left, top] = p.pixel(place[p.axes.columns]!, place[p.axes.rows]!);
    const off = ((place[p.axes.along]! - p.slice) * spacing[p.axes.along]) / spacing[2];
    pen.strokeStyle = "#ffffff";
    pen.lineWidth = 1.5;
    if (tree.type[i] === SOMA && Math.abs(off) < tree.radius[i]!) {
      const size =
        Math.sqrt(tree.radius[i]! ** 2 - off ** 2) * (p.size[0] / spacing[p.axes.columns]);
      pen.beginPath();
      pen.arc(left, top, size * spacing[2], 0, 2 * Math.PI);
      pen.stroke();
    }
    if (nearness(p, place[p.axes.along]!, tree.radius[i]!)) pen.strokeRect(left - 4, top - 4, 8, 8);
  }
}

export function drawPath(pen: Pen, p: Projection, path: Triple[]): void {
  pen.strokeStyle = "#ff5ce1";
  pen.lineWidth = 2;
  pen.setLineDash([6, 4]);
  pen.beginPath();
  for (const [x, y, z] of path) {
    const place = [z, y, x];
    pen.lineTo(...p.pixel(place[p.axes.columns]!, place[p.axes.rows]!));
  }
  pen.stroke();
  pen.setLineDash([]);
}

export function drawMarks(pen: Pen, p: Projection, marks: Mark[]): void {
  for (const { place, colour, now } of marks) {
    const [x, y, z] = place;
    const at = [z, y, x];
    if (!now && !nearness(p, at[p.axes.along]!, 2)) continue;
    pen.strokeStyle = colour;
    pen.lineWidth = now ? 2.5 : 1.5;
    pen.beginPath();
    pen.arc(...p.pixel(at[p.axes.columns]!, at[p.axes.rows]!), now ? 12 : 7, 0, 2 * Math.PI);
    pen.stroke();
  }
}

/** The lines where the other two slices cut this one, in the colours of their axes. */
export function drawCrosshair(pen: Pen, p: Projection): void {
  const { cursor } = p.view;
  const { columns, rows } = p.axes;
  const [left, top] = p.pixel(cursor[columns], cursor[rows]);
  const hole = 14;
  pen.globalAlpha = 0.75;
  pen.lineWidth = 1;
  pen.strokeStyle = AXIS_COLOURS[columns];
  line(pen, left, 0, left, top - hole);
  line(pen, left, top + hole, left, p.height);
  pen.strokeStyle = AXIS_COLOURS[rows];
  line(pen, 0, top, left - hole, top);
  line(pen, left + hole, top, p.width, top);
  pen.globalAlpha = 1;
}

function line(pen: Pen, ...[x0, y0, x1, y1]: [number, number, number, number]): void {
  pen.beginPath();
  pen.moveTo(Math.round(x0) + 0.5, Math.round(y0) + 0.5);
  pen.lineTo(Math.round(x1) + 0.5, Math.round(y1) + 0.5);
  pen.stroke();
}

/** The plane and its slice above; below a bar of a round length with its unit. */
export function drawScale(pen: Pen, p: Projection): void {
  const { space } = p.view;
  const { along } = p.axes;
  const here = p.slice + 1;
  const depth = space.unit === "µm" ? ` · ${(p.slice * space.spacing[along]).toFixed(1)} µm` : "";
  words(pen, `${p.plane}  ${LETTERS[along]} ${here} / ${space.shape[along]}${depth}`, 8, 18);
  const perUnit = p.size[0] / space.spacing[p.axes.columns];
  const length = roundLength(Math.min(180, p.width / 3) / perUnit);
  const pixels = length * perUnit;
  pen.fillStyle = "#000000a0";
  pen.fillRect(7, p.height - 11, pixels + 2, 5);
  pen.fillStyle = "#ffffff";
  pen.fillRect(8, p.height - 10, pixels, 3);
  const unit = space.unit === "µm" ? "µm" : length === 1 ? "voxel" : "voxels";
  words(pen, `${Number(length.toPrecision(3))} ${unit}`, 8, p.height - 16);
}

function words(pen: Pen, text: string, left: number, top: number): void {
  pen.font = "12px system-ui, sans-serif";
  pen.lineWidth = 3;
  pen.lineJoin = "round";
  pen.strokeStyle = "#000000c0";
  pen.strokeText(text, left, top);
  pen.fillStyle = "#ffffff";
  pen.fillText(text, left, top);
}
