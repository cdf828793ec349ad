// Proofreading of one job: its doubts, its edits, and the keys for both.
import { reversed, type Triple } from "../data/space";
import { parseTree, pieceOf, type Tree } from "../data/tree";
import { at, make, save } from "../page/dom";
import type { Click, Pictures } from "../page/pictures";
import { stemOf } from "../page/result";
import * as api from "../server/api";
import * as edits from "../server/edits";
import { Doubts } from "./doubts";
import { Editor } from "./editor";
import { type Keys, listenTo } from "./keys";
import { Ledger } from "./ledger";
import { propose } from "./way";

type Guard = (work: () => Promise<void>) => void;

export class Proof {
  /** Called when the tree is another than before. */
  onchange: () => void = () => undefined;
  private ledger: Ledger | null = null;
  /** What the names of saved files begin with. */
  stem = "";
  private drawn: Tree | null = null;
  private refused: edits.Operation | null = null;
  private pieces: Promise<Tree> | null = null;
  private shown: api.Doubt | null = null; // whose piece is shown
  private readonly doubts: Doubts;
  private readonly editor: Editor;

  constructor(
    private readonly pictures: Pictures,
    private readonly guarded: Guard,
  ) {
    this.doubts = new Doubts({
      look: (place) => pictures.fly(place),
      decide: async (doubt, op) => void (await this.make({ op, doubt })),
      missing: (doubt) => guarded(() => this.showMissing(doubt)),
      marks: (marks) => pictures.mark("doubts", marks),
    });
    this.editor = new Editor({
      make: (operation) => this.make(operation),
      way: (from, to, radius) => propose(this.ledger!.job, from, to, radius),
      propose: (path) => pictures.propose(path?.map(([x, y, z]) => [x, y, z]) ?? null),
      marks: (marks) => pictures.mark("selected", marks),
      tell,
    });
    this.wire();
  }

  /** Shows a job's doubts, and its edits where its kind has a tree. */
  async show(job: api.Job, report: api.Report, tree: Tree): Promise<void> {
    this.stem = stemOf(job);
    this.refused = null;
    this.ledger = new Ledger(job.id, tree);
    this.pieces = null;
    this.drawn = tree;
    at("edit-bar").hidden = at("history-area").hidden = job.kind === "enhance";
    at("doubts-area").hidden = job.kind === "enhance";
    at("conflict").hidden = true;
    tell("");
    this.doubts.show(report.doubts ?? []);
    this.editor.show(tree);
    if (job.kind === "enhance") return;
    const mine = this.ledger;
    mine.onchange = () => this.ledger === mine && this.changed();
    await mine.load();
  }

  /** A click in a picture selects the node there, or ends what the editor waits for. */
  click({ place, node }: Click): void {
    const there: Triple = reversed(place);
    this.guarded(() => this.editor.click(there, node));
  }

  // The pieces of a job are fetched once, when one of them is looked at.
  private async showMissing(doubt: api.Doubt | null): Promise<void> {
    this.shown = doubt;
    const { ledger } = this;
    if (!ledger || doubt?.piece == null) return this.pictures.showBeside("missing", null);
    this.pieces ??= edits.pieces(ledger.job).then((text) => parseTree(text, []));
    const all = await this.pieces;
    if (this.ledger !== ledger || this.shown !== doubt) return;
    // An end goes on over a gap; a branch begins at its fork.
    const from = doubt.kind === "end" ? doubt.place : null;
    this.pictures.showBeside("missing", pieceOf(all, doubt.piece, from));
  }

  private changed(): void {
    const { record, tree } = this.ledger!;
    this.doubts.decided(record.doubts, record.moot);
    this.editor.show(tree);
    if (tree !== this.drawn) this.pictures.grow(tree);
    this.drawn = tree;
    at<HTMLButtonElement>("undo").disabled = !record.can_undo;
    at<HTMLButtonElement>("redo").disabled = !record.can_redo;
    at("edited-swc").hidden = record.revision === 0;
    at("history").replaceChildren(...record.operations.map(entry));
    at("no-history").hidden = record.operations.length > 0;
    this.onchange();
  }

