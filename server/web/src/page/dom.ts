// Short words for the elements of the page.

/** The element of index.html with that id. */
export function at<E extends HTMLElement>(id: string): E {
  return document.getElementById(id) as E;
}

/** A new element with properties, and with elements or words in it. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...inner: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...inner);
  return made;
}

export function button(words: string, onclick: () => void, title = ""): HTMLButtonElement {
  return make("button", { type: "button", onclick, title }, words);
}

/** A value for people: at most that many decimals. */
export const number = (value: unknown, digits = 0): string =>
  Number(value).toLocaleString("en", { maximumFractionDigits: digits });

/** Saves content as a file of the user. */
export function save(content: Blob, name: string): void {
  const link = make("a", { href: URL.createObjectURL(content), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
