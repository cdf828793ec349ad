// Tiles of the volume on the server: a bounded store, a short queue, and the neighbours in advance.
import type { Frame, Patch, SliceSource } from "../data/slices";
import { PLANES, type Plane, type Triple } from "../data/space";
import * as api from "./api";

/** The most bytes of grey values that are kept. */
const KEPT = 128 * 2 ** 20;
/** Requests at a time; a browser has six connections to one server. */
const AT_ONCE = 5;
/** Slices that are fetched in advance, in the direction of the last movement. */
const AHEAD = 8;

interface Wanted {
  now: string[];
  later: string[];
}

export class TileSlices implements SliceSource {
  readonly reduced = false;
  onready = (): void => undefined;
  onproblem = (_: Error): void => undefined;
  private readonly kept = new Map<string, Patch>(); // the longest unused one is first
  private bytes = 0;
  private readonly busy = new Set<string>();
  private readonly failed = new Set<string>();
  private readonly wanted = new Map<Plane, Wanted>();
  private readonly last = new Map<Plane, [slice: number, way: number]>();
  private readonly closing = new AbortController();

  constructor(
    private readonly job: string,
    private readonly pyramid: api.Pyramid,
  ) {}

  patches(
    plane: Plane,
    slice: number,
    frame: Frame,
    zoom: number,
  ): { all: Patch[]; whole: boolean } {
    const level = this.levelFor(plane, zoom);
    const now = this.tiles(plane, slice, frame, level);
    const [before, way] = this.last.get(plane) ?? [slice, 1];
    const ahead = slice === before ? way : Math.sign(slice - before);
    this.last.set(plane, [slice, ahead]);
    const scale = this.pyramid.levels[level]!.scale[PLANES[plane].along];
    const near = [...Array(AHEAD).keys()].map((n) => slice + ahead * scale * (n + 1));
    const later = [...near, slice - ahead * scale].flatMap((n) =>
      this.tiles(plane, n, frame, level),
    );
    this.wanted.set(plane, { now, later });
    this.fetchMore();
    const found = now.map((key) => this.use(key));
    const whole = found.every((patch, i) => patch || this.failed.has(now[i]!));
    return { all: found.filter((patch) => patch !== undefined), whole };
  }

  close(): void {
    this.closing.abort();
    this.kept.clear();
    this.wanted.clear();
  }

  // The coarsest level that has a pixel for each pixel of the screen.
  private levelFor(plane: Plane, zoom: number): number {
    const { columns, rows } = PLANES[plane];
    const { levels } = this.pyramid;
    const finest = levels.findLastIndex(
      ({ scale }) => Math.max(scale[columns], scale[rows]) * zoom * devicePixelRatio <= 1.01,
    );
    return Math.max(0, finest);
  }

  private tiles(plane: Plane, slice: number, frame: Frame, level: number): string[] {
    const { along, columns, rows } = PLANES[plane];
    const { shape, scale } = this.pyramid.levels[level]!;
    const index = Math.floor(slice / scale[along]);
    if (index < 0 || index >= shape[along]) return [];
    const span = (axis: 0 | 1 | 2, [first, past]: [number, number]): number[] => {
      const size = this.pyramid.tile * scale[axis];
      const from = Math.max(0, Math.floor(first / size));
      const to = Math.min(Math.ceil(shape[axis] / this.pyramid.tile), Math.ceil(past / size));
      return [...Array(Math.max(0, to - from)).keys()].map((n) => from + n);
    };
    return span(rows, frame.rows).flatMap((row) =>
      span(columns, frame.columns).map((column) => {
        const at: Triple = [0, 0, 0];
        [at[along], at[rows], at[columns]] = [index, row, column];
        return `${plane}/${level}/${at.join("/")}`;
      }),
    );
  }

  private use(key: string): Patch | undefined {
    const patch = this.kept.get(key);
    if (patch) {
      this.kept.delete(key);
      this.kept.set(key, patch);
    }
    return patch;
  }

  // What is seen goes before what may be seen next, of all planes.
  private fetchMore(): void {
    const all = [...this.wanted.values()];
    for (const key of [...all.flatMap((w) => w.now), ...all.flatMap((w) => w.later)]) {
      if (this.busy.size >= AT_ONCE) return;
      if (this.kept.has(key) || this.busy.has(key) || this.failed.has(key)) continue;
      this.busy.add(key);
      void this.fetchOne(key);
    }
  }

  private async fetchOne(key: string): Promise<void> {
    const [plane, level, ...at] = key.split("/") as [Plane, ...string[]];
    try {
      const blob = await api.tile(this.job, `${level}/${at.join("/")}`, plane, this.closing.signal);
      this.keep(key, await this.decode(blob, plane, Number(level), at.map(Number) as Triple));
    } catch (error) {
      if (this.closing.signal.aborted) return;
      this.failed.add(key);
      this.onproblem(error as Error);
    }
    this.busy.delete(key);
    if ([...this.wanted.values()].some(({ now }) => now.includes(key))) this.onready();
    this.fetchMore();
  }

  private async decode(blob: Blob, plane: Plane, level: number, at: Triple): Promise<Patch> {
    const picture = await createImageBitmap(blob, { colorSpaceConversion: "none" });
    const { width, height } = picture;
    const pen = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
    pen.drawImage(picture, 0, 0);
    picture.close();
    const { data } = pen.getImageData(0, 0, width, height);
    const grey = new Uint8Array(width * height);
    for (let i = 0; i < grey.length; i++) grey[i] = data[4 * i]!;
    const { columns, rows } = PLANES[plane];
    const { scale } = this.pyramid.levels[level]!;
    const from = (axis: 0 | 1 | 2): number => at[axis] * this.pyramid.tile * scale[axis];
    return {
      grey,
      width,
      height,
      from: [from(columns), from(rows)],
      step: [scale[columns], scale[rows]],
    };
  }

  private keep(key: string, patch: Patch): void {
    this.kept.set(key, patch);
    this.bytes += patch.grey.length;
    for (const [old, { grey }] of this.kept) {
      if (this.bytes <= KEPT) return;
      this.kept.delete(old);
      this.bytes -= grey.length;
    }
  }
}
