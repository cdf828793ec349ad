// The tree of a job as people have edited it. The server applies each edit; the page fetches the tree.
import { carryConfidence, parseTree, type Tree } from "../data/tree";
import * as edits from "../server/edits";

const NOTHING: edits.Record = {
  revision: 0,
  can_undo: false,
  can_redo: false,
  operations: [],
  doubts: {},
  moot: [],
};

export class Ledger {
  record = NOTHING;
  tree: Tree;
  /** Called when tree or record are others than before. */
  onchange: () => void = () => undefined;
  // One edit at a time, in the order of the clicks.
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    readonly job: string,
    private readonly traced: Tree,
  ) {
    this.tree = traced;
  }

  /** The edits that were made before. */
  async load(): Promise<void> {
    await this.take(await edits.record(this.job));
  }

  /** Makes an edit. Throws `Conflict` if somebody else was faster; the tree is then theirs. */
  do(operation: edits.Operation): Promise<void> {
    const mine = this.last.then(() => this.make(operation));
    this.last = mine.catch(() => undefined);
    return mine;
  }

  private async make(operation: edits.Operation): Promise<void> {
    try {
      await this.take(await edits.edit(this.job, this.record.revision, operation));
    } catch (error) {
      if (error instanceof edits.Conflict) await this.take(error.record);
      throw error;
    }
  }

  private async take(record: edits.Record): Promise<void> {
    const same = record.revision === this.record.revision;
    if (!same)
      this.tree = record.revision
        ? carryConfidence(parseTree(await edits.tree(this.job), []), this.traced)
        : this.traced;
    this.record = record;
    this.onchange();
  }
}
