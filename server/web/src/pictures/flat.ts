// Three projections with the tree over them, on a canvas that needs no WebGL.
import { type Axes, PLANES, type Triple } from "../data/space";
import { type Beside, type Colouring, colourOf, type Tree } from "../data/tree";
import type { View } from "../data/view";
import type { Mark } from "./overlay";

const VIEWS = [PLANES.xy, PLANES.yz, PLANES.xz];
const GAP = 6;

export interface Looks {
  image: number;
  mask: number;
  tree: boolean;
  colour: Colouring;
}

interface Panel {
  x: number;
  y: number;
  width: number;
  height: number;
  of: Axes;
}

export class Flat {
  private view: View | null = null;
  private tree: Tree | null = null;
  private beside: ReadonlyMap<Beside, Tree> = new Map();
  private size: Triple = [1, 1, 1];
  private planes: { image: Uint8Array; mask: Uint8Array }[] | null = null;
  private panels: Panel[] = [];
  private looks: Looks = { image: 1, mask: 0, tree: true, colour: "confidence" };
  private marks: Mark[] = [];

  constructor(private readonly canvas: HTMLCanvasElement) {
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** beside: trees that are drawn below the tree; `draw` takes up what has changed in it. */
  show(view: View, tree: Tree, beside: ReadonlyMap<Beside, Tree>, spacing: Triple): void {
    this.view = view;
    this.tree = tree;
    this.beside = beside;
    this.marks = [];
    this.size = view.shape.map((n, axis) => n * view.step[axis]! * spacing[axis]!) as [
      number,
      number,
      number,
    ];
    this.planes = null;
    this.draw();
  }

  look(looks: Looks): void {
    this.looks = looks;
    this.draw();
  }

  grow(tree: Tree): void {
    this.tree = tree;
    this.draw();
  }

  mark(marks: Mark[]): void {
    this.marks = marks;
    this.draw();
  }

  /** The voxel at a place of the canvas: the brightest one along the axis of the projection. */
  voxelAt(left: number, top: number): Triple | null {
    const ratio = this.canvas.width / this.canvas.clientWidth;
    const panel = this.panels.find(
      (p) =>
        left * ratio >= p.x &&
        left * ratio < p.x + p.width &&
        top * ratio >= p.y &&
        top * ratio < p.y + p.height,
    );
    if (!panel || !this.view) return null;
    const { shape, step, origin } = this.view;
    const at = [0, 0, 0];
    at[panel.of.columns] = Math.floor(
      ((left * ratio - panel.x) / panel.width) * shape[panel.of.columns],
    );
    at[panel.of.rows] = Math.floor(((top * ratio - panel.y) / panel.height) * shape[panel.of.rows]);
    at[panel.of.along] = this.brightest(at, panel.of.along);
    const [z, y, x] = at.map(
      (n, axis) => origin[axis]! + n * step[axis]! + Math.floor(step[axis]! / 2),
    );
    return [x!, y!, z!];
  }

  private brightest(at: number[], along: number): number {
    const { shape, image } = this.view!;
    let best = 0,
      most = -1;
    for (let n = 0; n < shape[along]!; n++) {
      const [z, y, x] = at.map((v, axis) => (axis === along ? n : v));
      const value = image[(z! * shape[1] + y!) * shape[2] + x!]!;
      if (value > most) [best, most] = [n, value];
    }
    return best;
  }

  draw(): void {
    const { clientWidth, clientHeight } = this.canvas;
    if (!this.view || !clientWidth) return;
    // Computed when the projections are first shown, because it takes as long as everything else.
    const { view } = this;
    this.planes ??= VIEWS.map((of) => ({
      image: highest(view, view.image, of),
      mask: highest(view, view.mask, of),
    }));
    const ratio = Math.min(devicePixelRatio, 2);
    this.canvas.width = clientWidth * ratio;
    this.canvas.height = clientHeight * ratio;
    const pen = this.canvas.getContext("2d")!;
    this.panels = this.layout();
    this.panels.forEach((panel, i) => {
      pen.imageSmoothingEnabled = true;
      pen.drawImage(this.plane(i), panel.x, panel.y, panel.width, panel.height);
      pen.save();
      pen.beginPath();
      pen.rect(panel.x, panel.y, panel.width, panel.height);
      pen.clip();
      for (const [kind, tree] of this.beside) this.drawTree(pen, panel, ratio, tree, kind);
      if (this.looks.tree) this.drawTree(pen, panel, ratio, this.tree!, this.looks.colour);
      this.drawMarks(pen, panel, ratio);
      pen.restore();
    });
  }

  private layout(): Panel[] {
    const [z, y, x] = this.size;
    const zoom = Math.min(
      (this.canvas.width - GAP) / (x + z),
      (this.canvas.height - GAP) / (y + z),
    );
    const corners = [
      [0, 0],
      [x * zoom + GAP, 0],
      [0, y * zoom + GAP],
    ] as const;
    return VIEWS.map((of, i) => ({
      x: corners[i]![0],
      y: corners[i]![1],
      width: this.size[of.columns] * zoom,
      height: this.size[of.rows] * zoom,
      of,
    }));
  }

  private plane(i: number): HTMLCanvasElement {
    const { shape } = this.view!;
    const of = VIEWS[i]!;
    const made = document.createElement("canvas");
    made.width = shape[of.columns];
    made.height = shape[of.rows];
    const pixels = new ImageData(made.width, made.height);
    const { image, mask } = this.planes![i]!;
    for (let n = 0; n < image.length; n++) {
      const lit = image[n]! * this.looks.image,
        m = (mask[n]! / 255) * this.looks.mask;
      pixels.data[4 * n] = Math.max(lit * (1 - 0.6 * m), 13 * m);
      pixels.data[4 * n + 1] = Math.max(lit, 115 * m);
      pixels.data[4 * n + 2] = Math.max(lit * (1 - 0.1 * m), 102 * m);
      pixels.data[4 * n + 3] = 255;
    }
    made.getContext("2d")!.putImageData(pixels, 0, 0);
    return made;
  }

  private at(place: ArrayLike<number>, panel: Panel): [number, number] {
    const { shape, step, origin } = this.view!;
    const share = (axis: number): number =>
      (place[2 - axis]! + 0.5 - origin[axis]!) / (shape[axis]! * step[axis]!);
    return [
      panel.x + share(panel.of.columns) * panel.width,
      panel.y + share(panel.of.rows) * panel.height,
    ];
  }

  private drawTree(
    pen: CanvasRenderingContext2D,
    panel: Panel,
    ratio: number,
    tree: Tree,
    colour: Colouring,
  ): void {
    pen.lineWidth = 1.2 * ratio;
    for (let i = 0; i < tree.count; i++) {
      const parent = tree.parent[i]!;
      if (parent < 0) continue;
      const [r, g, b] = colourOf(tree, i, colour).map((v) => Math.round(255 * v));
      pen.strokeStyle = `rgb(${r} ${g} ${b})`;
      pen.beginPath();
      pen.moveTo(...this.at(tree.xyz.subarray(3 * parent, 3 * parent + 3), panel));
      pen.lineTo(...this.at(tree.xyz.subarray(3 * i, 3 * i + 3), panel));
      pen.stroke();
    }
  }

  private drawMarks(pen: CanvasRenderingContext2D, panel: Panel, ratio: number): void {
    for (const { place, colour, now } of this.marks) {
      pen.lineWidth = (now ? 2 : 1) * ratio;
      pen.strokeStyle = colour;
      pen.beginPath();
      pen.arc(...this.at(place, panel), (now ? 10 : 5) * ratio, 0, 2 * Math.PI);
      pen.stroke();
    }
  }
}

function highest(view: View, from: Uint8Array, of: Axes): Uint8Array {
  const { shape } = view;
  const columns = shape[of.columns];
  const made = new Uint8Array(columns * shape[of.rows]);
  const at = [0, 0, 0];
  let i = 0;
  for (at[0] = 0; at[0] < shape[0]; at[0]++)
    for (at[1] = 0; at[1] < shape[1]; at[1]++)
      for (at[2] = 0; at[2] < shape[2]; at[2]++, i++) {
        const to = at[of.rows]! * columns + at[of.columns]!;
        if (from[i]! > made[to]!) made[to] = from[i]!;
      }
  return made;
}
