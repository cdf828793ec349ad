// The page in headless Chromium before the real server. Neither is stood in for.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import * as support from "./support.mjs";
import {
  clean,
  DINEURO,
  folder,
  launch,
  says,
  serve,
  stack,
  traced,
  until,
  web,
} from "./support.mjs";

let server, browser, plain;

before(async () => {
  server = await serve("state");
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await plain?.close();
  server?.kill();
  clean();
});

const open = (t, url = server.url, from = browser, allowed = undefined) =>
  support.open(t, url, from, allowed);

test("a stack that is dropped comes back as volume, tree, figures and files", async (t) => {
  const page = await open(t);
  await page
    .locator("#server")
    .filter({ hasText: /networks|asking/ })
    .waitFor();
  await traced(page, stack("cell.v3draw", { mark: 1 }));
  const whole = await until(page, "canvas-3d", (seen) => seen.tree > 100 && seen.bright > 100);
  assert.ok(whole.bright < whole.all / 2);
  await page.uncheck("#see-tree");
  const without = await until(page, "canvas-3d", (seen) => seen.tree === 0);
  assert.ok(without.bright > 100);
  await page.uncheck("#see-image");
  await until(page, "canvas-3d", (seen) => seen.bright < 20);
  await page.check("#see-mask");
  await until(page, "canvas-3d", (seen) => seen.mask > 100);
  assert.match(await page.textContent("#figures"), /90 × 50 × 30/);
  assert.match(await page.textContent("#figures"), /certain/);
  for (const [text, ending] of [
    ["SWC", "cell_dineuro.swc"],
    ["mask (.tif)", "cell_mask.tif"],
    ["all as zip", "cell.zip"],
  ]) {
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.click(`#downloads >> text="${text}"`),
    ]);
    assert.equal(download.suggestedFilename(), ending);
  }
});

test("projections, a root that is clicked, and tracing again without the network", async (t) => {
  const page = await open(t);
  await traced(page, stack("again.v3draw", { mark: 2 }));
  await page.click("#show-2d");
  await until(page, "canvas-2d", (seen) => seen.tree > 100 && seen.bright > 100);
  await page.click("#canvas-2d", { position: { x: 30, y: 120 } });
  assert.match(await page.inputValue("#again [name=root]"), /^\d+,\d+,\d+$/);
  await page.fill("#again [name=root]", "80,21,16");
  const jobs = await page.locator("#jobs li").count();
  await page.click("#again button");
  await page.locator("#jobs li").nth(jobs).waitFor();
  await says(page, "figures", /marker/);
});

test("the places to look at first are flown to", async (t) => {
  const page = await open(t);
  await traced(page, stack("doubt.v3draw", { broken: true, mark: 3 }));
  await page.selectOption("#colour", "order");
  const before = await until(page, "canvas-3d", (seen) => seen.bright > 100);
  await page.locator("#doubts button").first().click();
  await until(page, "canvas-3d", (seen) => Math.abs(seen.bright - before.bright) > 200);
  await page.click("#home");
});

test("a job is cancelled", async (t) => {
  const page = await open(t);
  await page.click("#new summary");
  await page.selectOption("#new [name=trees]", "all");
  await page.selectOption("#new [name=enhancer]", "none");
  await page.setInputFiles("#files", stack("slow.v3draw", { slow: true }));
  await says(page, "stage", /Tracing/, { timeout: 60_000 });
  await page.click("#cancel");
  await says(page, "problem", /cancelled/, { timeout: 10_000 });
});

test("what is no stack is refused by name", async (t) => {
  const page = await open(t, server.url, browser, /status of 4/);
  const path = join(folder, "holiday.tif");
  writeFileSync(path, "no picture at all");
  await page.setInputFiles("#files", path);
  await says(page, "uploading", /holiday.tif/);
});

test("several stacks one after the other", async (t) => {
  const page = await open(t);
  await page.selectOption("#new [name=enhancer]", "none");
  await page.setInputFiles("#files", [
    stack("one.v3draw", { mark: 4 }),
    stack("two.v3draw", { mark: 5 }),
  ]);
  await page.waitForSelector('#jobs button[aria-current="true"]:has-text("two.v3draw")', {
    timeout: 60_000,
  });
  await page.waitForSelector("#result:not([hidden])", { timeout: 60_000 });
  assert.ok(await page.locator('#jobs button:has-text("one.v3draw")').count());
  // Each has its picture, which is fetched once.
  const pictures = page.locator('#jobs .row:has-text(".v3draw") img.thumbnail');
  await page.waitForFunction(
    () => document.querySelector("#jobs img.thumbnail")?.naturalWidth > 10,
    null,
    { timeout: 10_000 },
  );
  const source = await pictures.first().getAttribute("src");
  assert.match(source, /^blob:/);
  await page.locator('#jobs button:has-text("one.v3draw")').first().click();
  await page.waitForFunction(
    (src) => [...document.querySelectorAll("#jobs img.thumbnail")].some((one) => one.src === src),
    source,
    { timeout: 10_000 },
  );
});

