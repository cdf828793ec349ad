// Places in a volume, and the three planes through it. Axes are counted 0 z, 1 y, 2 x.
export type Triple = [number, number, number];
export type Axis = 0 | 1 | 2;
export type Plane = "xy" | "yz" | "xz";

/** The axis along which a plane's slices follow each other, and those of its columns and rows. */
export interface Axes {
  along: Axis;
  columns: Axis;
  rows: Axis;
}
export const PLANES: Record<Plane, Axes> = {
  xy: { along: 0, columns: 2, rows: 1 },
  yz: { along: 2, columns: 0, rows: 1 },
  xz: { along: 1, columns: 2, rows: 0 },
};
export const LETTERS = ["z", "y", "x"] as const;
/** The colours of the axes, in every picture. */
export const AXIS_COLOURS = ["#6aa8ff", "#e8d26a", "#ff8a7a"] as const;

/** The voxels of a volume: their number and size, z, y, x. */
export interface Space {
  shape: Triple;
  spacing: Triple; // in `unit`
  unit: "µm" | "voxels";
}

/** The size of a voxel along each axis, in finest voxels. */
export function stretch({ spacing }: Space): Triple {
  const finest = Math.min(...spacing);
  return spacing.map((size) => size / finest) as Triple;
}

export const reversed = ([a, b, c]: Triple): Triple => [c, b, a];

/** The largest of 1, 2, 5, 10, … that is at most `most`. */
export function roundLength(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most));
  return power * (most >= 5 * power ? 5 : most >= 2 * power ? 2 : 1);
}
