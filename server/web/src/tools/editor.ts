// Editing: a node is selected, and what is done with it.
import type { Triple } from "../data/space";
import { placeOf, type Tree, TYPE_NAMES } from "../data/tree";
import { at, number } from "../page/dom";
import type { Mark } from "../pictures/overlay";
import type { Operation, PathPoint } from "../server/edits";

const SELECTED = "#ffffff";

/** What the editor needs from the page. */
export interface Answers {
  make(operation: Operation): Promise<boolean>;
  way(from: Triple, to: Triple, radius: number): Promise<{ path: PathPoint[]; words: string }>;
  propose(path: PathPoint[] | null): void;
  marks(marks: Mark[]): void;
  tell(words: string): void;
}

type Simple = "cut" | "delete" | "root" | "reverse";
const ASKS = {
  join: "Click the node to join with.",
  extend: "Click the place to extend to, in a slice.",
};

export class Editor {
  private tree: Tree | null = null;
  private selected: number | null = null; // the id of a node
  private waits: "join" | "extend" | null = null; // for a second click
  private search: object | null = null;
  private proposal: Operation | null = null;

  constructor(private readonly answers: Answers) {}

  show(tree: Tree): void {
    this.tree = tree;
    if (this.selected !== null && !tree.index.has(this.selected)) this.selected = null;
    this.drop();
  }

  /** A click on a place x, y, z, and on the node there if it has one. */
  async click(place: Triple, node: number | null): Promise<void> {
    if (this.waits === "join" && node !== null) await this.join(this.tree!.id[node]!);
    else if (this.waits === "extend") await this.extend(place);
    else {
      this.selected = node === null ? null : this.tree!.id[node]!;
      this.drop();
    }
  }

  async simple(op: Simple): Promise<void> {
    if (this.selected === null) return this.answers.tell("Select a node of the tree first.");
    await this.answers.make({ op, node: this.selected });
  }

  async type(): Promise<void> {
    if (this.selected === null) return this.answers.tell("Select a node of the tree first.");
    const type = Number(at<HTMLSelectElement>("edit-type").value);
    const scope = at<HTMLSelectElement>("edit-scope").value as "branch" | "subtree";
    await this.answers.make({ op: "type", node: this.selected, type, scope });
  }

  /** Waits for a click on the other end. */
  start(what: "join" | "extend"): void {
    if (this.selected === null) {
      this.answers.tell("Select a node of the tree first.");
      return;
    }
    this.drop();
    this.waits = what;
    this.describe();
    this.answers.tell(ASKS[what]);
  }

  async take(): Promise<void> {
    const operation = this.proposal;
    if (!operation) return;
    if (await this.answers.make(operation)) this.drop();
  }

  /** Forgets a proposal, and no longer waits. */
  drop(): void {
    this.waits = null;
    this.search = null;
    this.proposal = null;
    this.answers.propose(null);
    this.describe();
  }

  private async join(to: number): Promise<void> {
    const from = this.selected!;
    if (from === to) {
      this.answers.tell("A node cannot be joined with itself.");
      return;
    }
    const place = placeOf(this.tree!, this.tree!.index.get(to)!);
    await this.offer(place, (path) => ({ op: "join", from, to, path }));
  }

  private async extend(place: Triple): Promise<void> {
    const from = this.selected!;
    await this.offer(place, (path) => ({ op: "extend", from, path }));
  }

  // Another click or key while the server searches makes the search worthless.
  private async offer(to: Triple, operation: (path: PathPoint[]) => Operation): Promise<void> {
    const { tree, selected } = this;
    const search = {};
    this.search = search;
    this.answers.tell("Looking for the way…");
    const node = tree!.index.get(selected!)!;
    const found = await this.answers.way(placeOf(tree!, node), to, tree!.radius[node]!);
    if (this.search !== search || this.tree !== tree) return;
    this.drop();
    this.proposal = operation(found.path);
    this.answers.propose(found.path);
    this.answers.tell(`${found.words} Enter takes it, Escape drops it.`);
    this.describe();
  }

  private describe(): void {
    const node = this.selected === null ? undefined : this.tree?.index.get(this.selected);
    const known = node !== undefined;
    at("selected").textContent = known
      ? `node ${this.selected}: ${TYPE_NAMES[this.tree!.type[node]!] ?? "other"}, ` +
        `radius ${number(this.tree!.radius[node], 1)}, confidence ${number(this.tree!.confidence[node], 2)}`
      : "Click the tree to select a node.";
    at("proposal").hidden = !this.proposal;
    for (const one of at("edit-actions").querySelectorAll<HTMLButtonElement>("button"))
      one.disabled = !known;
    for (const what of ["join", "extend"] as const)
      at(`edit-${what}`).setAttribute("aria-pressed", String(this.waits === what));
    this.answers.marks(
      known ? [{ place: placeOf(this.tree!, node), colour: SELECTED, now: true }] : [],
    );
  }
}
