// The figures, warnings and files of a result.
import * as api from "../server/api";
import { at, make, number, save } from "./dom";

export function describe(job: api.Job, report: api.Report): void {
  const rows = Object.entries(figures(report)).map(([name, value]) =>
    make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value)),
  );
  at("figures").replaceChildren(...rows);
  at("warnings").replaceChildren(...report.warnings.map((text) => make("li", {}, text)));
  at("again").hidden = job.kind === "enhance" || job.kind === "brain";
}

function figures(report: api.Report): Record<string, string> {
  const share = (value: unknown): string => `${number(100 * Number(value), 1)} %`;
  const [z, y, x] = report.shape_zyx;
  const found = { volume: `${x} × ${y} × ${z}`, "enhanced by": report.enhancer };
  if ("blocks_done" in report)
    return {
      ...found,
      neurons: number(report.neurons),
      somata: number(report.somata),
      length: `${number(report.length)} voxels`,
      certain: share(report.likely),
      blocks: `${number(report.blocks_done)} of ${number(report.blocks)}`,
    };
  if (!("nodes" in report)) return found;
  return {
    ...found,
    length: `${number(report.length)} voxels`,
    "forks, tips": `${number(report.forks)}, ${number(report.tips)}`,
    trees: `${number(report.trees)} (${report.layout})`,
    root: String(report.root),
    certain: share(report.certain),
    "mask explained": share(report.explained),
    "tree inside the mask": share(report.supported),
    "joined gaps": `${number(report.joined_gaps)} (${number(report.joined_length)} voxels)`,
    "left out": `${number(report.left_out)} voxels`,
  };
}

const BLOCKS = ["neurons", "table"];
/** The files that a kind of job has not. */
const MISSING: Record<api.Job["kind"], string[]> = {
  trace: BLOCKS,
  retrace: BLOCKS,
  enhance: ["swc", "doubts", ...BLOCKS],
  brain: ["mask.v3draw", "mask.tif"],
};

/** Links to the job's files. A link cannot send a token, so the page fetches the file and saves it. */
export function downloads(job: api.Job, guarded: (work: () => Promise<void>) => void): void {
  const stem = stemOf(job);
  const files: [string, string, string][] = [
    ["SWC", "swc", `${stem}_dineuro.swc`],
    ["each neuron (.zip)", "neurons", `${stem}_neurons.zip`],
    ["neurons (.csv)", "table", `${stem}_neurons.csv`],
    ["mask (.v3draw)", "mask.v3draw", `${stem}_mask.v3draw`],
    ["mask (.tif)", "mask.tif", `${stem}_mask.tif`],
    ["doubts", "doubts", `${stem}_doubts.marker`],
    ["report", "report", `${stem}_report.json`],
    ["all as zip", "results.zip", `${stem}.zip`],
  ];
  const missing = MISSING[job.kind];
  const wanted = files.filter(([, name]) => !missing.includes(name));
  at("downloads").replaceChildren(
    ...wanted.map(([text, name, file]) => {
      const link = make("a", { href: `/v1/jobs/${job.id}/${name}`, download: file }, text);
      link.onclick = (event) => {
        event.preventDefault();
        guarded(async () => save(await api.file(job.id, name), file));
      };
      return link;
    }),
  );
}

export const stemOf = (job: api.Job): string => job.parameters.name.replace(/\.[^.]*$/, "");
