// The places to proofread, as a list: next and previous.
import type { Triple } from "../data/space";
import { at, button, make } from "../page/dom";
import type { Mark } from "../pictures/overlay";
import type { Doubt } from "../server/api";

const COLOUR = "#ffd23f";

/** What the list needs from the page. */
export interface Answers {
  look(place: Triple): void;
  marks(marks: Mark[]): void;
}

export class Doubts {
  private all: Doubt[] = [];
  private now = -1;

  constructor(private readonly answers: Answers) {
    at("next-doubt").onclick = () => this.step(1);
    at("previous-doubt").onclick = () => this.step(-1);
  }

  show(doubts: Doubt[]): void {
    this.all = doubts;
    this.now = -1;
    at("doubts-area").hidden = false;
    at("no-doubts").hidden = doubts.length > 0;
    this.fill();
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

  private fill(): void {
    const focused = at("doubts").contains(document.activeElement);
    at("doubts").replaceChildren(...this.all.map((_, i) => this.item(i)));
    if (focused && this.now >= 0) at("doubts").querySelectorAll("button")[this.now]?.focus();
    at("doubts-state").textContent = this.all.length
      ? `${this.now < 0 ? "" : `${this.now + 1} of `}${this.all.length}`
      : "";
    for (const id of ["next-doubt", "previous-doubt"])
      at<HTMLButtonElement>(id).disabled = !this.all.length;
    this.answers.marks(
      this.all.map(({ place }, i) => ({
        place,
        colour: COLOUR,
        now: i === this.now,
      })),
    );
  }

  private item(i: number): HTMLLIElement {
    const { kind, says } = this.all[i]!;
    const choice = button(`${kind}: ${says}`, () => this.choose(i));
    choice.setAttribute("aria-current", String(i === this.now));
    return make("li", {}, choice);
  }
}
