// The page: it sends dropped stacks as jobs, and shows their results.
import { reversed, type Space } from "./data/space";
import { parseTree } from "./data/tree";
import { parseView } from "./data/view";
import * as address from "./page/address";
import { at } from "./page/dom";
import { begin, guarded } from "./page/guard";
import { JobList } from "./page/joblist";
import { describeFields, fields, query } from "./page/options";
import { Pictures } from "./page/pictures";
import { describe, downloads, stemOf } from "./page/result";
import { submit, wireFiles } from "./page/submit";
import * as api from "./server/api";
import { Problem } from "./server/api";
import { Measures } from "./tools/measures";
import { Proof } from "./tools/proof";

const STAGES: Record<string, string> = {
  read: "Reading",
  load: "Loading the network",
  enhance: "Enhancing",
  trace: "Tracing",
  plan: "Looking for blocks that hold something",
  range: "Measuring the range",
  ground: "Measuring the ground",
  ridges: "Measuring the ridges",
  lines: "Tracing the blocks",
  joins: "Joining",
  trees: "Finishing the trees",
  write: "Writing the results",
};

let chosen = ""; // the id of the job that the page shows
let following = new AbortController();
let pictures: Pictures;
let proof: Proof;
let measures: Measures;
let list: JobList;

// Jobs

