// From voxels to the pixels of one slice, and back.

import type { Frame } from "../data/slices";
import { type Axes, PLANES, type Plane, stretch, type Triple } from "../data/space";
import type { Viewpoint } from "../data/viewpoint";

export class Projection {
  readonly axes: Axes;
  private readonly across: number; // pixels for a voxel along the columns
  private readonly down: number;

  constructor(
    readonly plane: Plane,
    readonly view: Viewpoint,
    readonly width: number,
    readonly height: number,
  ) {
    this.axes = PLANES[plane];
    const scale = stretch(view.space);
    this.across = view.zoom * scale[this.axes.columns];
    this.down = view.zoom * scale[this.axes.rows];
  }

  get slice(): number {
    return this.view.cursor[this.axes.along];
  }

  /** Pixels for a voxel along columns and rows. */
  get size(): [number, number] {
    return [this.across, this.down];
  }

  /** The pixel of a place along columns and rows, in voxels; a voxel's middle is a whole number. */
  pixel(column: number, row: number): [number, number] {
    const { centre } = this.view;
    return [
      this.width / 2 + (column - centre[this.axes.columns]) * this.across,
      this.height / 2 + (row - centre[this.axes.rows]) * this.down,
    ];
  }

  /** The place z, y, x under a pixel, in the slice. */
  place(left: number, top: number): Triple {
    const { centre } = this.view;
    const at: Triple = [...this.view.cursor];
    at[this.axes.columns] = centre[this.axes.columns] + (left - this.width / 2) / this.across;
    at[this.axes.rows] = centre[this.axes.rows] + (top - this.height / 2) / this.down;
    return at;
  }

  /** The voxels that are seen. */
  frame(): Frame {
    const first = this.place(0, 0);
    const last = this.place(this.width, this.height);
    const { columns, rows } = this.axes;
    const span = (axis: 0 | 1 | 2): [number, number] => [
      Math.max(0, Math.floor(first[axis])),
      Math.min(this.view.space.shape[axis], Math.ceil(last[axis]) + 1),
    ];
    return { columns: span(columns), rows: span(rows) };
  }
}
