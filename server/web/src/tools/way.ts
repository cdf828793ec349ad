// The way that is proposed between a node and a place.
import type { Triple } from "../data/space";
import type { PathPoint } from "../server/edits";

/** Voxels between two points of a way. */
const STEP = 2;

/** A straight way, x, y, z and radius, with both ends. */
export function straight(from: Triple, to: Triple, radius: number): PathPoint[] {
  const length = Math.hypot(...from.map((value, axis) => to[axis]! - value));
  const count = Math.max(1, Math.round(length / STEP));
  return Array.from({ length: count + 1 }, (_, i) => {
    const at = (axis: 0 | 1 | 2): number => from[axis] + ((to[axis] - from[axis]) * i) / count;
    return [at(0), at(1), at(2), radius];
  });
}