async function choose(id: string): Promise<void> {
  following.abort();
  const mine = new AbortController();
  following = mine;
  chosen = id;
  address.visit(id);
  let job = await api.job(id).catch((error: unknown) => {
    at("result").hidden = at("loading").hidden = at("running").hidden = true;
    at("name").textContent = ""; // what was shown before is not this job
    throw error;
  });
  at("empty").hidden = true;
  at("job").hidden = false;
  at("result").hidden = at("loading").hidden = at("running").hidden = true;
  at("problem").textContent = "";
  name(job);
  await list.refresh();
  if (job.state === "queued" || job.state === "running") {
    at("running").hidden = false;
    progress(job.progress);
    await api.follow(id, progress, mine.signal);
    if (mine.signal.aborted) return;
    job = await api.job(id);
    await list.refresh();
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
  const inBlocks = job.kind === "brain";
  at("stage-area").hidden = inBlocks;
  if (inBlocks) return showFiles(job);
  const loading = Promise.all([
    api.report(job.id),
    job.kind === "enhance" ? "" : api.swc(job.id),
    api.view(job.id),
  ]);
  at("loading").hidden = false;
  const [report, text, buffer] = await loading.finally(() => {
    if (job.id === chosen) at("loading").hidden = true;
  });
  if (job.id !== chosen) return;
  at("result").hidden = false;
  describe(job, report);
  downloads(job, guarded);
  const form = at<HTMLFormElement>("again");
  for (const [option, input] of fields(form))
    input.value = option.name === "root" ? "" : String(report.settings[option.name]);
  threshold();
  const tree = parseTree(text, report.segments ?? []);
  const drawn = pictures.show(job.id, parseView(buffer), tree, spaceOf(report));
  lookAt(address.read());
  offerEarlier(job);
  at("measures-area").hidden = job.kind === "enhance";
  measures.show(job.kind === "enhance" ? "" : job.id, stemOf(job));
  await Promise.all([drawn, proof.show(job, report, tree)]);
}

// A volume that was traced in blocks is larger than a browser's memory: it has no pictures.
async function showFiles(job: api.Job): Promise<void> {
  const report = await api.report(job.id);
  if (job.id !== chosen) return;
  at("result").hidden = false;
  describe(job, report);
  downloads(job, guarded);
  for (const id of ["doubts-area", "history-area", "conflict"]) at(id).hidden = true;
  at("measures-area").hidden = false;
  measures.show(job.id, stemOf(job));
}

// The address says where the pictures look.
function lookAt({ layout, at: cursor, centre, zoom }: address.Place): void {
  const { view } = pictures;
  if (layout) pictures.flip(layout);
  if (!view) return;
  if (centre) view.centre = reversed(centre);
  if (zoom) view.zoom = zoom;
  if (cursor) view.point(reversed(cursor));
}

const here = (): address.Place => ({
  job: chosen,
  layout: pictures.shownLayout,
  ...(pictures.view && {
    at: reversed(pictures.view.cursor),
    centre: reversed(pictures.view.centre),
    zoom: pictures.view.zoom,
  }),
});

// A try can be compared with the job that was traced again.
function offerEarlier({ id, source }: api.Job): void {
  const box = at<HTMLInputElement>("see-earlier");
  at("earlier-label").hidden = source === null;
  box.checked = false;
  box.oninput = () =>
    guarded(async () => {
      const tree = box.checked && source ? parseTree(await api.swc(source), []) : null;
      if (chosen === id) pictures.showBeside("earlier", tree);
    });
}

function spaceOf(report: api.Report): Space {
  const spacing = report.settings.spacing_um_xyz;
  return {
    shape: report.shape_zyx,
    spacing: spacing ? reversed(spacing) : [1, 1, 1],
    unit: spacing ? "µm" : "voxels",
  };
}

// The picture stays until there is another one, and also when the try fails.
async function again(): Promise<void> {
  const told = at("again-state");
  const before = chosen;
  told.textContent = "Tracing again…";
  try {
    const id = await api.retrace(before, query(at<HTMLFormElement>("again")));
    await list.refresh();
    await api.follow(id, () => undefined, new AbortController().signal);
    const job = await api.job(id);
    await list.refresh();
    if (job.state !== "done") throw new Error(job.error?.detail ?? `The try was ${job.state}.`);
    told.textContent = "";
    if (chosen === before) await choose(id);
  } catch (error) {
    if (error instanceof Problem && error.status === 401) throw error;
    told.textContent = `The earlier result stays. ${(error as Error).message}`;
  }
}

function threshold(): void {
  const form = at<HTMLFormElement>("again");
  form.querySelector("output")!.textContent = field(form, "threshold").value;
}

function field(form: HTMLFormElement, name: string): HTMLInputElement {
  return form.elements.namedItem(name) as HTMLInputElement;
}

// The server

async function hello(): Promise<void> {
  const names = await api.models();
  at("server").textContent = names.length
    ? `networks: ${names.join(", ")}`
    : "no network is installed";
  await list.refresh();
  await open();
}

// Shows the job of the address, if it has one.
async function open(): Promise<void> {
  const { job } = address.read();
  if (job && job !== chosen) await choose(job);
  else if (job) lookAt(address.read());
}

function removed(id: string): void {
  if (id !== chosen) return;
  chosen = "";
  address.leave();
  document.title = "DINeuro";
  at("job").hidden = true;
  at("empty").hidden = false;
}

function renamed(job: api.Job): void {
  if (job.id !== chosen) return;
  name(job);
  if (job.state !== "done") return;
  downloads(job, guarded);
  measures.stem = proof.stem = stemOf(job);
}

function name(job: api.Job): void {
  at("name").textContent = job.parameters.name;
  document.title = `${job.parameters.name} – DINeuro`;
}

function wire(): void {
  pictures = new Pictures();
  proof = new Proof(pictures, guarded);
  measures = new Measures(guarded);
  proof.onchange = () => measures.changed();
  list = new JobList({ chosen: () => chosen, choose, removed, renamed });
  pictures.onview = () => address.update(here);
  pictures.onclick = (click) => {
    pictures.view?.point(click.place);
    if (click.flat)
      field(at<HTMLFormElement>("again"), "root").value = reversed(click.place).join(",");
    else proof.click(click);
  };
  wireFiles((files) =>
    guarded(async () => {
      const last = await submit(await files());
      if (last) await choose(last);
    }),
  );
  for (const id of ["new", "again"]) describeFields(at<HTMLFormElement>(id));
  at("new").onsubmit = (event) => event.preventDefault();
  at("again").onsubmit = (event) => {
    event.preventDefault();
    guarded(again);
  };
  at("again").oninput = threshold;
  at("cancel").onclick = () => guarded(() => api.cancel(chosen));
  setInterval(() => document.hidden || list.refresh().catch(() => undefined), 10_000);
  window.addEventListener("popstate", () => guarded(open));
  begin(hello);
}

wire();
