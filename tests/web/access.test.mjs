// The page by the rules of WCAG 2.2 (axe-core), in each of its states, light and dark.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import * as support from "./support.mjs";
import { clean, DINEURO, folder, launch, says, serve, stack, traced, web } from "./support.mjs";

const AXE = readFileSync(createRequire(new URL("package.json", web)).resolve("axe-core"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const NARROW = { width: 360, height: 780 };

let server, browser;

before(async () => {
  server = await serve("access");
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.kill();
  clean();
});

async function open(t, url = server.url, allowed = undefined) {
  const page = await support.open(t, url, browser, allowed);
  await page.evaluate(AXE);
  return page;
}

// Nothing is wrong in what is seen now.
async function keeps(page, state) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const wrong = await page.evaluate(async (tags) => {
      const { violations } = await axe.run(document, { runOnly: tags });
      return violations.flatMap(({ id, nodes }) =>
        nodes.map(({ target, any }) => `${id}: ${target} ${any[0]?.message ?? ""}`),
      );
    }, TAGS);
    assert.deepEqual(wrong, [], `${state}, ${colorScheme}`);
  }
}

test("a new job: empty, with all fields, sending what is no stack", async (t) => {
  const page = await open(t, server.url, /status of 4/);
  await says(page, "server", /networks/);
  await keeps(page, "empty");
  await page.click("#new summary");
  await keeps(page, "all fields");
  const path = join(folder, "note.tif");
  writeFileSync(path, "no picture at all");
  await page.setInputFiles("#files", path);
  await says(page, "uploading", /note.tif/);
  await keeps(page, "refused");
  await page.setViewportSize(NARROW);
  await keeps(page, "narrow");
});

test("a job that waits and runs, and one that was cancelled", async (t) => {
  const page = await open(t);
  await page.click("#new summary");
  await page.selectOption("#new [name=trees]", "all");
  await page.selectOption("#new [name=enhancer]", "none");
  await page.setInputFiles("#files", stack("slow.v3draw", { slow: true }));
  await says(page, "stage", /./, { timeout: 60_000 });
  await keeps(page, "running");
  await page.click("#cancel");
  await says(page, "problem", /cancelled/, { timeout: 10_000 });
  await keeps(page, "cancelled");
});

test("a result: its pictures, tools, doubts, edits and measurements", async (t) => {
  const page = await open(t);
  await page.click("#new summary");
  await page.fill("#new [name=root]", "9,21,16");
  await traced(page, stack("seen.v3draw", { mark: 61, broken: true }));
  await page.waitForSelector('#slice-xy:not([data-slice=""])');
  await keeps(page, "slices");
  for (const layout of ["3d", "2d"]) {
    await page.click(`#show-${layout}`);
    await keeps(page, layout);
  }
  await page.click("#show-slices");
  await page.locator("#doubts button").first().click();
  await keeps(page, "a doubt");
  await page.click("#reject");
  await page.waitForSelector("#doubts .rejected");
  for (const id of ["history-area", "measures-area", "help"]) await page.click(`#${id} > summary`);
  await page.waitForSelector("#sholl svg");
  await keeps(page, "edits and measurements");
  await page.setViewportSize(NARROW);
  await keeps(page, "narrow");
});

test("the list: a name that is written, and a job that may be deleted", async (t) => {
  const page = await open(t);
  await traced(page, stack("listed.v3draw", { mark: 62 }));
  await page.click('[aria-label="Rename listed.v3draw"]');
  await keeps(page, "renaming");
  await page.keyboard.press("Escape");
  await page.click('[aria-label="Delete listed.v3draw"]');
  await keeps(page, "deleting");
});

test("the page of a batch, with a stack that failed", async (t) => {
  const stacks = join(folder, "stacks");
  mkdirSync(stacks);
  stack("stacks/traced.v3draw", { mark: 63 });
  writeFileSync(join(stacks, "broken.tif"), "no picture at all");
  const out = join(stacks, "out");
  for (const words of [
    ["trace", stacks, "-o", `${out}/`, "--report", out, "--preview", out, "--enhancer", "none"],
    ["report", out],
  ])
    await new Promise((done) => spawn(DINEURO, words, { stdio: "ignore" }).on("exit", done));
  const page = await open(t, pathToFileURL(join(out, "report.html")).href);
  assert.match(await page.textContent("main"), /1 failed/);
  await keeps(page, "batch");
  await page.click("th button");
  await keeps(page, "sorted");
});

test("a token is asked for, and refused", async (t) => {
  const tokens = join(folder, "tokens");
  await new Promise((done) =>
    spawn(DINEURO, ["keys", "token", "anna", "--tokens", tokens]).on("exit", done),
  );
  const guarded = await serve("guarded", "--tokens", tokens);
  t.after(() => guarded.kill());
  const page = await open(t, guarded.url, /401/);
  await page.waitForSelector("#token-dialog[open]");
  await keeps(page, "token");
  await page.fill("#token", "wrong");
  await page.click("text=Use the token");
  await page.waitForSelector("#token-wrong:not([hidden])");
  await keeps(page, "wrong token");
});
