// Where the grey values of slices come from: tiles of the server, or the preview that is here already.
import { PLANES, type Plane, type Triple } from "./space";
import type { View } from "./view";

/** The visible part of a slice: from the first to past the last voxel of columns and rows. */
export interface Frame {
  columns: [number, number];
  rows: [number, number];
}

/** A rectangle of grey values. Each stands for `step` voxels, from the voxel `from` on. */
export interface Patch {
  grey: Uint8Array;
  width: number;
  height: number;
  from: [number, number]; // column, row
  step: [number, number];
}

export interface SliceSource {
  /** Whether the voxels are those of the preview. */
  readonly reduced: boolean;
  /** The patches at hand, in the order of painting; what is missing is fetched. */
  patches(
    plane: Plane,
    slice: number,
    frame: Frame,
    zoom: number,
  ): { all: Patch[]; whole: boolean };
  /** Called when more patches are at hand. */
  onready: () => void;
  /** Called when the server refuses. */
  onproblem: (problem: Error) => void;
  close(): void;
}

/** Slices of the reduced volume, for jobs whose volume the server has no more. */
export class PreviewSlices implements SliceSource {
  readonly reduced = true;
  onready = (): void => undefined;
  onproblem = (): void => undefined;
  private readonly cut = new Map<string, Patch>();

  constructor(private readonly view: View) {}

  patches(plane: Plane, slice: number): { all: Patch[]; whole: boolean } {
    const { along } = PLANES[plane];
    const { shape, step, origin } = this.view;
    const index = Math.floor((slice - origin[along]) / step[along]);
    if (index < 0 || index >= shape[along]) return { all: [], whole: true };
    const key = `${plane}${index}`;
    const known = this.cut.get(key);
    if (known) return { all: [known], whole: true };
    if (this.cut.size > 64) this.cut.clear();
    const made = this.slice(plane, index);
    this.cut.set(key, made);
    return { all: [made], whole: true };
  }

  close(): void {
    this.cut.clear();
  }

  private slice(plane: Plane, index: number): Patch {
    const { along, columns, rows } = PLANES[plane];
    const { shape, step, origin, image } = this.view;
    const [width, height] = [shape[columns], shape[rows]];
    const stride: Triple = [shape[1] * shape[2], shape[2], 1];
    const grey = new Uint8Array(width * height);
    for (let row = 0; row < height; row++) {
      let from = index * stride[along] + row * stride[rows];
      for (let column = 0; column < width; column++, from += stride[columns])
        grey[row * width + column] = image[from]!;
    }
    return {
      grey,
      width,
      height,
      from: [origin[columns], origin[rows]],
      step: [step[columns], step[rows]],
    };
  }
}
