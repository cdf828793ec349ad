// Where all pictures of a volume look: the voxel under the crosshair, the middle, and the zoom.
import { type Axis, type Space, stretch, type Triple } from "./space";

export class Viewpoint {
  cursor: Triple = [0, 0, 0]; // z, y, x, whole voxels
  centre: Triple = [0, 0, 0]; // z, y, x, in voxels
  zoom = 1; // pixels of the page for a finest voxel
  private readonly listeners = new Set<() => void>();

  constructor(readonly space: Space) {
    this.cursor = space.shape.map((n) => n >> 1) as Triple;
    this.centre = space.shape.map((n) => (n - 1) / 2) as Triple;
  }

  onchange(listener: () => void): void {
    this.listeners.add(listener);
  }

  /** Moves the crosshair. What it leaves the picture by is added to the middle. */
  point(place: Triple, follow = false): void {
    const { shape } = this.space;
    this.cursor = place.map((value, axis) =>
      Math.max(0, Math.min(shape[axis]! - 1, Math.round(value))),
    ) as Triple;
    if (follow) this.centre = [...this.cursor];
    this.told();
  }

  /** Moves the crosshair along one axis, by voxels. */
  step(axis: Axis, by: number): void {
    const next: Triple = [...this.cursor];
    next[axis] += by;
    this.point(next);
  }

  pan(axis: Axis, voxels: number): void {
    this.centre[axis] += voxels;
    this.told();
  }

  /** Changes the zoom by a factor; the place z, y, x stays where it is on the screen. */
  magnify(factor: number, about: Triple = this.centre): void {
    const zoom = Math.max(0.02, Math.min(64, this.zoom * factor));
    const kept = this.zoom / zoom;
    this.centre = this.centre.map(
      (value, axis) => about[axis]! + (value - about[axis]!) * kept,
    ) as Triple;
    this.zoom = zoom;
    this.told();
  }

  /** Shows the whole volume in a picture of that size. */
  fit(width: number, height: number): void {
    const scale = stretch(this.space);
    const [z, y, x] = this.space.shape.map((n, axis) => n * scale[axis]!);
    this.centre = this.space.shape.map((n) => (n - 1) / 2) as Triple;
    this.zoom = Math.max(0.02, Math.min(width / x!, height / y!, Math.max(width, height) / z!));
    this.told();
  }

  told(): void {
    for (const listener of this.listeners) listener();
  }
}
