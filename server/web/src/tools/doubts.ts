// The places to proofread, as a list: next and previous, accepted and rejected.
import type { Triple } from "../data/space";
import { at, button, make } from "../page/dom";
import type { Mark } from "../pictures/overlay";
import type { Doubt } from "../server/api";

export type Decision = "accepted" | "rejected";

const COLOURS = { open: "#ffd23f", accepted: "#6aa8ff", rejected: "#ff5ce1" };
const SIGNS = { open: "", accepted: "✓ ", rejected: "✗ ", moot: "– " };
const WORDS = { accepted: "accepted", rejected: "rejected", moot: "its place has left the tree" };
/** What Reject does with the doubt that is looked at. */
const REJECTED: Record<string, string> = {
  join: "Reject takes out what lies beyond the gap.",
  segment: "Reject takes it out, with all that hangs on it.",
  missing: "The piece that was left out is drawn in pink. Reject adds it.",
};

/** What the list needs from the page. */
export interface Answers {
  look(place: Triple): void;
  /** What the tree lacks at an open doubt is shown, or nothing. */
  missing(doubt: Doubt | null): void;
  decide(doubt: number, op: "accept" | "reject"): Promise<void>;
  marks(marks: Mark[]): void;
}

export class Doubts {
  private all: Doubt[] = [];
  private decisions: { [doubt: string]: Decision } = {}; // by the server's numbers
  private moot: number[] = []; // likewise
  private now = -1;

  constructor(private readonly answers: Answers) {
    at("next-doubt").onclick = () => this.step(1);
    at("previous-doubt").onclick = () => this.step(-1);
  }

  show(doubts: Doubt[]): void {
    this.all = doubts;
    this.decisions = {};
    this.moot = [];
    this.now = -1;
    at("doubts-area").hidden = false;
    at("no-doubts").hidden = doubts.length > 0;
    this.fill();
  }

  /** The decisions as the server has them, and the doubts that need none. */
  decided(decisions: { [doubt: string]: Decision }, moot: number[]): void {
    this.decisions = decisions;
    this.moot = moot;
    this.fill();
  }

  /** The doubt that is looked at, or null. */
  get current(): number | null {
    return this.now < 0 ? null : this.now;
  }

  choose(doubt: number): void {
    this.now = doubt;
    this.answers.look(this.all[doubt]!.place);
    this.fill();
    at("doubts").children[doubt]?.scrollIntoView({ block: "nearest" });
  }

  /** To the next doubt whose place is still in the tree, or the one before; around the ends. */
  step(by: number): void {
    const { length } = this.all;
    const from = this.now < 0 && by < 0 ? length : this.now;
    const order = this.all.map((_, i) => (from + by * (i + 1) + 2 * length) % length);
    const next = order.find((i) => this.stateOf(i) !== "moot");
    if (next !== undefined) this.choose(next);
  }

  /** Decides the doubt that is looked at, and goes to the next one that is open. */
  async decide(op: "accept" | "reject"): Promise<void> {
    const doubt = this.current;
    if (doubt === null) return this.step(1);
    await this.answers.decide(doubt + 1, op);
    const order = this.all.map((_, i) => (doubt + 1 + i) % this.all.length);
    const open = order.find((i) => this.stateOf(i) === "open");
    if (open !== undefined) this.choose(open);
  }

  // The server counts doubts from 1.
  private stateOf(doubt: number): Decision | "open" | "moot" {
    return this.decisions[doubt + 1] ?? (this.moot.includes(doubt + 1) ? "moot" : "open");
  }

  private fill(): void {
    const focused = at("doubts").contains(document.activeElement);
    at("doubts").replaceChildren(...this.all.map((_, i) => this.item(i)));
    if (focused && this.now >= 0) at("doubts").querySelectorAll("button")[this.now]?.focus();
    const decided = Object.keys(this.decisions).length;
    const gone = this.moot.length ? `, ${this.moot.length} gone` : "";
    at("doubts-state").textContent = this.all.length
      ? `${this.now < 0 ? "" : `${this.now + 1} of `}${this.all.length}, ${decided} decided${gone}`
      : "";
    const doubt = this.now >= 0 && this.stateOf(this.now) === "open" ? this.all[this.now]! : null;
    this.answers.missing(doubt);
    at("doubt-help").textContent = doubt
      ? (REJECTED[doubt.piece == null ? doubt.kind : "missing"] ?? "")
      : "";
    for (const id of ["next-doubt", "previous-doubt"])
      at<HTMLButtonElement>(id).disabled = !this.all.length;
    for (const id of ["accept", "reject"])
      at<HTMLButtonElement>(id).disabled = this.current === null;
    this.answers.marks(
      this.all.flatMap(({ place }, i) => {
        const state = this.stateOf(i);
        return state === "moot" ? [] : [{ place, colour: COLOURS[state], now: i === this.now }];
      }),
    );
  }

  private item(i: number): HTMLLIElement {
    const { kind, says } = this.all[i]!;
    const state = this.stateOf(i);
    const choice = button("", () => this.choose(i));
    choice.className = state;
    choice.setAttribute("aria-current", String(i === this.now));
    choice.append(`${SIGNS[state]}${kind}: ${says}`);
    if (state !== "open") choice.append(make("span", { className: "unseen" }, `, ${WORDS[state]}`));
    if (state === "moot") choice.title = "An edit has taken its place out of the tree.";
    return make("li", {}, choice);
  }
}
