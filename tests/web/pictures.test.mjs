// The linked slices in headless Chromium before the real server: their pixels, and what moves them.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as support from "./support.mjs";
import { clean, launch, pixels, serve, stack, traced, until } from "./support.mjs";

let server, browser;

before(async () => {
  server = await serve("pictures");
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.kill();
  clean();
});

const open = (t, url = server.url) => support.open(t, url, browser);
const slice = (page, plane, index) =>
  page.waitForSelector(`#slice-${plane}[data-slice="${index}"]`);

// The stack of the tests has its line in the slices 15 to 17, from x 8 to 81 in the rows 20 to 22.
async function line(t, mark) {
  const page = await open(t);
  await traced(page, stack(`line${mark}.v3draw`, { mark }));
  await page.waitForSelector("#slice-xy[data-slice]");
  return page;
}

async function press(page, plane, ...keys) {
  await page.focus(`#slice-${plane}`);
  for (const key of keys) await page.keyboard.press(key);
}

test("a slice shows the voxels and the tree near it, and the wheel leaves both", async (t) => {
  const page = await line(t, 21);
  await press(page, "xy", "Home");
  await slice(page, "xy", 0);
  const empty = await pixels(page, "slice-xy");
  await press(page, "xy", ...Array(16).fill("PageDown"));
  await slice(page, "xy", 16);
  const full = await until(page, "slice-xy", (seen) => seen.tree > 100 && seen.bright > 400);
  assert.ok(empty.tree === 0 && empty.bright < full.bright / 3, JSON.stringify([empty, full]));
  await page.uncheck("#see-tree");
  await until(page, "slice-xy", (seen) => seen.tree === 0 && seen.bright > 400);
  await page.hover("#slice-xy");
  await page.mouse.wheel(0, 100);
  await slice(page, "xy", 17);
  await page.mouse.wheel(0, -100);
  await slice(page, "xy", 16);
});

test("the three slices are linked by the crosshair", async (t) => {
  const page = await line(t, 22);
  await page.uncheck("#see-tree");
  await press(page, "xy", "Home");
  await page.click("#slice-yz", { position: { x: 10, y: 10 } }); // outside: the nearest voxel
  await slice(page, "xy", 0);
  await slice(page, "xz", 0);
  const { x, y, width, height } = await page.locator("#slice-xy").boundingBox();
  await page.mouse.click(x + width / 2, y + height / 2);
  await slice(page, "yz", 45);
  await slice(page, "xz", 25);
  assert.equal(await page.textContent("#place"), "x 45, y 25, z 0");
  // The line crosses this slice as 3 x 3 voxels; beyond its end the slice is empty.
  const crossed = await until(page, "slice-yz", (seen) => seen.bright > 20);
  await press(page, "yz", "End");
  await slice(page, "yz", 89);
  await until(page, "slice-yz", (seen) => seen.bright < crossed.bright);
});

test("zoom, window, level and the whole again", async (t) => {
  const page = await line(t, 23);
  await page.uncheck("#see-tree");
  const before = await until(page, "slice-xy", (seen) => seen.bright > 400);
  await press(page, "xy", "+", "+", "+");
  const near = await until(page, "slice-xy", (seen) => seen.bright > 1.3 * before.bright);
  await press(page, "xy", "0");
  await until(page, "slice-xy", (seen) => seen.bright < near.bright);
  for (const [name, value] of [
    ["window", "510"],
    ["level", "255"],
    ["gamma", "0.2"],
  ])
    await page.fill(`#${name}`, value);
  await until(page, "slice-xy", (seen) => seen.bright < before.bright / 3);
  await page.click("#plain");
  await until(page, "slice-xy", (seen) => seen.bright > 0.9 * before.bright);
});

test("an address is a job and a view of it, and can be shared", async (t) => {
  const page = await line(t, 24);
  await press(page, "xy", "Home", "PageDown", "PageDown");
  await slice(page, "xy", 2);
  await page.waitForURL(/#\/jobs\/[0-9a-f]+\?.*at=\d+,\d+,2/);
  const other = await open(t, page.url());
  await slice(other, "xy", 2);
  assert.equal(await other.textContent("#place"), await page.textContent("#place"));
  await page.click("#show-3d");
  await page.waitForURL(/view=3d/);
});

test("the voxel size is the unit of the bar and of the crosshair", async (t) => {
  const page = await open(t);
  await page.click("#new summary");
  await page.fill("#new [name=spacing]", "0.5,0.5,2");
  await traced(page, stack("size.v3draw", { mark: 25 }));
  await page.locator("#place").filter({ hasText: "µm" }).waitFor();
  // A slice is four rows of pixels high where a row is one: the picture is stretched.
  const z = (await page.textContent("#place")).match(/z (\d+)/)[1];
  assert.match(await page.textContent("#place"), new RegExp(`, ${(2 * z).toFixed(1)} µm`));
});

test("doubts are marked, and gone through by keys", async (t) => {
  const page = await open(t);
  await traced(page, stack("doubts.v3draw", { broken: true, mark: 26 }));
  await page.keyboard.press("n");
  await page.waitForSelector('#doubts button[aria-current="true"]');
  assert.match(await page.textContent("#doubts-state"), /^1 of \d+/);
  const place = await page.textContent("#place");
  await page.keyboard.press("p");
  await page.keyboard.press("n");
  assert.equal(await page.textContent("#place"), place);
  // The ring of the doubt is yellow; nothing else in the slice is.
  const yellow = () =>
    page.evaluate(() => {
      const canvas = document.getElementById("slice-xy");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let count = 0;
      for (let i = 0; i < data.length; i += 4)
        if (data[i] > 220 && data[i + 1] > 180 && data[i + 2] < 110) count++;
      return count;
    });
  for (let i = 0; (await yellow()) < 30; i++) {
    assert.ok(i < 100);
    await page.waitForTimeout(50);
  }
});

test("a try that fails leaves the picture, and one that succeeds is listed below its job", async (t) => {
  const page = await line(t, 27);
  await page.fill("#again [name=root]", "500,500,500");
  await page.click("#again button");
  await page.locator("#again-state").filter({ hasText: "The earlier result stays" }).waitFor();
  await until(page, "slice-xy", (seen) => seen.tree > 20);
  await page.fill("#again [name=root]", "80,21,16");
  await page.click("#again button");
  await page.locator('#jobs ul button[aria-current="true"]:has-text("traced again")').waitFor();
  assert.equal(await page.textContent("#again-state"), "");
  // The earlier tree lies below the new one: without the new one it is seen, in violet.
  await page.waitForSelector("#result:not([hidden])");
  await page.uncheck("#see-tree");
  await until(page, "slice-xy", (seen) => seen.tree === 0 && seen.earlier === 0);
  await page.check("#see-earlier");
  await until(page, "slice-xy", (seen) => seen.earlier > 20);
});

test("a job is deleted after a question", async (t) => {
  const page = await line(t, 28);
  const remove = page.locator('#jobs .row:has-text("line28") >> button[aria-label^="Delete"]');
  await remove.click();
  await page.click("#delete-dialog >> text=Keep");
  await remove.click();
  await page.click('#delete-dialog >> button:text-is("Delete")');
  await page.locator('#jobs .row:has-text("line28")').waitFor({ state: "detached" });
  await page.waitForSelector("#empty:not([hidden])");
});
