// What the colours of the tree mean.
import type { Colouring } from "../data/tree";
import { colourFor, ORDERS, TYPE_NAMES } from "../data/tree";
import { at, make } from "./dom";

export function legend(colour: Colouring): void {
  at("legend").replaceChildren(...entries(colour).map(([rgb, words]) => swatch(rgb, words)));
}

function entries(colour: Colouring): [readonly number[], string][] {
  if (colour === "order") return ORDERS.map((rgb, order) => [rgb, String(order)]);
  if (colour === "type")
    return Object.entries(TYPE_NAMES).map(([type, name]) => [colourFor.type(Number(type)), name]);
  return [1, 0.75, 0.5].map((confidence) => [
    colourFor.confidence(confidence),
    confidence === 1 ? "certain" : confidence === 0.5 ? "doubtful (0.5 and less)" : "0.75",
  ]);
}

// A canvas, because the rules of the page allow no styles of elements.
function swatch(rgb: readonly number[], words: string): HTMLElement {
  const canvas = make("canvas", { width: 12, height: 12 });
  canvas.setAttribute("aria-hidden", "true");
  const pen = canvas.getContext("2d")!;
  pen.fillStyle = `rgb(${rgb.map((value) => Math.round(255 * value)).join(" ")})`;
  pen.fillRect(0, 0, 12, 12);
  return make("span", {}, canvas, ` ${words}`);
}
