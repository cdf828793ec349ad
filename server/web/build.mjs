// Bundles the page into ../dineuro_server/doors/web, which comes with the Python package.

import { cpSync, rmSync } from "node:fs";
import { build } from "esbuild";

const out = "../dineuro_server/doors/web";
rmSync(out, { recursive: true, force: true });
await build({
  entryPoints: ["src/main.ts"],
  outdir: out,
  bundle: true,
  splitting: true, // three.js comes when there is something to show
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  entryNames: "[name]",
  chunkNames: "[name]",
  // three.js is MIT: its notice must come with it.
  banner: {
    js: "/* DINeuro, Apache-2.0. The part that draws holds three.js, MIT: three.LICENSE.txt. */",
  },
});
cpSync("node_modules/three/LICENSE", `${out}/three.LICENSE.txt`);
for (const file of ["index.html", "style.css", "icon.svg"]) cpSync(`src/${file}`, `${out}/${file}`);
