// The edits of a job's tree: requests, and the revision that the page knows.
import type { Triple } from "../data/space";
import { ask, Problem } from "./api";

/** What a person does with a tree. Doubts are counted from 1. Nodes are those of the SWC file; a path is x, y, z, radius. */
export type Operation =
  | { op: "accept" | "reject"; doubt: number }
  | { op: "cut" | "delete" | "root" | "reverse"; node: number }
  | { op: "join"; from: number; to: number; path: PathPoint[] }
  | { op: "extend"; from: number; path: PathPoint[] }
  | { op: "type"; node: number; type: number; scope: "branch" | "subtree" }
  | { op: "undo" | "redo" };
export type PathPoint = [number, number, number, number];

export interface Done {
  revision: number;
  op: string;
  author: string;
  time: string;
  in_force: boolean; // neither undone nor an undo
  [detail: string]: unknown;
}
export interface Record {
  revision: number;
  can_undo: boolean;
  can_redo: boolean;
  operations: Done[];
  doubts: { [doubt: string]: "accepted" | "rejected" };
  moot: number[]; // doubts without an answer whose place an edit has taken away
}

/** Somebody else edited the tree: nothing was done, and `record` is what stands now. */
export class Conflict extends Error {
  constructor(readonly record: Record) {
    super("somebody else edited this tree");
  }
}

export const record = async (job: string): Promise<Record> =>
  (await (await ask(`/v1/jobs/${job}/edits`)).json()) as Record;

/** What the tree lacks where its doubts are wrong: a root for each piece, in voxels. */
export const pieces = async (job: string): Promise<string> =>
  (await ask(`/v1/jobs/${job}/pieces`)).text();

export const tree = async (job: string): Promise<string> =>
  (await ask(`/v1/jobs/${job}/edits/tree`)).text();

/** Edits the tree at a revision. Throws a `Conflict` where another one stands. */
export async function edit(job: string, revision: number, operation: Operation): Promise<Record> {
  try {
    const answer = await ask(`/v1/jobs/${job}/edits`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "If-Match": `"${revision}"` },
      body: JSON.stringify(operation),
    });
    return (await answer.json()) as Record;
  } catch (error) {
    if (error instanceof Problem && error.status === 412) throw new Conflict(await record(job));
    throw error;
  }
}

/** A way between two places, and the share of it that lies in the mask. */
export interface Way {
  path: PathPoint[];
  supported: number;
}

/** The cheapest way through the probability between two places, x, y, z. */
export async function way(job: string, from: Triple, to: Triple): Promise<Way> {
  const answer = await ask(`/v1/jobs/${job}/path?from=${from.join(",")}&to=${to.join(",")}`);
  return (await answer.json()) as Way;
}
