// One slice on a canvas: its grey values, and what is drawn over them.
import type { Patch, SliceSource } from "../data/slices";
import type { Plane, Triple } from "../data/space";
import type { Beside, Colouring, Tree } from "../data/tree";
import type { Viewpoint } from "../data/viewpoint";
import { drawCrosshair, drawMarks, drawPath, drawScale, drawTree, type Mark } from "./overlay";
import { Projection } from "./projection";

/** What all slices of a job show. */
export interface Scenery {
  view: Viewpoint;
  source: SliceSource;
  tree: Tree;
  beside: Map<Beside, Tree>; // drawn below the tree
  colour: Colouring;
  showImage: boolean;
  showTree: boolean;
  brightness: Uint8ClampedArray; // of each grey value
  marks: Mark[];
  path: Triple[] | null;
}

export class Slice {
  scenery: Scenery | null = null;
  private asked = false;
  // A patch is painted once for each contrast.
  private painted = new WeakMap<Patch, HTMLCanvasElement>();
  private contrast: Uint8ClampedArray | null = null;

  constructor(
    readonly canvas: HTMLCanvasElement,
    readonly plane: Plane,
  ) {
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  projection(): Projection | null {
    const { clientWidth, clientHeight } = this.canvas;
    if (!this.scenery || !clientWidth || !clientHeight) return null;
    return new Projection(this.plane, this.scenery.view, clientWidth, clientHeight);
  }

  /** Draws at most once per frame. */
  draw(): void {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      const projection = this.projection();
      if (projection) this.paint(projection, this.scenery!);
    });
  }

  private paint(p: Projection, scenery: Scenery): void {
    const ratio = Math.min(devicePixelRatio, 2);
    const [width, height] = [Math.round(p.width * ratio), Math.round(p.height * ratio)];
    // A new size empties the canvas, which is slow.
    if (this.canvas.width !== width || this.canvas.height !== height)
      [this.canvas.width, this.canvas.height] = [width, height];
    const pen = this.canvas.getContext("2d", { alpha: false })!;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = "#000000";
    pen.fillRect(0, 0, p.width, p.height);
    if (scenery.showImage) this.paintImage(pen, p, scenery);
    drawCrosshair(pen, p);
    for (const [kind, tree] of scenery.beside) drawTree(pen, p, tree, kind);
    if (scenery.showTree) drawTree(pen, p, scenery.tree, scenery.colour);
    if (scenery.path) drawPath(pen, p, scenery.path);
    drawMarks(pen, p, scenery.marks);
    drawScale(pen, p);
  }

  private paintImage(pen: CanvasRenderingContext2D, p: Projection, scenery: Scenery): void {
    if (this.contrast !== scenery.brightness) {
      this.contrast = scenery.brightness;
      this.painted = new WeakMap();
    }
    const { all, whole } = scenery.source.patches(p.plane, p.slice, p.frame(), p.view.zoom);
    // The slice that is seen, for people who test and for programs that wait for it.
    this.canvas.dataset.slice = whole ? String(p.slice) : "";
    this.canvas.dataset.reduced = String(scenery.source.reduced);
    pen.imageSmoothingEnabled = p.view.zoom < 4;
    for (const patch of all) {
      const { from, step, width, height } = patch;
      const [left, top] = p.pixel(from[0] - 0.5, from[1] - 0.5);
      const [right, bottom] = p.pixel(
        from[0] + width * step[0] - 0.5,
        from[1] + height * step[1] - 0.5,
      );
      pen.drawImage(this.picture(patch), left, top, right - left, bottom - top);
    }
  }

  private picture(patch: Patch): HTMLCanvasElement {
    const known = this.painted.get(patch);
    if (known) return known;
    const made = document.createElement("canvas");
    [made.width, made.height] = [patch.width, patch.height];
    const pixels = new ImageData(patch.width, patch.height);
    const words = new Uint32Array(pixels.data.buffer);
    for (let i = 0; i < words.length; i++)
      words[i] = 0xff000000 | (this.contrast![patch.grey[i]!]! * 0x010101);
    made.getContext("2d")!.putImageData(pixels, 0, 0);
    this.painted.set(patch, made);
    return made;
  }
}
