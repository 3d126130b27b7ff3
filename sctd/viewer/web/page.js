"use strict";
const by = id => document.getElementById(id);

async function unpacked(id) {
  const packed = Uint8Array.from(atob(by(id).textContent), letter => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// #azimuth=90&elevation=20&radius=4 in the address: the first view; #spin=0: it stands still.
function wanted() {
  const view = JSON.parse(by("canvas").dataset.view);
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(view)) {
    const value = parseFloat(asked.get(name));
    if (Number.isFinite(value)) view[name] = value;
  }
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  return { view, spin: asked.has("spin") ? asked.get("spin") !== "0" : !calm };
}

async function start() {
  const script = document.createElement("script");
  script.textContent = new TextDecoder().decode(await unpacked("viewer"));
  document.head.append(script);
  const { view, spin } = wanted();
  const shown = () => {
    document.documentElement.classList.add("shown");
    by("state").textContent = "";
    viewer.spin(spin);
  };
  let viewer = null;
  viewer = await SctdViewer.show(by("canvas"), await unpacked("asset"), view, () => shown());
  viewer.onspin = on => by("spin").setAttribute("aria-pressed", String(on));
  by("spin").onclick = () => viewer.spin(!viewer.spinning);
  by("reset").onclick = () => viewer.reset();
  by("spin").disabled = by("reset").disabled = false;
}

by("download").onclick = async () => {
  const address = URL.createObjectURL(new Blob([await unpacked("asset")], { type: "application/octet-stream" }));
  const link = Object.assign(document.createElement("a"), { href: address, download: by("download").dataset.name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
};
if (window.top !== window) document.documentElement.classList.add("framed");
start().catch(problem => {
  // The picture stays. What is missing is most often WebGL 2.
  document.documentElement.classList.add("failed");
  by("canvas").hidden = true;
  by("state").textContent = "No 3D view in this browser: " + problem.message;
});
