// All pictures of a result beside each other: linked slices, 3D, projections.
import { PreviewSlices, type SliceSource } from "../data/slices";
import { PLANES, type Plane, reversed, type Space, type Triple } from "../data/space";
import { type Beside, type Colouring, placeOf, type Tree } from "../data/tree";
import type { View } from "../data/view";
import { Viewpoint } from "../data/viewpoint";
import { automatic, type Contrast, PLAIN, table } from "../pictures/contrast";
import { Flat } from "../pictures/flat";
import { listen } from "../pictures/gestures";
import { type Mark, nodeNear } from "../pictures/overlay";
import type { Stage } from "../pictures/scene";
import { type Scenery, Slice } from "../pictures/slice";
import * as api from "../server/api";
import { TileSlices } from "../server/tiles";
import { at } from "./dom";
import { legend } from "./legend";

export type Layout = "slices" | "3d" | "2d";
const BUTTONS: Record<Layout, string> = { slices: "show-slices", "3d": "show-3d", "2d": "show-2d" };

/** A place that is flown to is seen with at least so many finest voxels around it. */
const NEIGHBOURHOOD = 140;

/** A click on a picture: a place z, y, x, the node there if one was hit, and the projection's guess. */
export interface Click {
  place: Triple;
  node: number | null;
  flat: boolean;
}

export class Pictures {
  view: Viewpoint | null = null;
  onclick: (click: Click) => void = () => undefined;
  onview: () => void = () => undefined;
  private readonly slices: Slice[];
  private readonly flat: Flat;
  private stage: Stage | null = null;
  private hasWebGL = true;
  private scenery: Scenery | null = null;
  private first: Contrast = PLAIN; // of this volume, before somebody changes it
  private contrast: Contrast = { ...PLAIN };
  private layout: Layout = "slices";
  private readonly marks = new Map<string, Mark[]>();

  constructor() {
    this.flat = new Flat(at<HTMLCanvasElement>("canvas-2d"));
    this.slices = (Object.keys(PLANES) as Plane[]).map(
      (plane) => new Slice(at<HTMLCanvasElement>(`slice-${plane}`), plane),
    );
    for (const slice of this.slices)
      listen(slice, {
        click: (place) => this.onclick({ place, node: this.nodeIn(slice, place), flat: false }),
        contrast: (window, level) => this.adjust(window, level),
        fit: () => this.home(),
      });
    this.wire();
  }

  /** Shows a result: at once in the preview's slices, and in those of the server when they are here. */
  async show(job: string, view: View, tree: Tree, space: Space): Promise<void> {
    this.scenery?.source.close();
    this.marks.clear();
    this.view = new Viewpoint(space);
    this.scenery = {
      view: this.view,
      source: new PreviewSlices(view),
      tree,
      beside: new Map(),
      colour: "confidence",
      showImage: true,
      showTree: true,
      brightness: table(this.contrast),
      marks: [],
      path: null,
    };
    this.view.onchange(() => this.moved());
    for (const slice of this.slices) slice.scenery = this.scenery;
    this.flat.show(view, tree, this.scenery.beside, space.spacing);
    const root = tree.count ? placeOf(tree, 0) : null;
    if (root) this.view.point(reversed(root));
    this.look();
    this.home();
    await Promise.all([this.show3d(view, space), this.tiles(job)]);
  }

  /** Another tree of the same volume. */
  grow(tree: Tree): void {
    if (!this.scenery) return;
    this.scenery.tree = tree;
    this.flat.grow(tree);
    this.stage?.grow(tree, this.scenery.colour);
    this.draw();
  }

  /** Shows another tree below the tree, or none of its kind. */
  showBeside(kind: Beside, tree: Tree | null): void {
    if (!this.scenery) return;
    const { beside } = this.scenery;
    if (tree) beside.set(kind, tree);
    else if (!beside.delete(kind)) return;
    this.stage?.showBeside(kind, tree);
    this.flat.draw();
    this.draw();
  }

  /** Rings around places; those of each kind replace the earlier ones of that kind. */
  mark(kind: string, some: Mark[]): void {
    this.marks.set(kind, some);
    if (!this.scenery) return;
    const marks = [...this.marks.values()].flat();
    this.scenery.marks = marks;
    this.stage?.mark(marks);
    this.flat.mark(marks);
    this.draw();
  }

  propose(path: Triple[] | null): void {
    if (!this.scenery) return;
    this.scenery.path = path;
    this.stage?.propose(path);
    this.draw();
  }

  /** Moves all pictures to a place x, y, z. */
  fly([x, y, z]: Triple): void {
    if (!this.view) return;
    const { clientWidth, clientHeight } = at("slice-xy");
    this.view.zoom = Math.max(this.view.zoom, Math.min(clientWidth, clientHeight) / NEIGHBOURHOOD);
    this.view.point([z, y, x], true);
    this.stage?.fly([x, y, z]);
  }

  private nodeIn(slice: Slice, place: Triple): number | null {
    const projection = slice.projection();
    return projection && this.scenery?.showTree
      ? nodeNear(projection, this.scenery.tree, place)
      : null;
  }

  flip(to: Layout): void {
    this.layout = to === "3d" && !this.hasWebGL ? "2d" : to;
    at("panes").dataset.layout = this.layout;
    for (const [layout, id] of Object.entries(BUTTONS))
      at(id).setAttribute("aria-pressed", String(layout === this.layout));
    at("contrast").hidden = this.layout !== "slices";
    this.onview();
  }

  get shownLayout(): Layout {
    return this.layout;
  }

  home(): void {
    if (!this.view) return;
    const { clientWidth, clientHeight } = at("slice-xy");
    this.view.fit(clientWidth - 16, clientHeight - 16);
    this.stage?.home();
  }

