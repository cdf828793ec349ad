// Keys that work wherever the focus is, except where words are typed.

/** What a key does; "Ctrl+" is also the command key. */
export type Keys = Record<string, () => void>;

const TYPED = "input:not([type=checkbox]):not([type=range]), select, textarea, dialog";
/** Where Enter and the space bar press what has the focus. */
const PRESSED = "button, a, summary, label";

export function listenTo(keys: Keys, ready: () => boolean): void {
  document.addEventListener("keydown", (event) => {
    const target = event.target as Element;
    if (event.defaultPrevented || event.altKey || !ready() || target.closest(TYPED)) return;
    if (event.key === "Enter" && target.closest(PRESSED)) return;
    const control = event.ctrlKey || event.metaKey;
    const action = keys[control ? `Ctrl+${event.key}` : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
