// Proofreading in headless Chromium before the real server: every tool, and the pixels that it changes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import * as support from "./support.mjs";
import { clean, launch, serve, stack, traced, until } from "./support.mjs";

let server, browser;

before(async () => {
  server = await serve("proof");
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.kill();
  clean();
});

const open = (t, url = server.url, allowed = undefined) => support.open(t, url, browser, allowed);

// The tree is a line from x 8 to 81 at y 21, z 16, and a branch from it at x 41 down to y 43. The
// root is the left end. The page shows them in the slice z 16.
async function line(t, mark, more = {}) {
  const page = await open(t, server.url, more.allowed);
  await page.click("#new summary");
  await page.fill("#new [name=root]", "9,21,16");
  await traced(page, stack(`proof${mark}.v3draw`, { mark, ...more }));
  await point(page, 20, 40, 16);
  await until(page, "slice-xy", (seen) => seen.tree > 100);
  return page;
}

// Where a voxel of the slice xy is on the screen, while the whole of it is shown.
async function pixel(page, x, y) {
  const box = await page.locator("#slice-xy").boundingBox();
  const zoom = Math.min((box.width - 16) / 90, (box.height - 16) / 50);
  return { x: box.width / 2 + (x - 44.5) * zoom, y: box.height / 2 + (y - 24.5) * zoom };
}

async function click(page, x, y) {
  await page.click("#slice-xy", { position: await pixel(page, x, y) });
}

