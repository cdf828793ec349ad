// How soon a 256 x 256 x 256 preview is seen: from the click on a job to the first picture. And how
// fast the slices of a volume of 512 x 512 x 512 follow each other.
//
//     npm run bench
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const ROUNDS = 7;
const DINEURO = process.env.DINEURO ?? new URL("../../.venv/bin/dineuro", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "dineuro-bench-"));
const server = spawn(
  DINEURO,
  ["serve", "--http", "127.0.0.1:8741", "--zmq", "off", "--cold", "--state", join(folder, "state")],
  { stdio: "ignore" },
);
const url = "http://127.0.0.1:8741/";
while (!(await fetch(`${url}livez`).catch(() => null)))
  await new Promise((next) => setTimeout(next, 100));

// Noise, and a line along x.
function stack(name, side) {
  const header = Buffer.alloc(43);
  header.write("raw_image_stack_by_hpengL");
  header.writeInt16LE(1, 25);
  [side, side, side, 1].forEach((n, i) => header.writeInt32LE(n, 27 + 4 * i));
  const voxels = Buffer.alloc(side ** 3);
  for (let i = 0; i < voxels.length; i++) voxels[i] = (i * 2654435761) >>> 27;
  for (let x = 10; x < side - 16; x++)
    for (let d = 0; d < 9; d++)
      voxels[((side / 2 + Math.floor(d / 3)) * side + 100 + (d % 3)) * side + x] = 220;
  writeFileSync(join(folder, name), Buffer.concat([header, voxels]));
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
});
const open = async () => {
  const page = await browser.newPage({ viewport: { width: 1300, height: 900 } });
  await page.goto(url);
  return page;
};
async function trace(name, side, roi = "") {
  stack(name, side);
  const page = await open();
  await page.selectOption("#new [name=enhancer]", "none");
  await page.click("#new summary");
  await page.fill("#new [name=roi]", roi);
  await page.setInputFiles("#files", join(folder, name));
  await page.waitForSelector("#result:not([hidden])", { timeout: 600_000 });
  await page.close();
}
await trace("large.v3draw", 256);

const seen = [];
for (let i = 0; i < ROUNDS; i++) {
  const page = await open();
  await page.waitForSelector("#jobs button");
  const began = Date.now();
  await page.click("#jobs .row:has-text('large') button");
  await page.waitForSelector("#result:not([hidden])");
  // Two frames after the canvas has its picture's size it has been drawn.
  await page.evaluate(async () => {
    const frame = () => new Promise(requestAnimationFrame);
    while (document.getElementById("canvas-3d").width === 300) await frame();
    await frame();
    await frame();
  });
  seen.push(Date.now() - began);
  await page.close();
}

// Each slice is asked for when the one before has been drawn whole.
async function scroll(page, count) {
  await page.focus("#slice-xy");
  await page.keyboard.press("Home");
  await page.waitForSelector('#slice-xy[data-slice="0"]');
  return page.evaluate(async (wanted) => {
    const canvas = document.getElementById("slice-xy");
    const began = performance.now();
    for (let slice = 1; slice <= wanted; slice++) {
      canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "PageDown", bubbles: true }));
      while (canvas.dataset.slice !== String(slice)) await new Promise(requestAnimationFrame);
    }
    return performance.now() - began;
  }, count);
}
const SLICES = 300;
// The slices are those of the whole volume, and a part of it is traced sooner.
await trace("huge.v3draw", 512, "10,80,240,210,120,280");
const page = await browser.newPage({ viewport: { width: 1800, height: 1400 } });
await page.goto(url);
await page.waitForSelector("#jobs button");
const clicked = Date.now();
await page.click("#jobs .row:has-text('huge') button");
await page.waitForSelector('#slice-xy[data-reduced="false"]:not([data-slice=""])');
const soon = Date.now() - clicked;
const took = await scroll(page, SLICES);
await browser.close();
server.kill("SIGKILL");
rmSync(folder, { recursive: true, force: true });
seen.sort((a, b) => a - b);
console.log(
  `from click to picture, ${ROUNDS} times: median ${seen[ROUNDS >> 1]} ms, ${seen[0]} to ${seen.at(-1)} ms`,
);
console.log(
  `512 x 512 x 512: first slice ${soon} ms after the click, ` +
    `then ${((1000 * SLICES) / took).toFixed(1)} slices a second`,
);
