// The page: it sends dropped stacks as jobs, and shows their results.
import * as api from "./api";
import { Problem } from "./api";
import { Flat, type Looks } from "./flat";
import { type Colouring, parseTree, parseView, type Tree, type View } from "./model";
import { describeFields, fields, query } from "./options";
import type { Stage } from "./scene";

function at<E extends HTMLElement>(id: string): E {
  return document.getElementById(id) as E;
}

const STAGES: Record<string, string> = {
  read: "Reading",
  load: "Loading the network",
  enhance: "Enhancing",
  trace: "Tracing",
  write: "Writing the results",
};

let chosen = ""; // the id of the job that the page shows
let following = new AbortController();
let shown: {
  view: View;
  tree: Tree;
  report: api.Report;
  spacing: [number, number, number];
} | null = null;
let stage: Stage | null = null;
let hasWebGL = true;
let flat: Flat;

// Jobs

async function refresh(): Promise<void> {
  const list = await api.jobs();
  at("jobs").replaceChildren(...list.map(row));
}

function row(job: api.Job): HTMLLIElement {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-current", String(job.id === chosen));
  const state = document.createElement("span");
  state.className = `state ${job.state}`;
  state.textContent = job.state;
  button.append(job.parameters.name, state);
  button.onclick = () => guarded(() => choose(job.id));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

async function choose(id: string): Promise<void> {
  following.abort();
  const mine = new AbortController();
  following = mine;
  chosen = id;
  let job = await api.job(id);
  at("empty").hidden = true;
  at("job").hidden = false;
  at("result").hidden = true;
  at("problem").textContent = "";
  at("name").textContent = job.parameters.name;
  await refresh();
  if (job.state === "queued" || job.state === "running") {
    at("running").hidden = false;
    progress(job.progress);
    await api.follow(id, progress, mine.signal);
    if (mine.signal.aborted) return;
    job = await api.job(id);
    await refresh();
  }
  at("running").hidden = true;
  if (job.state === "done") await show(job);
  else at("problem").textContent = job.error?.detail ?? `The job was ${job.state}.`;
}

function progress(now: api.Progress | null): void {
  at("stage").textContent = now ? `${STAGES[now.stage] ?? now.stage}…` : "Waiting in the queue…";
  const bar = at<HTMLProgressElement>("bar");
  if (now && now.total > 0) bar.value = now.done / now.total;
  else bar.removeAttribute("value");
}

// A result

async function show(job: api.Job): Promise<void> {
  const tree = job.kind === "enhance" ? Promise.resolve("") : api.swc(job.id);
  const [report, text, buffer] = await Promise.all([api.report(job.id), tree, api.view(job.id)]);
  if (job.id !== chosen) return;
  const spacing = report.settings.spacing_um_xyz;
  shown = {
    view: parseView(buffer),
    tree: parseTree(text, report.segments ?? []),
    report,
    spacing: spacing ? [spacing[2], spacing[1], spacing[0]] : [1, 1, 1],
  };
  at("result").hidden = false;
  describe(job, report);
  flat.show(shown.view, shown.tree, shown.spacing);
  if (hasWebGL) await show3d();
  looks();
}

async function show3d(): Promise<void> {
  try {
    stage ??= new (await import("./scene")).Stage(at<HTMLCanvasElement>("canvas-3d"));
    stage.show(shown!.view, shown!.tree, shown!.spacing);
  } catch (error) {
    console.warn(error);
    hasWebGL = false;
    at("no-webgl").hidden = false;
    at<HTMLButtonElement>("show-3d").disabled = true;
    flip(false);
  }
}

function describe(job: api.Job, report: api.Report): void {
  const number = (value: unknown, digits = 0): string =>
    Number(value).toLocaleString("en", { maximumFractionDigits: digits });
  const share = (value: unknown): string => `${number(100 * Number(value), 1)} %`;
  const [z, y, x] = report.shape_zyx;
  const figures: Record<string, string> = {
    volume: `${x} × ${y} × ${z}`,
    "enhanced by": report.enhancer,
  };
  if ("nodes" in report)
    Object.assign(figures, {
      length: `${number(report.length)} voxels`,
      "forks, tips": `${number(report.forks)}, ${number(report.tips)}`,
      trees: `${number(report.trees)} (${report.layout})`,
      root: String(report.root),
      certain: share(report.certain),
      "mask explained": share(report.explained),
      "tree inside the mask": share(report.supported),
      "joined gaps": `${number(report.joined_gaps)} (${number(report.joined_length)} voxels)`,
      "left out": `${number(report.left_out)} voxels`,
    });
  at("figures").replaceChildren(
    ...Object.entries(figures).map(([name, value]) => cells("tr", ["td", name], ["td", value])),
  );
  at("warnings").replaceChildren(...report.warnings.map((text) => cells("li", ["span", text])));
  at("doubts").replaceChildren(...(report.doubts ?? []).map(doubt));
  at("again").hidden = job.kind === "enhance";
  const form = at<HTMLFormElement>("again");
  for (const [option, input] of fields(form))
    input.value = option.name === "root" ? "" : String(report.settings[option.name]);
  threshold();
  downloads(job);
}

function cells(tag: string, ...inner: [string, string][]): HTMLElement {
  const made = document.createElement(tag);
  for (const [kind, text] of inner)
    made.appendChild(document.createElement(kind)).textContent = text;
  return made;
}

function doubt(told: api.Doubt): HTMLLIElement {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = `${told.kind}: ${told.says}`;
  button.onclick = () => {
    stage?.fly(told.place);
    flat.point(told.place);
  };
  const item = document.createElement("li");
  item.append(button);
  return item;
}

// A link cannot send a token, so the page fetches the file and saves it.
function downloads(job: api.Job): void {
  const stem = job.parameters.name.replace(/\.[^.]*$/, "");
  const files: [string, string, string][] = [
    ["SWC", "swc", `${stem}_dineuro.swc`],
    ["mask (.v3draw)", "mask.v3draw", `${stem}_mask.v3draw`],
    ["mask (.tif)", "mask.tif", `${stem}_mask.tif`],
    ["doubts", "doubts", `${stem}_doubts.marker`],
    ["report", "report", `${stem}_report.json`],
    ["all as zip", "results.zip", `${stem}.zip`],
  ];
  const wanted = files.filter(
    ([, name]) => job.kind !== "enhance" || !["swc", "doubts"].includes(name),
  );
  at("downloads").replaceChildren(
    ...wanted.map(([text, name, file]) => {
      const link = document.createElement("a");
      link.href = `/v1/jobs/${job.id}/${name}`;
      link.download = file;
      link.textContent = text;
      link.onclick = (event) => {
        event.preventDefault();
        guarded(async () => save(await api.file(job.id, name), file));
      };
      return link;
    }),
  );
}

function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function looks(): void {
  const on = (id: string): boolean => at<HTMLInputElement>(id).checked;
  const opacity = Number(at<HTMLInputElement>("opacity").value);
  const now: Looks = {
    image: on("see-image") ? opacity : 0,
    mask: on("see-mask") ? 1 : 0,
    tree: on("see-tree"),
    colour: at<HTMLSelectElement>("colour").value as Colouring,
  };
  flat.look(now);
  stage?.look(now.image, now.mask, now.tree);
  stage?.colour(now.colour);
}

function flip(to3d: boolean): void {
  at("canvas-3d").hidden = !to3d;
  at("canvas-2d").hidden = to3d;
  at("show-3d").setAttribute("aria-pressed", String(to3d));
  at("show-2d").setAttribute("aria-pressed", String(!to3d));
}

// New jobs

function field(form: HTMLFormElement, name: string): HTMLInputElement {
  return form.elements.namedItem(name) as HTMLInputElement;
}

async function submit(files: File[]): Promise<void> {
  const form = at<HTMLFormElement>("new");
  if (!form.reportValidity()) return;
  const told = at("uploading");
  const failures: string[] = [];
  let last = "";
  for (const [i, file] of files.entries()) {
    const which = files.length > 1 ? ` (${i + 1} of ${files.length})` : "";
    const params = query(form);
    if (!field(form, "reuse").checked) params.set("reuse", "false");
    try {
      last = await api.upload(file, params, (share) => {
        told.textContent = `Sending ${file.name}${which}: ${Math.round(100 * share)} %`;
      });
    } catch (error) {
      if (error instanceof Problem && error.status === 401) throw error;
      failures.push(`${file.name}: ${(error as Error).message}`);
    }
  }
  told.textContent = files.length ? failures.join("\n") : "It contains no stack.";
  if (last) await choose(last);
}

// In a folder, only volumes that are not masks are sent. A file that the user named is always sent.
function isStack(name: string): boolean {
  return /\.(tiff?|v3draw|raw|v3dpbd|pbd)$/i.test(name) && !/_mask\.[^.]+$/i.test(name);
}

// Entries must be read before the first await. A drop without entries has files.
async function dropped(data: DataTransfer): Promise<File[]> {
  const entries = [...data.items]
    .map((item) => item.webkitGetAsEntry())
    .filter((entry) => entry !== null);
  const files = entries.length ? [] : [...data.files];
  for (const entry of entries) await collect(entry, files, true);
  return files;
}

async function collect(entry: FileSystemEntry, files: File[], named: boolean): Promise<void> {
  if (entry.isFile) {
    if (named || isStack(entry.name))
      files.push(
        await new Promise((done, failed) => (entry as FileSystemFileEntry).file(done, failed)),
      );
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((done, failed) =>
      reader.readEntries(done, failed),
    );
    if (!some.length) return;
    for (const inner of some.sort((a, b) => a.name.localeCompare(b.name)))
      await collect(inner, files, false);
  }
}

async function again(): Promise<void> {
  const params = query(at<HTMLFormElement>("again"));
  await choose(await api.retrace(chosen, params));
}

function threshold(): void {
  const form = at<HTMLFormElement>("again");
  form.querySelector("output")!.textContent = field(form, "threshold").value;
}

// The server

async function hello(): Promise<void> {
  const names = await api.models();
  at("server").textContent = names.length
    ? `networks: ${names.join(", ")}`
    : "no network is installed";
  await refresh();
}

function guarded(work: () => Promise<void>): void {
  work().catch((error: unknown) => {
    if ((error as Error).name === "AbortError") return;
    if (error instanceof Problem && error.status === 401) return askToken();
    const place = at("job").hidden ? at("server") : at("problem");
    place.textContent = (error as Error).message;
    at("running").hidden = true;
  });
}

function askToken(): void {
  at("server").textContent = "a token is required";
  const dialog = at<HTMLDialogElement>("token-dialog");
  if (!dialog.open) dialog.showModal();
}

function wire(): void {
  flat = new Flat(at<HTMLCanvasElement>("canvas-2d"));
  const drop = at("drop");
  const files = at<HTMLInputElement>("files");
  drop.onkeydown = (event) => {
    if (event.key === "Enter" || event.key === " ") files.click();
  };
  const folder = at<HTMLInputElement>("folder");
  const take = (input: HTMLInputElement, wanted: (file: File) => boolean): void => {
    const list = [...(input.files ?? [])].filter(wanted);
    input.value = "";
    guarded(() => submit(list));
  };
  files.onchange = () => take(files, () => true);
  folder.onchange = () => take(folder, (file) => isStack(file.name));
  at("choose-folder").onclick = () => folder.click();
  for (const name of ["dragover", "dragleave", "drop"] as const)
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      const data = name === "drop" ? event.dataTransfer : null;
      if (data?.files.length) guarded(async () => submit(await dropped(data)));
    });
  for (const id of ["new", "again"]) describeFields(at<HTMLFormElement>(id));
  at("new").onsubmit = (event) => event.preventDefault();
  at("again").onsubmit = (event) => {
    event.preventDefault();
    guarded(again);
  };
  at("again").oninput = threshold;
  at("cancel").onclick = () => guarded(() => api.cancel(chosen));
  for (const id of ["see-image", "see-mask", "see-tree", "opacity", "colour"])
    at(id).oninput = looks;
  at("show-3d").onclick = () => flip(true);
  at("show-2d").onclick = () => flip(false);
  at("home").onclick = () => {
    stage?.home();
    flat.point(null);
  };
  at("canvas-2d").onclick = (event) => {
    const place = flat.voxelAt(event.offsetX, event.offsetY);
    if (!place) return;
    field(at<HTMLFormElement>("again"), "root").value = place.join(",");
    flat.point(place);
  };
  at("token-button").onclick = askToken;
  at("token-dialog").onclose = () => {
    const given = at<HTMLInputElement>("token").value.trim();
    if (at<HTMLDialogElement>("token-dialog").returnValue !== "ok" || !given) return;
    api.token.set(given);
    guarded(hello);
  };
  setInterval(() => document.hidden || refresh().catch(() => undefined), 10_000);
  guarded(hello);
}

wire();