// The crosshair, by the address: exact, and without the help of the tree.
async function point(page, x, y, z) {
  await page.waitForURL(/#\/jobs\//);
  const job = page.url().match(/#\/jobs\/([0-9a-f]+)/)[1];
  await page.goto(`${server.url}/#/jobs/${job}?at=${x},${y},${z}`);
  await page.waitForSelector(`#slice-xy[data-slice="${z}"]`);
}

const select = async (page, x, y) => {
  await click(page, x, y);
  await page
    .locator("#selected")
    .filter({ hasText: /^node / })
    .waitFor();
};
const told = (page, words) => page.locator("#told").filter({ hasText: words }).waitFor();

// The tree's pixels in a box of voxels of the slice xy: a line where the tree is, none elsewhere.
async function treeIn(page, [x0, y0, x1, y1]) {
  const [from, to] = [await pixel(page, x0, y0), await pixel(page, x1, y1)];
  return page.evaluate(async ([left, top, right, bottom]) => {
    await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
    const canvas = document.getElementById("slice-xy");
    const width = right - left;
    const { data } = canvas.getContext("2d").getImageData(left, top, width, bottom - top);
    let count = 0;
    for (let i = 0; i < data.length; i += 4)
      if (data[i + 1] > 90 && data[i + 1] > 1.25 * data[i] && data[i + 1] > 1.25 * data[i + 2])
        count++;
    return count;
  }, [from.x, from.y, to.x, to.y].map(Math.round));
}

const RIGHT = [60, 18, 80, 24]; // of the line
const BRANCH = [38, 30, 44, 42];
async function seen(page, box, wanted) {
  let count;
  for (let i = 0; i < 100; i++) {
    count = await treeIn(page, box);
    if (wanted === count > 20) return;
    await page.waitForTimeout(50);
  }
  assert.fail(`${count} pixels of the tree in ${box}`);
}

test("a branch is deleted, undone, redone, and is gone after a reload", async (t) => {
  const page = await line(t, 31);
  await seen(page, BRANCH, true);
  await select(page, 41, 28);
  await page.keyboard.press("Delete");
  await told(page, /delete at node \d+: done/);
  await seen(page, BRANCH, false);
  await seen(page, RIGHT, true);
  await page.keyboard.press("Control+z");
  await seen(page, BRANCH, true);
  await page.keyboard.press("Control+Shift+Z");
  await seen(page, BRANCH, false);
  await page.reload();
  await page.waitForSelector('#slice-xy[data-slice="16"]');
  await seen(page, BRANCH, false);
  await page.click("#history-area summary");
  assert.equal(await page.locator("#history li").count(), 3);
});

test("the edited tree is saved as SWC, and says what was changed", async (t) => {
  const page = await line(t, 32);
  await select(page, 70, 21);
  await page.click("#edit-cut");
  await told(page, /cut at node/);
  await page.click("#history-area summary");
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#edited-swc")]);
  assert.equal(download.suggestedFilename(), "proof32_edited.swc");
  const text = readFileSync(await download.path(), "utf8");
  assert.match(text, /^#.*cut/m);
  const roots = text.split("\n").filter((row) => /^\d/.test(row) && row.trim().endsWith(" -1"));
  assert.equal(roots.length, 2);
});

test("two ends are joined by a way that is shown before", async (t) => {
  const page = await line(t, 33);
  await select(page, 55, 21);
  await page.click("#edit-cut");
  await told(page, /cut at node/);
  await select(page, 47, 21);
  await page.keyboard.press("j");
  await click(page, 64, 21);
  await told(page, /lie in the mask/);
  await until(page, "slice-xy", (now) => now.proposed > 5);
  await page.keyboard.press("Enter");
  await told(page, /join nodes \d+ and \d+: done/);
  await until(page, "slice-xy", (now) => now.proposed === 0);
  await page.keyboard.press("Control+z");
  await told(page, /undo: done/);
});

test("a tip is extended to a click", async (t) => {
  const page = await line(t, 34);
  const beyond = [74, 28, 89, 36]; // where nothing is
  await seen(page, beyond, false);
  await select(page, 80, 21);
  await page.keyboard.press("e");
  await told(page, /Click the place/);
  await click(page, 84, 42);
  await told(page, /is proposed/);
  await page.keyboard.press("Escape");
  await page.waitForSelector("#proposal", { state: "hidden" });
  await seen(page, beyond, false);
  await page.keyboard.press("e");
  await click(page, 84, 42);
  await told(page, /is proposed/);
  await page.click("#take");
  await told(page, /extend from node \d+: done/);
  await seen(page, beyond, true);
});

test("root and type are changed", async (t) => {
  const page = await line(t, 35);
  await page.selectOption("#colour", "type");
  await select(page, 75, 21);
  await page.selectOption("#edit-type", "3");
  await page.keyboard.press("o");
  await told(page, /root at node/);
  await page.click("#edit-set-type");
  await told(page, /type 3 at node/);
  // Dendrites are red.
  await until(page, "slice-xy", (now) => now.tree === 0);
  await page.click("#edit-reverse");
  await told(page, /reverse at node/);
});

test("a doubt is rejected: what hangs on it leaves the tree", async (t) => {
  const page = await line(t, 36, { broken: true });
  await seen(page, [65, 18, 80, 24], true);
  await page.locator("#doubts button", { hasText: /^join/ }).first().click();
  await page.click("#reject");
  await told(page, /reject doubt \d+: done/);
  await page.waitForSelector("#doubts button.rejected");
  await page.click("#home");
  await seen(page, [65, 18, 80, 24], false);
  await page.keyboard.press("Control+z");
  await seen(page, [65, 18, 80, 24], true);
});

// A join at x 23, and an end at x 54 beyond which a piece from x 71 on was left out.
const GAPS = [
  [20, 26],
  [55, 70],
];

test("a piece that was left out is drawn before it is added", async (t) => {
  const page = await line(t, 40, { gaps: GAPS });
  const pink = (id, wanted) => until(page, id, (now) => now.proposed > 5 === wanted);
  await pink("slice-xy", false);
  await page.locator("#doubts button", { hasText: /^end/ }).click();
  await page.locator("#doubt-help", { hasText: /drawn in pink/ }).waitFor();
  for (const id of ["slice-xy", "canvas-3d"]) await pink(id, true);
  await page.locator("#doubts button", { hasText: /^join/ }).click();
  for (const id of ["slice-xy", "canvas-3d"]) await pink(id, false);
  await page.click("#show-2d");
  await page.keyboard.press("n");
  await pink("canvas-2d", true);
  await page.click("#show-slices");
  await page.click("#home");
  await seen(page, [73, 18, 80, 24], false);
  await page.keyboard.press("r");
  await told(page, /reject doubt \d+: done/);
  await page.locator("#doubts button[aria-current=true]", { hasText: /^join/ }).waitFor();
  await page.click("#home");
  await seen(page, [73, 18, 80, 24], true);
  assert.match(await page.textContent("#doubts .rejected"), /^✗ end/);
});

test("a doubt in a part that was deleted is passed over, until that is undone", async (t) => {
  const page = await line(t, 41, { gaps: GAPS });
  const now = page.locator('#doubts button[aria-current="true"]');
  await select(page, 48, 21);
  await page.keyboard.press("Delete");
  await told(page, /delete at node/);
  await page.locator("#doubts .moot", { hasText: /^– end.*has left the tree/ }).waitFor();
  assert.match(await page.textContent("#doubts-state"), /1 gone/);
  for (const key of ["n", "n", "p"]) {
    await page.keyboard.press(key);
    assert.match(await now.textContent(), /^join/);
  }
  await page.keyboard.press("Control+z");
  await page.locator("#doubts .moot").waitFor({ state: "detached" });
  await page.keyboard.press("n");
  assert.match(await now.textContent(), /^end/);
});

test("two people edit one tree: the second is told, and nothing is lost", async (t) => {
  const one = await line(t, 37, { allowed: /412/ });
  const two = await open(t, one.url());
  await two.waitForSelector('#slice-xy[data-slice="16"]');
  await select(two, 41, 28);
  await two.keyboard.press("Delete");
  await told(two, /delete at node/);
  await select(one, 75, 21);
  await one.click("#edit-cut");
  await one.waitForSelector("#conflict:not([hidden])");
  assert.match(await one.textContent("#conflict-words"), /was not made: cut at node/);
  await seen(one, BRANCH, false); // the other's edit
  await one.click("#conflict-again");
  await told(one, /cut at node \d+: done/);
  await one.click("#history-area summary");
  assert.equal(await one.locator("#history li").count(), 2);
});

test("an edit that does not fit is refused in words", async (t) => {
  const page = await line(t, 38, { allowed: /422/ });
  await select(page, 41, 28);
  await page.keyboard.press("j");
  await click(page, 75, 21);
  await told(page, /is proposed/);
  await page.click("#take");
  await told(page, /join/);
  assert.doesNotMatch(await page.textContent("#told"), /done/);
  await seen(page, BRANCH, true);
  await page.keyboard.press("Escape");
  await page.click("#slice-xy", { position: { x: 12, y: 40 } });
  assert.match(await page.textContent("#selected"), /Click the tree/);
  await page.keyboard.press("c");
  await told(page, /Select a node/);
});

test("the tree is measured with its edits, as table, plot and CSV", async (t) => {
  const page = await line(t, 39);
  await page.click("#measures-area summary");
  const length = async () =>
    Number((await page.locator("#measures td").first().textContent()).replace(/[^\d.]/g, ""));
  await page.waitForSelector("#sholl svg");
  const whole = await length();
  // The line has 72 voxels, and the branch 22.
  assert.ok(whole > 85 && whole < 105, String(whole));
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#sholl-csv")]);
  const rows = readFileSync(await download.path(), "utf8")
    .trim()
    .split("\n");
  assert.equal(rows[0], "radius (voxels),crossings");
  // Each sphere of 10 to 70 voxels around the left end cuts the line once.
  assert.deepEqual(rows.slice(1, 4), ["10,1", "20,1", "30,1"]);
  await select(page, 41, 28);
  await page.keyboard.press("Delete");
  await told(page, /done/);
  for (let i = 0; (await length()) > whole - 10; i++) {
    assert.ok(i < 100);
    await page.waitForTimeout(50);
  }
});
