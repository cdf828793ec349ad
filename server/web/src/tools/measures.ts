// The measurements of a job's tree: a table, the Sholl plot, and both as CSV.
import { TYPE_NAMES } from "../data/tree";
import { at, make, number, save } from "../page/dom";
import { type Measurements, measurements } from "../server/measurements";
import { shollPlot } from "./sholl";

/** A figure: its name, its value, and the unit of the value. */
type Figure = [name: string, value: number | null, unit: string];

export class Measures {
  private job = "";
  /** What the names of saved files begin with. */
  stem = "";
  private told: Measurements | null = null;

  constructor(private readonly guarded: (work: () => Promise<void>) => void) {
    at("measures-area").addEventListener("toggle", () => this.changed());
    at("measures-csv").onclick = () => this.save("measurements", tableCsv);
    at("sholl-csv").onclick = () => this.save("sholl", shollCsv);
  }

  show(job: string, stem: string): void {
    [this.job, this.stem, this.told] = [job, stem, null];
    this.changed();
  }

  /** The tree is another than before. What is seen is measured again. */
  changed(): void {
    if (at<HTMLDetailsElement>("measures-area").open && this.job)
      this.guarded(() => this.fetch(this.job));
  }

  private async fetch(job: string): Promise<void> {
    const told = await measurements(job);
    if (job !== this.job) return;
    this.told = told;
    at("measures").replaceChildren(
      ...figures(told).map(([name, value, unit]) =>
        make(
          "tr",
          {},
          make("th", { scope: "row" }, name),
          make("td", {}, value === null ? "–" : `${number(value, 2)} ${unit}`),
        ),
      ),
    );
    at("sholl").replaceChildren(shollPlot(told.sholl, unitOf(told)));
  }

  private save(what: string, csv: (told: Measurements) => string): void {
    if (this.told)
      save(new Blob([csv(this.told)], { type: "text/csv" }), `${this.stem}_${what}.csv`);
  }
}

const unitOf = ({ unit }: Measurements): string => (unit === "um" ? "µm" : "voxels");

function figures(told: Measurements): Figure[] {
  const unit = unitOf(told);
  return [
    ["length", told.length, unit],
    ["longest way from a root", told.longest, unit],
    ["branches", told.branches, ""],
    ["forks", told.forks, ""],
    ["tips", told.tips, ""],
    ["trees", told.trees, ""],
    ["Strahler order", told.strahler, ""],
    ["tortuosity", told.tortuosity, ""],
    ...Object.entries(told.by_type).map(
      ([type, part]): Figure => [`length, ${TYPE_NAMES[Number(type)] ?? type}`, part.length, unit],
    ),
  ];
}

const tableCsv = (told: Measurements): string =>
  [
    "figure,value,unit",
    ...figures(told).map(([name, value, unit]) => `"${name}",${value ?? ""},${unit}`),
    "",
  ].join("\n");

const shollCsv = (told: Measurements): string =>
  [
    `radius (${unitOf(told)}),crossings`,
    ...told.sholl.crossings.map((count, i) => `${told.sholl.step * (i + 1)},${count}`),
    "",
  ].join("\n");
