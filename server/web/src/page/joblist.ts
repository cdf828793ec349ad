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
  renamed(job: api.Job): void;
}

/** The most characters of a name that the server keeps. */
const LONGEST_NAME = 200;

export class JobList {
  private known = "";
  private renaming = false;
  private readonly thumbnails = new Thumbnails();

  constructor(private readonly choices: Choices) {}

  async refresh(): Promise<void> {
    const list = await api.jobs();
    if (this.renaming) return; // the name that is being written would be lost
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
    if (focused) this.focus(focused);
  }

  private focus(id: string): void {
    at("jobs").querySelector<HTMLElement>(`[data-job="${id}"]`)?.focus();
  }

  private item(job: api.Job, list: api.Job[]): HTMLLIElement {
    const source = list.find(({ id }) => id === job.source);
    const item = make("li", {}, this.row(job, source));
    const tries = list.filter(({ source }) => source === job.id);
    if (tries.length) item.append(make("ul", {}, ...tries.map((one) => this.item(one, list))));
    return item;
  }

  private row(job: api.Job, source?: api.Job): HTMLElement {
    const choice = button("", () => guarded(() => this.choices.choose(job.id)));
    choice.dataset.job = job.id;
    choice.setAttribute("aria-current", String(job.id === this.choices.chosen()));
    // A try has the name of its job, until somebody gives it one.
    const unnamed = job.kind === "retrace" && job.parameters.name === source?.parameters.name;
    const name = unnamed ? "traced again" : job.parameters.name;
    choice.append(
      this.thumbnails.of(job),
      make("span", { className: "name" }, name),
      make("span", { className: `state ${job.state}` }, stateOf(job)),
      make("span", { className: "more" }, [timeOf(job), ...changes(job)].join(" · ")),
    );
    const ended = !["queued", "running"].includes(job.state);
    const row = make("div", { className: "row" }, choice);
    if (ended) {
      const begin = (): void => this.rename(job, row);
      choice.onkeydown = (event) => {
        if (event.key === "F2") begin();
      };
      row.append(icon("✎", begin, `Rename ${job.parameters.name}`, "F2"));
    }
    const words = ended ? `Delete ${job.parameters.name}` : `Cancel ${job.parameters.name}`;
    row.append(icon("×", () => (ended ? this.ask(job) : guarded(() => this.stop(job))), words));
    return row;
  }

  // A field takes the place of the row. Enter and leaving it keep the name, Escape does not.
  private rename(job: api.Job, row: HTMLElement): void {
    const { name } = job.parameters;
    const field = make("input", { value: name, maxLength: LONGEST_NAME });
    field.setAttribute("aria-label", `New name of ${name}`);
    const before = [...row.childNodes];
    this.renaming = true;
    const end = (given: string): void => {
      if (!this.renaming) return; // the field has left the page, and lost the focus by that
      this.renaming = false;
      row.replaceChildren(...before);
      this.focus(job.id);
      if (given && given !== name) guarded(() => this.keep(job.id, given));
    };
    field.onkeydown = (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault(); // the button that gets the focus is not pressed
      end(event.key === "Enter" ? field.value.trim() : "");
    };
    field.onblur = () => end(field.value.trim());
    row.replaceChildren(field);
    field.focus();
    // The ending of a file stays unless it is chosen too.
    field.setSelectionRange(0, name.replace(/\.[^.]*$/, "").length);
  }

  private async keep(id: string, name: string): Promise<void> {
    this.choices.renamed(await api.rename(id, name));
    await this.refresh();
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

function icon(sign: string, onclick: () => void, words: string, key = ""): HTMLButtonElement {
  const made = button(sign, onclick, key ? `${words} (${key})` : words);
  made.setAttribute("aria-label", words);
  return made;
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
