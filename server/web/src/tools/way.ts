// The way that is proposed between a node and a place.
import type { Triple } from "../data/space";
import { Problem } from "../server/api";
import { type PathPoint, way } from "../server/edits";

/** Voxels between two points of a way. */
const STEP = 2;

/** The way that the server finds, or a straight one where it finds none, and what it is in words. */
export async function propose(
  job: string,
  from: Triple,
  to: Triple,
  radius: number,
): Promise<{ path: PathPoint[]; words: string }> {
  try {
    const { path, supported } = await way(job, from, to);
    return { path, words: `A way is proposed; ${Math.round(100 * supported)} % lie in the mask.` };
  } catch (error) {
    if (!(error instanceof Problem) || error.status === 401 || error.status === 0) throw error;
    const words = `A straight way is proposed, because the server has none: ${error.message}.`;
    return { path: straight(from, to, radius), words };
  }
}

/** A straight way, x, y, z and radius, with both ends. */
export function straight(from: Triple, to: Triple, radius: number): PathPoint[] {
  const length = Math.hypot(...from.map((value, axis) => to[axis]! - value));
  const count = Math.max(1, Math.round(length / STEP));
  return Array.from({ length: count + 1 }, (_, i) => {
    const at = (axis: 0 | 1 | 2): number => from[axis] + ((to[axis] - from[axis]) * i) / count;
    return [at(0), at(1), at(2), radius];
  });
}