  private async show3d(view: View, space: Space): Promise<void> {
    if (!this.hasWebGL) return;
    try {
      const { Stage } = await import("../pictures/scene");
      this.stage ??= new Stage(at<HTMLCanvasElement>("canvas-3d"));
      this.stage.show(view, space.spacing);
      this.stage.grow(this.scenery!.tree, this.scenery!.colour);
      for (const [kind, other] of this.scenery!.beside) this.stage.showBeside(kind, other);
      this.stage.mark(this.scenery!.marks);
      this.stage.point(this.view!.cursor);
      this.look();
    } catch (error) {
      console.warn(error);
      this.hasWebGL = false;
      at("no-webgl").hidden = false;
      at("canvas-3d").hidden = true;
      at<HTMLButtonElement>("show-3d").disabled = true;
    }
  }

  // Without tiles, for a job whose volume is gone, the preview stays.
  private async tiles(job: string): Promise<void> {
    const mine = this.scenery;
    this.first = PLAIN;
    this.use(mine!.source);
    try {
      const pyramid = await api.pyramid(job);
      if (this.scenery !== mine) return;
      const [black, white] = pyramid.window;
      this.first = { window: white - black, level: (white + black) / 2, gamma: 1 };
      this.set(this.first);
      this.use(new TileSlices(job, pyramid));
    } catch (error) {
      if (!(error instanceof api.Problem) || ![404, 409].includes(error.status)) throw error;
      at("reduced").hidden = false;
    }
  }

  private use(source: SliceSource): void {
    at("reduced").hidden = true;
    source.onready = () => this.draw();
    source.onproblem = (problem) => (at("problem").textContent = problem.message);
    this.scenery!.source = source;
    this.draw();
  }

  private moved(): void {
    this.stage?.point(this.view!.cursor);
    const { space, cursor } = this.view!;
    const [z, y, x] = cursor;
    const size = cursor.map((value, axis) => (value * space.spacing[axis]!).toFixed(1));
    const metric = space.unit === "µm" ? ` (${size[2]}, ${size[1]}, ${size[0]} µm)` : "";
    at("place").textContent = `x ${x}, y ${y}, z ${z}${metric}`;
    this.draw();
    this.onview();
  }

  private draw(): void {
    for (const slice of this.slices) slice.draw();
  }

  private look(): void {
    const on = (id: string): boolean => at<HTMLInputElement>(id).checked;
    if (!this.scenery) return;
    const opacity = Number(at<HTMLInputElement>("opacity").value);
    const colour = at<HTMLSelectElement>("colour").value as Colouring;
    const [image, mask, tree] = [
      on("see-image") ? opacity : 0,
      on("see-mask") ? 1 : 0,
      on("see-tree"),
    ];
    Object.assign(this.scenery, { showImage: on("see-image"), showTree: tree, colour });
    this.flat.look({ image, mask, tree, colour });
    this.stage?.look(image, mask, tree);
    this.stage?.colour(colour);
    legend(colour);
    this.draw();
  }

  private adjust(window: number, level: number): void {
    this.contrast.window = Math.max(1, Math.min(510, this.contrast.window + window));
    this.contrast.level = Math.max(0, Math.min(255, this.contrast.level + level));
    for (const name of ["window", "level"] as const)
      at<HTMLInputElement>(name).value = String(this.contrast[name]);
    this.brighten();
  }

  private brighten(): void {
    if (!this.scenery) return;
    this.scenery.brightness = table(this.contrast);
    this.draw();
  }

  private wire(): void {
    for (const id of ["see-image", "see-mask", "see-tree", "opacity", "colour"])
      at(id).oninput = () => this.look();
    for (const [layout, id] of Object.entries(BUTTONS))
      at(id).onclick = () => this.flip(layout as Layout);
    at("home").onclick = () => this.home();
    for (const name of ["window", "level", "gamma"] as const) {
      const input = at<HTMLInputElement>(name);
      input.oninput = () => {
        this.contrast[name] = Number(input.value);
        this.brighten();
      };
    }
    at("auto").onclick = () => this.automatic();
    at("plain").onclick = () => this.set(this.first);
    at("canvas-2d").onclick = (event) => {
      const place = this.flat.voxelAt(event.offsetX, event.offsetY);
      if (place) this.onclick({ place: [place[2], place[1], place[0]], node: null, flat: true });
    };
    this.wire3d(at("canvas-3d"));
  }

  // A drag turns the scene, and a click points at a node.
  private wire3d(canvas: HTMLElement): void {
    let from: [number, number] = [0, 0];
    canvas.addEventListener("pointerdown", (event) => (from = [event.offsetX, event.offsetY]));
    canvas.addEventListener("click", ({ offsetX, offsetY }) => {
      if (Math.hypot(offsetX - from[0], offsetY - from[1]) > 4 || !this.scenery) return;
      const node = this.stage?.nodeAt(offsetX, offsetY) ?? null;
      if (node === null) return;
      const [x, y, z] = this.scenery.tree.xyz.subarray(3 * node, 3 * node + 3);
      this.onclick({ place: [z!, y!, x!], node, flat: false });
    });
  }

  private automatic(): void {
    const p = this.slices[0]!.projection();
    if (!p || !this.scenery) return;
    const { all } = this.scenery.source.patches(p.plane, p.slice, p.frame(), p.view.zoom);
    if (all.length) this.set(automatic(all.map(({ grey }) => grey)));
  }

  private set(contrast: Contrast): void {
    this.contrast = { ...contrast };
    for (const name of ["window", "level", "gamma"] as const)
      at<HTMLInputElement>(name).value = String(contrast[name]);
    this.brighten();
  }
}
