// Wheel, pointers and keys on a slice.
import type { Axis, Triple } from "../data/space";
import type { Projection } from "./projection";
import type { Slice } from "./slice";

/** What the rest of the page makes of them. */
export interface Answers {
  /** A click on a place z, y, x. */
  click(place: Triple, slice: Slice): void;
  /** The window and level change by so many grey values. */
  contrast(window: number, level: number): void;
  /** The whole volume is wanted. */
  fit(): void;
}

/** A movement of this many pixels is no click. */
const CLICK = 4;
/** Pixels of a trackpad's wheel for one slice. */
const NOTCH = 40;

export function listen(slice: Slice, answers: Answers): void {
  const { canvas } = slice;
  const pointers = new Map<number, [number, number]>();
  let moved = 0;
  let rolled = 0;

  canvas.addEventListener(
    "wheel",
    (event) => {
      const p = slice.projection();
      if (!p) return;
      event.preventDefault();
      if (event.ctrlKey || event.metaKey) {
        p.view.magnify(Math.exp(-event.deltaY / 300), p.place(event.offsetX, event.offsetY));
        return;
      }
      // A mouse rolls in notches of 100 and more, a trackpad in single pixels.
      rolled += Math.abs(event.deltaY) >= 100 ? Math.sign(event.deltaY) * NOTCH : event.deltaY;
      const by = Math.trunc(rolled / NOTCH);
      rolled -= by * NOTCH;
      if (by) p.view.step(p.axes.along, by * (event.shiftKey ? 10 : 1));
    },
    { passive: false },
  );

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    moved = pointers.size > 1 ? CLICK : 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    const p = slice.projection();
    if (!before || !p) return;
    const now: [number, number] = [event.offsetX, event.offsetY];
    const [right, down] = [now[0] - before[0], now[1] - before[1]];
    moved += Math.abs(right) + Math.abs(down);
    if (moved < CLICK) return;
    if (pointers.size > 1) pinch(p, pointers, event.pointerId, now);
    else if (event.shiftKey) answers.contrast(right, down);
    else drag(p, right, down);
    pointers.set(event.pointerId, now);
  });
  canvas.addEventListener("pointerup", (event) => {
    const p = slice.projection();
    if (pointers.delete(event.pointerId) && moved < CLICK && p && event.button === 0)
      answers.click(p.place(event.offsetX, event.offsetY), slice);
  });
  canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("keydown", (event) => {
    const p = slice.projection();
    if (p && !event.altKey && !event.ctrlKey && !event.metaKey && press(p, event, answers))
      event.preventDefault();
  });
}

function drag(p: Projection, right: number, down: number): void {
  p.view.pan(p.axes.columns, -right / p.size[0]);
  p.view.pan(p.axes.rows, -down / p.size[1]);
}

function pinch(
  p: Projection,
  pointers: Map<number, [number, number]>,
  id: number,
  now: [number, number],
): void {
  const other = [...pointers].find(([key]) => key !== id)![1];
  const before = pointers.get(id)!;
  const apart = (at: [number, number]): number => Math.hypot(at[0] - other[0], at[1] - other[1]);
  const middle = p.place((now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  p.view.magnify(apart(now) / Math.max(1, apart(before)), middle);
}

// Arrows move the crosshair within the slice, and Page Up and Page Down through the slices.
function press(p: Projection, event: KeyboardEvent, answers: Answers): boolean {
  const { along, columns, rows } = p.axes;
  const steps: Record<string, [Axis, number]> = {
    ArrowLeft: [columns, -1],
    ArrowRight: [columns, 1],
    ArrowUp: [rows, -1],
    ArrowDown: [rows, 1],
    PageUp: [along, -1],
    PageDown: [along, 1],
    ",": [along, -1],
    ".": [along, 1],
  };
  const step = steps[event.key];
  if (step) {
    p.view.step(step[0], step[1] * (event.shiftKey ? 10 : 1));
    keepInside(p);
  } else if (event.key === "Home") p.view.step(along, -p.view.space.shape[along]);
  else if (event.key === "End") p.view.step(along, p.view.space.shape[along]);
  else if (event.key === "+" || event.key === "=") p.view.magnify(1.25, p.view.cursor);
  else if (event.key === "-") p.view.magnify(0.8, p.view.cursor);
  else if (event.key === "0") answers.fit();
  else return false;
  return true;
}

// The picture follows a crosshair that would leave it.
function keepInside(p: Projection): void {
  const { cursor } = p.view;
  const [left, top] = p.pixel(cursor[p.axes.columns], cursor[p.axes.rows]);
  const over = (at: number, size: number): number => Math.min(0, at) + Math.max(0, at - size);
  drag(p, -over(left, p.width), -over(top, p.height));
}
