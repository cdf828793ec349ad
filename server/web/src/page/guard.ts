// What happens with an error: it is told where the user looks, and a missing token is asked for.
import { Problem, token } from "../server/api";
import { at } from "./dom";

let resume: () => Promise<void> = async () => undefined;

/** Runs work of the page, and tells its failure. */
export function guarded(work: () => Promise<void>): void {
  work().catch((error: unknown) => {
    if ((error as Error).name === "AbortError") return;
    if (error instanceof Problem && error.status === 401) return askToken();
    const place = at("job").hidden ? at("server") : at("problem");
    place.textContent = (error as Error).message;
    at("running").hidden = true;
  });
}

/** Asks for a token, and says so if the one at hand was refused. */
export function askToken(): void {
  const wrong = token.get() !== "";
  at("server").textContent = wrong ? "the token was refused" : "a token is required";
  at("token-wrong").hidden = !wrong;
  const dialog = at<HTMLDialogElement>("token-dialog");
  if (!dialog.open) dialog.showModal();
}

/** `work` is done at first, and again with each new token. */
export function begin(work: () => Promise<void>): void {
  resume = work;
  at("token-button").onclick = askToken;
  at("token-dialog").onclose = () => {
    const given = at<HTMLInputElement>("token").value.trim();
    if (at<HTMLDialogElement>("token-dialog").returnValue !== "ok" || !given) return;
    token.set(given);
    guarded(resume);
  };
  guarded(resume);
}
