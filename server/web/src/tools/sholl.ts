// The Sholl plot: how many branches cross a sphere around the root, by its radius.
import { roundLength } from "../data/space";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BELOW, EDGE] = [320, 190, 34, 34, 8];

export interface Sholl {
  step: number; // the radius grows by it, in the unit of the tree
  crossings: number[];
}

export function shollPlot({ step, crossings }: Sholl, unit: string): SVGSVGElement {
  const most = Math.max(1, ...crossings);
  const far = Math.max(step, step * crossings.length);
  const x = (radius: number): number => LEFT + (radius / far) * (WIDTH - LEFT - EDGE);
  const y = (count: number): number => HEIGHT - BELOW - (count / most) * (HEIGHT - BELOW - EDGE);
  const picture = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  const top = Math.max(...crossings, 0);
  const where = step * (crossings.indexOf(top) + 1);
  picture.append(
    element("title", {}, `Sholl plot: at most ${top} crossings, ${where} ${unit} from the root`),
    element("path", { class: "axis", d: `M${x(0)} ${y(most)}V${y(0)}H${x(far)}` }),
  );
  for (const radius of ticks(far))
    picture.append(
      element("text", { x: x(radius), y: y(0) + 14, "text-anchor": "middle" }, label(radius)),
    );
  for (const count of ticks(most))
    picture.append(
      element("text", { x: LEFT - 5, y: y(count) + 4, "text-anchor": "end" }, label(count)),
    );
  const points = crossings.map(
    (count, i) => `${x(step * (i + 1)).toFixed(1)},${y(count).toFixed(1)}`,
  );
  picture.append(
    element("polyline", { class: "curve", points: points.join(" ") }),
    element(
      "text",
      { x: (LEFT + WIDTH) / 2, y: HEIGHT - 4, "text-anchor": "middle" },
      `distance from the root (${unit})`,
    ),
  );
  return picture;
}

// Round values up to `most`, four to ten of them.
function ticks(most: number): number[] {
  const step = roundLength(most / 4);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}

const label = (value: number): string => String(Number(value.toPrecision(6)));

function element<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number>,
  words = "",
): SVGElementTagNameMap[K] {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.textContent = words;
  return made;
}
