// Builds viewer.js and what it imports into one script, and collects the licences of what is inside.
//
//   node build.mjs [FOLDER]     FOLDER/viewer.js, FOLDER/licenses.txt; default: sctd/viewer/web
//
// The versions are those of package-lock.json (`npm ci`); the same versions give the same bytes.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = resolve(process.argv[2] ?? join(here, "../../sctd/viewer/web"));
const lock = JSON.parse(readFileSync(join(here, "package-lock.json"), "utf8")).packages;

const result = await build({
  absWorkingDir: here,
  entryPoints: ["viewer.js"],
  bundle: true,
  minify: true,
  format: "iife",
  globalName: "SctdViewer",
  target: "es2022",
  charset: "utf8",
  legalComments: "none", // the licences follow whole
  logLevel: "warning",
  metafile: true,
  write: false,
});

// Every package that gave a file, and what Spark itself was built from.
const inside = new Set(
  Object.keys(result.metafile.inputs)
    .map(name => name.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1])
    .filter(Boolean),
);
inside.add("fflate");
const packages = [...inside].sort().map(name => {
  const { version, license } = lock[`node_modules/${name}`];
  return { name, version, license, text: readFileSync(join(here, "node_modules", name, "LICENSE"), "utf8") };
});

const told = packages.map(({ name, version, license }) => `${name} ${version} (${license})`).join(", ");
const header = `/* Built by tools/viewer/build.mjs from ${told}; their licences: licenses.txt */\n`;

const script = result.outputFiles[0].text;
writeFileSync(join(target, "viewer.js"), header + script);
writeFileSync(
  join(target, "licenses.txt"),
  packages.map(({ name, version, text }) => `${name} ${version}\n\n${text.trim()}\n`).join(`\n${"-".repeat(78)}\n\n`),
);