  // Makes an edit, and says so. After a conflict it is offered again.
  private async make(operation: edits.Operation): Promise<boolean> {
    try {
      await this.ledger!.do(operation);
      at("conflict").hidden = true;
      tell(`${words(operation)}: done.`);
      return true;
    } catch (error) {
      if (error instanceof edits.Conflict) this.conflict(operation);
      else if (error instanceof api.Problem && error.status === 422) tell(error.message);
      else throw error;
      return false;
    }
  }

  private conflict(operation: edits.Operation): void {
    this.refused = operation;
    const by = this.ledger!.record.operations.at(-1)?.author;
    at("conflict-words").textContent =
      `${by ? `${by} has` : "Somebody has"} edited this tree meanwhile, and it was loaded again. ` +
      `Your edit was not made: ${words(operation)}.`;
    at("conflict").hidden = false;
    at("conflict-again").focus();
  }

  private wire(): void {
    const run = (work: () => Promise<unknown>) => (): void =>
      this.guarded(async () => void (await work()));
    const simple = (op: "cut" | "delete" | "root" | "reverse") => run(() => this.editor.simple(op));
    const actions: Record<string, () => void> = {
      accept: run(() => this.doubts.decide("accept")),
      reject: run(() => this.doubts.decide("reject")),
      undo: run(() => this.make({ op: "undo" })),
      redo: run(() => this.make({ op: "redo" })),
      "edit-cut": simple("cut"),
      "edit-delete": simple("delete"),
      "edit-root": simple("root"),
      "edit-reverse": simple("reverse"),
      "edit-join": () => this.editor.start("join"),
      "edit-extend": () => this.editor.start("extend"),
      "edit-set-type": run(() => this.editor.type()),
      take: run(() => this.editor.take()),
      "drop-way": () => this.editor.drop(),
      "conflict-again": run(async () => this.refused && (await this.make(this.refused))),
      "conflict-leave": () => (at("conflict").hidden = true),
      "edited-swc": run(async () =>
        save(await api.file(this.ledger!.job, "edits/tree.swc"), `${this.stem}_edited.swc`),
      ),
    };
    for (const [id, action] of Object.entries(actions)) at(id).onclick = action;
    const keys: Keys = {
      n: () => this.doubts.step(1),
      p: () => this.doubts.step(-1),
      a: actions.accept!,
      r: actions.reject!,
      c: actions["edit-cut"]!,
      Delete: actions["edit-delete"]!,
      o: actions["edit-root"]!,
      v: actions["edit-reverse"]!,
      j: actions["edit-join"]!,
      e: actions["edit-extend"]!,
      t: actions["edit-set-type"]!,
      Enter: actions.take!,
      Escape: actions["drop-way"]!,
      "Ctrl+z": actions.undo!,
      "Ctrl+Z": actions.redo!,
      "Ctrl+y": actions.redo!,
    };
    const shown = (): boolean => !at("result").hidden && !at("stage-area").hidden;
    listenTo(keys, () => this.ledger !== null && shown());
  }
}

function tell(text: string): void {
  at("told").textContent = text;
}

function words(operation: edits.Operation): string {
  const { op } = operation;
  if (op === "accept" || op === "reject") return `${op} doubt ${operation.doubt}`;
  if (op === "join") return `join nodes ${operation.from} and ${operation.to}`;
  if (op === "extend") return `extend from node ${operation.from}`;
  if (op === "type") return `type ${operation.type} at node ${operation.node}`;
  if (op === "root") return `root at node ${operation.node}`;
  return "node" in operation ? `${op} at node ${operation.node}` : op;
}

function entry({ op, author, time, in_force, ...details }: edits.Done): HTMLLIElement {
  const when = new Date(time);
  const told = words({ op, ...details } as unknown as edits.Operation);
  const stamp = make(
    "time",
    { dateTime: time },
    when.toLocaleString([], { timeStyle: "short", dateStyle: "short" }),
  );
  const taken = in_force || op === "undo" || op === "redo" ? "" : " (taken back)";
  return make("li", {}, `${told}${taken} · ${author} · `, stamp);
}
