// From voxels to the coordinates of the scene in 3D.
import { Vector3 } from "three";
import type { Triple } from "../data/space";
import type { View } from "../data/view";

/** The middle of the view is the origin, and its longest edge is 1. */
export class World {
  readonly scale: Triple; // the size of a voxel, z, y, x
  readonly size: Vector3; // of the view, x, y, z

  /** spacing: the size of a voxel, z, y, x, in any unit. */
  constructor(
    readonly view: View,
    spacing: Triple,
  ) {
    const size = view.shape.map((n, axis) => n * view.step[axis]! * spacing[axis]!);
    const longest = Math.max(...size);
    const [z, y, x] = size.map((n) => n / longest);
    this.size = new Vector3(x, y, z);
    this.scale = spacing.map((s) => s / longest) as Triple;
  }

  at(x: number, y: number, z: number): Vector3 {
    const { view, scale } = this;
    const along = (value: number, axis: number): number =>
      (value + 0.5 - view.origin[axis]! - (view.shape[axis]! * view.step[axis]!) / 2) *
      scale[axis]!;
    // Rows run downwards, and slices run away from the camera.
    return new Vector3(along(x, 2), -along(y, 1), -along(z, 0));
  }
}
