// The measurements of a job's tree.
import { ask } from "./api";

/** Of a tree, or of its nodes of one type; the length is in the unit of the whole. */
export interface Part {
  length: number;
  branches: number;
  tips: number;
  forks: number;
}
export interface Measurements extends Part {
  unit: "um" | "voxel";
  nodes: number;
  trees: number;
  strahler: number;
  tortuosity: number | null;
  longest: number;
  by_type: { [type: string]: Part };
  sholl: { step: number; crossings: number[] };
}

/** Those of the tree with its edits. */
export const measurements = async (job: string): Promise<Measurements> =>
  (await (await ask(`/v1/jobs/${job}/measurements?edited=true`)).json()) as Measurements;
