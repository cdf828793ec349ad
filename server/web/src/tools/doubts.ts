// The places to proofread, as a list: next and previous, accepted and rejected.
import type { Triple } from "../data/space";
import { at, button, make } from "../page/dom";
import type { Mark } from "../pictures/overlay";
import type { Doubt } from "../server/api";

export type Decision = "accepted" | "rejected";

const COLOURS = { open: "#ffd23f", accepted: "#6aa8ff", rejected: "#ff5ce1" };
const SIGNS = { open: "", accepted: "✓ ", rejected: "✗ " };

/** What the list needs from the page. */
export interface Answers {
  look(place: Triple): void;
  decide(doubt: number, op: "accept" | "reject"): Promise<void>;
  marks(marks: Mark[]): void;
}

export class Doubts {
  private all: Doubt[] = [];
  private decisions: { [doubt: string]: Decision } = {}; // by the server's numbers
  private now = -1;

  constructor(private readonly answers: Answers) {
    at("next-doubt").onclick = () => this.step(1);
    at("previous-doubt").onclick = () => this.step(-1);
  }

  show(doubts: Doubt[]): void {
    this.all = doubts;
    this.decisions = {};
    this.now = -1;
    at("doubts-area").hidden = false;
    at("no-doubts").hidden = doubts.length > 0;
    this.fill();
  }

  /** The decisions as the server has them. */
  decided(decisions: { [doubt: string]: Decision }): void {
    this.decisions = decisions;
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

  /** To the next doubt, or the one before; around the ends. */
  step(by: number): void {
    const { length } = this.all;
    if (length)
      this.choose(this.now < 0 && by < 0 ? length - 1 : (this.now + by + length) % length);
  }

  /** Decides the doubt that is looked at, and goes to the next one that is open. */
  async decide(op: "accept" | "reject"): Promise<void> {
    const doubt = this.current;
    if (doubt === null) return this.step(1);
    await this.answers.decide(doubt + 1, op);
    const order = this.all.map((_, i) => (doubt + 1 + i) % this.all.length);
    const open = order.find((i) => this.decisionOf(i) === "open");
    if (open !== undefined) this.choose(open);
  }

  // The server counts doubts from 1.
  private decisionOf(doubt: number): Decision | "open" {
    return this.decisions[doubt + 1] ?? "open";
  }

  private fill(): void {
    const focused = at("doubts").contains(document.activeElement);
    at("doubts").replaceChildren(...this.all.map((_, i) => this.item(i)));
    if (focused && this.now >= 0) at("doubts").querySelectorAll("button")[this.now]?.focus();
    const decided = Object.keys(this.decisions).length;
    at("doubts-state").textContent = this.all.length
      ? `${this.now < 0 ? "" : `${this.now + 1} of `}${this.all.length}, ${decided} decided`
      : "";
    for (const id of ["next-doubt", "previous-doubt"])
      at<HTMLButtonElement>(id).disabled = !this.all.length;
    for (const id of ["accept", "reject"])
      at<HTMLButtonElement>(id).disabled = this.current === null;
    this.answers.marks(
      this.all.map(({ place }, i) => ({
        place,
        colour: COLOURS[this.decisionOf(i)],
        now: i === this.now,
      })),
    );
  }

  private item(i: number): HTMLLIElement {
    const { kind, says } = this.all[i]!;
    const decision = this.decisionOf(i);
    const choice = button("", () => this.choose(i));
    choice.className = decision;
    choice.setAttribute("aria-current", String(i === this.now));
    choice.append(`${SIGNS[decision]}${kind}: ${says}`);
    if (decision !== "open") choice.append(make("span", { className: "unseen" }, `, ${decision}`));
    return make("li", {}, choice);
  }
}