test("of a folder the stacks are taken, not the masks and notes", async (t) => {
  const page = await open(t);
  mkdirSync(join(folder, "batch", "day 2"), { recursive: true });
  stack("batch/first.v3draw", { mark: 9 });
  stack("batch/day 2/second.v3draw", { mark: 10 });
  stack("batch/first_mask.v3draw", { mark: 11 });
  writeFileSync(join(folder, "batch", "notes.txt"), "none");
  await page.selectOption("#new [name=enhancer]", "none");
  await page.setInputFiles("#folder", join(folder, "batch"));
  await page.waitForSelector("#result:not([hidden])", { timeout: 60_000 });
  const names = await page.locator("#jobs button").allTextContents();
  assert.deepEqual(
    ["first.v3draw", "second.v3draw", "first_mask", "notes"].map(
      (name) => names.filter((n) => n.includes(name)).length,
    ),
    [1, 1, 0, 0],
  );
  assert.equal(await page.textContent("#uploading"), "");
});

test("a neuron through the network, its stages seen", async (t) => {
  const page = await open(t);
  const made = join(folder, "demo");
  await new Promise((done, failed) =>
    spawn(DINEURO, ["demo", made], { stdio: "ignore" }).on("exit", (code) =>
      code ? failed(new Error(`demo: ${code}`)) : done(),
    ),
  );
  await page.setInputFiles("#files", join(made, "neuron.tif"));
  await says(page, "stage", /Enhancing/, { timeout: 60_000 });
  await page.waitForSelector("#result:not([hidden])", { timeout: 120_000 });
  assert.match(await page.textContent("#figures"), /enhanced by(dineuro|classical)/);
  await until(page, "canvas-3d", (seen) => seen.tree > 100 && seen.bright > 100);
});

test("a stack is dropped, and a picture of it is shown in the dark too", async (t) => {
  const page = await open(t);
  await page.emulateMedia({ colorScheme: "dark" });
  assert.notEqual(
    await page.evaluate(() => getComputedStyle(document.body).backgroundColor),
    "rgb(245, 246, 248)",
  );
  await page.selectOption("#new [name=enhancer]", "none");
  const bytes = [...readFileSync(stack("drop.v3draw", { mark: 8 }))];
  const data = await page.evaluateHandle((given) => {
    const made = new DataTransfer();
    made.items.add(new File([new Uint8Array(given)], "drop.v3draw"));
    return made;
  }, bytes);
  await page.dispatchEvent("#drop", "drop", { dataTransfer: data });
  await page.waitForSelector("#result:not([hidden])", { timeout: 60_000 });
  assert.equal(await page.textContent("#name"), "drop.v3draw");
});

test("little has to come before something is seen", () => {
  const built = new URL("../dineuro_server/doors/web/", web);
  const sizes = ["index.html", "style.css", "main.js", "chunk.js"].map(
    (name) => gzipSync(readFileSync(new URL(name, built))).length,
  );
  assert.ok(sizes.reduce((a, b) => a + b) < 40_000, String(sizes));
});

test("without WebGL the projections are shown", async (t) => {
  plain = await launch("--disable-gpu", "--disable-3d-apis");
  const page = await open(t, server.url, plain, /WebGL/);
  await traced(page, stack("flat.v3draw", { mark: 6 }));
  await page.waitForSelector("#no-webgl:not([hidden])");
  await until(page, "slice-xy", (seen) => seen.tree > 20);
  await page.click("#show-2d");
  await until(page, "canvas-2d", (seen) => seen.tree > 100);
});

test("a token is asked for where the server wants one", async (t) => {
  const tokens = join(folder, "tokens");
  const made = await new Promise((done) => {
    let text = "";
    const child = spawn(DINEURO, ["keys", "token", "anna", "--tokens", tokens]);
    child.stdout.on("data", (bytes) => (text += bytes));
    child.on("exit", () => done(text.trim()));
  });
  const guarded = await serve("guarded", "--tokens", tokens);
  t.after(() => guarded.kill());
  const page = await open(t, guarded.url, browser, /401/);
  await page.waitForSelector("#token-dialog[open]");
  assert.ok(await page.isHidden("#token-wrong"));
  await page.fill("#token", "wrong");
  await page.click("text=Use the token");
  await page.waitForSelector("#token-wrong:not([hidden])");
  await says(page, "server", /refused/);
  await page.fill("#token", made.split("\n").pop());
  await page.click("text=Use the token");
  await says(page, "server", /networks/);
  await traced(page, stack("mine.v3draw", { mark: 7 }));
  await until(page, "canvas-3d", (seen) => seen.tree > 100);
});

test("a server that has gone is told", async (t) => {
  const mortal = await serve("mortal");
  const page = await open(t, mortal.url, browser, /ERR_|Failed to load/);
  await says(page, "server", /networks/);
  mortal.kill();
  await page.setInputFiles("#files", stack("late.v3draw"));
  await says(page, "uploading", /does not answer/);
});

test("the keyboard and a screen reader find their way", async (t) => {
  const page = await open(t);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.id), "drop");
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("input, select, button, canvas")]
      .filter((e) => !(e.labels?.length || e.getAttribute("aria-label") || e.textContent.trim()))
      .map((e) => e.outerHTML),
  );
  assert.deepEqual(nameless, []);
});
