// A job that ran in blocks has files and figures on the page, and no pictures.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { clean, folder, launch, open, serve, stack } from "./support.mjs";

let server;
let browser;

before(async () => {
  server = await serve(
    "blocks",
    "--root",
    folder,
    "--large-voxels",
    "100000",
    "--large-workers",
    "0",
  );
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.kill();
  clean();
});

test("its files are offered, and the next job has its pictures again", async (t) => {
  const query = new URLSearchParams({
    path: stack("large.v3draw"),
    enhancer: "classical",
  });
  const done = await fetch(`${server.url}/v1/trace?${query}`, { method: "POST" });
  assert.equal(done.status, 200);
  query.set("roi", "0,0,0,90,50,20");
  query.set("name", "part.v3draw");
  assert.equal((await fetch(`${server.url}/v1/trace?${query}`, { method: "POST" })).status, 200);
  const page = await open(t, server.url, browser);
  await page.click("#jobs button:has-text('large.v3draw')");
  await page.waitForSelector("#figures >> text=neurons");
  assert.match(await page.textContent("#figures"), /blocks1 of 1/);
  for (const id of ["stage-area", "doubts-area", "again"])
    assert.equal(await page.isVisible(`#${id}`), false, id);
  for (const [text, ending] of [
    ["each neuron (.zip)", "large_neurons.zip"],
    ["neurons (.csv)", "large_neurons.csv"],
  ]) {
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.click(`#downloads >> text="${text}"`),
    ]);
    assert.equal(download.suggestedFilename(), ending);
  }
  assert.equal(await page.locator("#downloads >> text=mask").count(), 0);
  await page.waitForSelector("#measures-area");
  await page.click("#jobs button:has-text('part.v3draw')");
  await page.waitForSelector("#stage-area");
  assert.equal(await page.isVisible("#doubts-area"), true);
});
