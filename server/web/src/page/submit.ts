// New jobs: stacks that are dropped or chosen, sent one after the other.
import * as api from "../server/api";
import { Problem } from "../server/api";
import { at } from "./dom";
import { query } from "./options";

/** Sends files with the form's parameters. Returns the last job's id, or "" without one. */
export async function submit(files: File[]): Promise<string> {
  const form = at<HTMLFormElement>("new");
  if (!form.reportValidity()) return "";
  const told = at("uploading");
  const failures: string[] = [];
  let last = "";
  for (const [i, file] of files.entries()) {
    const which = files.length > 1 ? ` (${i + 1} of ${files.length})` : "";
    const params = query(form);
    if (!(form.elements.namedItem("reuse") as HTMLInputElement).checked)
      params.set("reuse", "false");
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
  return last;
}

/** Lets files come by drop, by choice, and by keyboard. `take` gets them. */
export function wireFiles(take: (files: () => Promise<File[]>) => void): void {
  const drop = at("drop");
  const files = at<HTMLInputElement>("files");
  const folder = at<HTMLInputElement>("folder");
  drop.onkeydown = (event) => {
    if (event.key === "Enter" || event.key === " ") files.click();
  };
  const chosen = (input: HTMLInputElement, wanted: (file: File) => boolean): void => {
    const list = [...(input.files ?? [])].filter(wanted);
    input.value = "";
    take(async () => list);
  };
  files.onchange = () => chosen(files, () => true);
  folder.onchange = () => chosen(folder, (file) => isStack(file.name));
  at("choose-folder").onclick = () => folder.click();
  for (const name of ["dragover", "dragleave", "drop"] as const)
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      const data = name === "drop" ? event.dataTransfer : null;
      if (data?.files.length) take(() => dropped(data));
    });
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
