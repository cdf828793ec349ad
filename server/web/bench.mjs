// How soon a 256 x 256 x 256 preview is seen: from the click on a job to the first picture.
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

const header = Buffer.alloc(43);
header.write("raw_image_stack_by_hpengL");
header.writeInt16LE(1, 25);
[256, 256, 256, 1].forEach((n, i) => header.writeInt32LE(n, 27 + 4 * i));
const voxels = Buffer.alloc(256 ** 3);
for (let i = 0; i < voxels.length; i++) voxels[i] = (i * 2654435761) >>> 27; // noise
for (let x = 10; x < 240; x++)
  for (let d = 0; d < 9; d++)
    voxels[((120 + Math.floor(d / 3)) * 256 + 100 + (d % 3)) * 256 + x] = 220;
writeFileSync(join(folder, "large.v3draw"), Buffer.concat([header, voxels]));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
});
const open = async () => {
  const page = await browser.newPage({ viewport: { width: 1300, height: 900 } });
  await page.goto(url);
  return page;
};
const first = await open();
await first.selectOption("#new [name=enhancer]", "none");
await first.setInputFiles("#files", join(folder, "large.v3draw"));
await first.waitForSelector("#result:not([hidden])", { timeout: 120_000 });
await first.close();

const seen = [];
for (let i = 0; i < ROUNDS; i++) {
  const page = await open();
  await page.waitForSelector("#jobs button");
  const began = Date.now();
  await page.click("#jobs button");
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
await browser.close();
server.kill("SIGKILL");
rmSync(folder, { recursive: true, force: true });
seen.sort((a, b) => a - b);
console.log(
  `from click to picture, ${ROUNDS} times: median ${seen[ROUNDS >> 1]} ms, ${seen[0]} to ${seen.at(-1)} ms`,
);
