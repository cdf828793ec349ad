// The list of jobs in headless Chromium before the real server.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as support from "./support.mjs";
import { clean, launch, says, serve, stack, traced } from "./support.mjs";

let server, browser;

before(async () => {
  server = await serve("jobs");
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.kill();
  clean();
});

const open = (t, url = server.url, allowed = undefined) => support.open(t, url, browser, allowed);
const named = (page, words) =>
  page.locator("#jobs .row button[data-job]").filter({ hasText: words });

test("a job is renamed in the list: by the mouse and the keyboard, or not by Escape", async (t) => {
  const page = await open(t);
  await traced(page, stack("before.v3draw", { mark: 51 }));
  await page.click('[aria-label="Rename before.v3draw"]');
  const field = page.locator("#jobs input");
  assert.equal(await field.inputValue(), "before.v3draw");
  await page.keyboard.type("kept"); // the ending was not chosen
  await page.keyboard.press("Enter");
  await named(page, "kept.v3draw").waitFor();
  assert.equal(await page.textContent("#name"), "kept.v3draw");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.click('#downloads >> text="SWC"'),
  ]);
  assert.equal(download.suggestedFilename(), "kept_dineuro.swc");

  await named(page, "kept.v3draw").focus();
  await page.keyboard.press("F2");
  await field.fill("dropped");
  await page.keyboard.press("Escape");
  await named(page, "kept.v3draw").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.dataset.job.length), 32);

  // Letters are letters here, and no keys of the editor; the list does not take the field away.
  await page.keyboard.press("F2");
  await field.fill("");
  await page.keyboard.type("node c");
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  assert.equal(await field.inputValue(), "node c");
  await page.click("h1");
  await named(page, "node c").waitFor();
  await page.reload();
  await named(page, "node c").waitFor();
  await says(page, "name", /^node c$/);
});

test("a try is below its job, under its own name if it has one", async (t) => {
  const page = await open(t);
  await traced(page, stack("tried.v3draw", { mark: 52 }));
  await page.fill("#again [name=min_length]", "9");
  await page.click("#again button");
  const tries = page.locator("#jobs li:has-text('tried.v3draw') ul button[data-job]");
  await tries.filter({ hasText: /traced again\s*done.*min length 9/ }).waitFor();
  await tries.focus();
  await page.keyboard.press("F2");
  await page.locator("#jobs input").fill("only long ones");
  await page.keyboard.press("Enter");
  await tries.filter({ hasText: /^only long ones/ }).waitFor();
});

test("a result that comes slowly is announced, and one that is gone is told", async (t) => {
  const page = await open(t, server.url, /404/);
  await traced(page, stack("late.v3draw", { mark: 53 }));
  const address = page.url();
  let go;
  const held = new Promise((release) => (go = release));
  await page.route("**/view", async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(`${server.url}/#/jobs/${"0".repeat(32)}`);
  await says(page, "problem", /there is none/);
  assert.ok(await page.isHidden("#result")); // that of the job before
  await page.goto(address);
  await page.waitForSelector("#loading:not([hidden])");
  assert.equal(await page.textContent("#problem"), "");
  go();
  await page.waitForSelector("#result:not([hidden])");
  assert.ok(await page.isHidden("#loading"));
});
