// The address of the page: the job, and where its pictures look. It can be shared.
import { reversed, type Triple } from "../data/space";
import type { Layout } from "./pictures";

export interface Place {
  job: string;
  layout?: Layout;
  at?: Triple; // the crosshair, x, y, z
  centre?: Triple; // the middle of the slices, x, y, z
  zoom?: number;
}

const LAYOUTS = ["slices", "3d", "2d"];

export function read(hash = location.hash): Place {
  const [, job = "", query = ""] = hash.match(/^#\/jobs\/([0-9a-f]{1,64})(?:\?(.*))?$/) ?? [];
  const params = new URLSearchParams(query);
  const triple = (name: string): Triple | undefined => {
    const values = (params.get(name) ?? "").split(",").map(Number);
    return values.length === 3 && values.every(Number.isFinite) ? (values as Triple) : undefined;
  };
  const place: Place = { job };
  const layout = params.get("view") ?? "";
  if (LAYOUTS.includes(layout)) place.layout = layout as Layout;
  const zoom = Number(params.get("zoom"));
  if (zoom > 0 && Number.isFinite(zoom)) place.zoom = zoom;
  const [cursor, centre] = [triple("at"), triple("centre")];
  if (cursor) place.at = cursor;
  if (centre) place.centre = centre;
  return place;
}

function write({ job, layout, at, centre, zoom }: Place): string {
  const params: string[] = [];
  if (layout && layout !== "slices") params.push(`view=${layout}`);
  if (at) params.push(`at=${at.join(",")}`);
  if (centre) params.push(`centre=${centre.map((value) => value.toFixed(1)).join(",")}`);
  if (zoom) params.push(`zoom=${Number(zoom.toPrecision(3))}`);
  return `#/jobs/${job}${params.length ? `?${params.join("&")}` : ""}`;
}

/** Another job is a step of the browser's history. */
export function visit(job: string): void {
  if (read().job !== job) history.pushState(null, "", write({ job }));
}

/** No job is shown. */
export function leave(): void {
  history.replaceState(null, "", location.pathname);
}

let waiting = 0;
/** Another view of the same job replaces the address, at most a few times a second. */
export function update(place: () => Place): void {
  clearTimeout(waiting);
  waiting = window.setTimeout(() => {
    const now = place();
    if (read().job === now.job) history.replaceState(null, "", write(now));
  }, 250);
}

export const xyz = (zyx: Triple): Triple => reversed(zyx);
