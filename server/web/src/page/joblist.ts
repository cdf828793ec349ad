// The list of jobs: what each is, how far it is, and its tries with other options below it.
import * as api from "../server/api";
import { at, button, make } from "./dom";
import { guarded } from "./guard";
import { OPTIONS } from "./options";
import { Thumbnails } from "./thumbnails";

/** What the list needs from the page. */
export interface Choices {
  chosen(): string;
  choose(id: string): Promise<void>;
  removed(id: string): void;
}

export class JobList {
  private known = "";
  private readonly thumbnails = new Thumbnails();

  constructor(private readonly choices: Choices) {}

  async refresh(): Promise<void> {
    const list = await api.jobs();
    // Elements that are replaced lose the focus, so nothing is replaced without a reason.
    const now = JSON.stringify([this.choices.chosen(), list]);
    if (now === this.known) return;
    this.known = now;
    const focused = document.activeElement?.getAttribute("data-job");
    const ids = new Set(list.map(({ id }) => id));
    this.thumbnails.keep(ids);
    const roots = list.filter(({ source }) => !source || !ids.has(source));
    at("jobs").replaceChildren(...roots.map((job) => this.item(job, list)));
    at("no-jobs").hidden = list.length > 0;
    if (focused) at("jobs").querySelector<HTMLElement>(`[data-job="${focused}"]`)?.focus();
  }

  private item(job: api.Job, list: api.Job[]): HTMLLIElement {
    const item = make("li", {}, this.row(job));
    const tries = list.filter(({ source }) => source === job.id);
    if (tries.length) item.append(make("ul", {}, ...tries.map((one) => this.item(one, list))));
    return item;
  }

  private row(job: api.Job): HTMLElement {
    const choice = button("", () => guarded(() => this.choices.choose(job.id)));
    choice.dataset.job = job.id;
    choice.setAttribute("aria-current", String(job.id === this.choices.chosen()));
    const name = job.kind === "retrace" ? "traced again" : job.parameters.name;
    choice.append(
      this.thumbnails.of(job),
      make("span", { className: "name" }, name),
      make("span", { className: `state ${job.state}` }, stateOf(job)),
      make("span", { className: "more" }, [timeOf(job), ...changes(job)].join(" · ")),
    );
    const ended = !["queued", "running"].includes(job.state);
    const words = ended ? `Delete ${job.parameters.name}` : `Cancel ${job.parameters.name}`;
    const remove = button(
      "×",
      () => (ended ? this.ask(job) : guarded(() => this.stop(job))),
      words,
    );
    remove.setAttribute("aria-label", words);
    return make("div", { className: "row" }, choice, remove);
  }

  private ask(job: api.Job): void {
    const dialog = at<HTMLDialogElement>("delete-dialog");
    at("delete-name").textContent = job.parameters.name;
    dialog.returnValue = "";
    dialog.onclose = () => {
      if (dialog.returnValue === "ok") guarded(() => this.stop(job));
    };
    dialog.showModal();
  }

  private async stop(job: api.Job): Promise<void> {
    await api.cancel(job.id);
    this.choices.removed(job.id);
    await this.refresh();
  }
}

function stateOf(job: api.Job): string {
  const { state, progress } = job;
  if (state !== "running" || !progress?.total) return state;
  return `${Math.round((100 * progress.done) / progress.total)} %`;
}

function timeOf(job: api.Job): string {
  const time = new Date(job.created);
  const today = time.toDateString() === new Date().toDateString();
  const clock = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return today
    ? clock
    : `${time.toLocaleDateString([], { day: "numeric", month: "short" })} ${clock}`;
}

// The options that differ from their defaults.
function changes(job: api.Job): string[] {
  return OPTIONS.flatMap(({ name, schema }) => {
    const value = job.parameters[name];
    if (name === "name" || value === null || value === undefined || value === schema.default)
      return [];
    return [`${name.replace("_", " ")} ${value}`];
  });
}
