// What the tests of the page share: a server, stacks, a browser, and the pixels that it shows.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const web = new URL("../../server/web/", import.meta.url);
const { chromium } = createRequire(new URL("package.json", web))("playwright-core");

export const DINEURO =
  process.env.DINEURO ?? new URL("../../.venv/bin/dineuro", import.meta.url).pathname;
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
export const folder = mkdtempSync(join(tmpdir(), "dineuro-page-"));
const WEBGL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"];

export async function serve(name, ...more) {
  const child = spawn(
    DINEURO,
    [
      "serve",
      "--http",
      "127.0.0.1:0",
      "--zmq",
      "off",
      "--cold",
      "--state",
      join(folder, name),
      ...more,
    ],
    {
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  let said = "";
  const url = await new Promise((resolve, reject) => {
    child.stderr.on("data", (bytes) => {
      said += bytes;
      const found = said.match(/HTTP at (http:\/\/\S+)/);
      if (found) resolve(found[1]);
    });
    child.on("exit", () => reject(new Error(said)));
  });
  // It listens a moment after it has said so.
  while (!(await fetch(`${url}/livez`).catch(() => null)))
    await new Promise((next) => setTimeout(next, 50));
  return { url, kill: () => child.kill("SIGKILL") };
}

// A .v3draw stack of 30 x 50 x 90 with a bright line along x, broken or not, and a branch.
export function stack(name, { slow = false, broken = false, gaps = [], mark = 0 } = {}) {
  const dark = broken ? [[55, 61], ...gaps] : gaps; // from the first x to the last
  const [depth, height, width] = slow ? [60, 300, 300] : [30, 50, 90];
  const header = Buffer.alloc(43);
  header.write("raw_image_stack_by_hpengL");
  header.writeInt16LE(1, 25);
  [width, height, depth, 1].forEach((n, i) => header.writeInt32LE(n, 27 + 4 * i));
  const voxels = Buffer.alloc(depth * height * width, 0);
  const set = (z, y, x) => (voxels[(z * height + y) * width + x] = 220);
  if (slow) {
    for (let z = 0; z < depth; z += 4)
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) if (y % 4 === 0 || x % 8 === 0) set(z, y, x);
  } else {
    for (let x = 8; x < 82; x++)
      if (!dark.some(([first, last]) => x >= first && x <= last))
        for (let d = 0; d < 9; d++) set(15 + Math.floor(d / 3), 20 + (d % 3), x);
    for (let y = 22; y < 44; y++)
      for (let d = 0; d < 9; d++) set(15 + Math.floor(d / 3), y, 40 + (d % 3));
  }
  voxels[0] = mark;
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([header, voxels]));
  return path;
}

export const launch = (...more) =>
  chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", ...(more.length ? more : WEBGL)],
  });

export const clean = () => rmSync(folder, { recursive: true, force: true });

// A page, and all that must not have happened on it.
export async function open(t, url, from, allowed = /^$/) {
  const context = await from.newContext({ viewport: { width: 1300, height: 900 } });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  const wrong = [];
  const own = url.startsWith("file:") ? new URL(".", url).href : new URL(url).origin;
  page.on("request", (request) => {
    if (!request.url().startsWith(own) && !request.url().startsWith("blob:"))
      wrong.push(`asked ${request.url()}`);
  });
  page.on(
    "console",
    (message) =>
      message.type() === "error" && !allowed.test(message.text()) && wrong.push(message.text()),
  );
  page.on("pageerror", (error) => wrong.push(String(error)));
  t.after(async () => {
    await context.close();
    assert.deepEqual(wrong, []);
  });
  await page.goto(url);
  return page;
}

export async function traced(page, path, { enhancer = "none" } = {}) {
  await page.selectOption("#new [name=enhancer]", enhancer);
  await page.setInputFiles("#files", path);
  await page.waitForSelector("#result:not([hidden])", { timeout: 60_000 });
}

// Waits for words; the page forbids the evaluation that other ways of waiting need.
export const says = (page, id, words, more) =>
  page.locator(`#${id}`).filter({ hasText: words }).waitFor(more);

// How many of the canvas' pixels are bright and grey, and how many are greenish as a certain tree is.
export const pixels = (page, id) =>
  page.evaluate(async (name) => {
    await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
    const canvas = document.getElementById(name);
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const pen = copy.getContext("2d");
    pen.drawImage(canvas, 0, 0);
    const data = pen.getImageData(0, 0, copy.width, copy.height).data;
    let bright = 0,
      tree = 0,
      mask = 0,
      proposed = 0,
      earlier = 0;
    for (let i = 0; i < data.length; i += 4) {
      const [r, g, b] = [data[i], data[i + 1], data[i + 2]];
      // Grey, so that neither lines nor marks count.
      if (r + g + b > 300 && Math.max(r, g, b) - Math.min(r, g, b) < 30) bright++;
      if (g > 90 && g > 1.25 * r && g > 1.25 * b) tree++;
      if (g > 60 && b > 60 && g > 1.8 * r) mask++;
      if (r > 200 && b > 180 && g < 140) proposed++;
      if (b > 150 && b > 1.2 * r && r > 1.1 * g) earlier++;
    }
    return { bright, tree, mask, proposed, earlier, all: data.length / 4 };
  }, id);

export async function until(page, id, wanted) {
  let seen;
  for (let i = 0; i < 100; i++) {
    seen = await pixels(page, id);
    if (wanted(seen)) return seen;
    await page.waitForTimeout(100);
  }
  assert.fail(JSON.stringify(seen));
}
