// Builds a script of this folder with the packages of tools/viewer: node bundle.mjs SCRIPT OUT
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const packages = join(here, "../../tools/viewer/node_modules");
const { build } = await import(join(packages, "esbuild/lib/main.js"));
await build({
  entryPoints: [join(here, process.argv[2])],
  outfile: process.argv[3],
  nodePaths: [packages],
  bundle: true,
  format: "iife",
  logLevel: "warning",
});
