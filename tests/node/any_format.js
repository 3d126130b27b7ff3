// Shows a file of any format on a canvas, for tests: Gaussians by Spark, turned as its README turns files of
// captured scenes; a .glb as programs without KHR_gaussian_splatting show it, points by three.js.

import { SparkRenderer, SplatMesh } from "@sparkjsdev/spark";
import * as THREE from "three";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";

window.show = async (name, base64, size, position) => {
  const bytes = Uint8Array.from(atob(base64), character => character.charCodeAt(0));
  const canvas = document.createElement("canvas");
  document.body.style.margin = 0;
  document.body.replaceChildren(canvas);
  const renderer = new THREE.WebGLRenderer({ canvas, preserveDrawingBuffer: true });
  renderer.setSize(size, size);
  renderer.setClearColor(0xffffff, 1);
  const scene = new THREE.Scene();
  const camera = new THREE.PerspectiveCamera(40, 1, 0.01, 100);
  camera.position.set(...position);
  camera.lookAt(0, 0, 0);
  if (name.endsWith(".glb")) {
    const { scene: loaded } = await new GLTFLoader().parseAsync(bytes.buffer, "");
    loaded.traverse(part => part.isPoints && Object.assign(part.material, { size: 0.08, sizeAttenuation: true }));
    scene.add(loaded);
  } else {
    scene.add(new SparkRenderer({ renderer }));
    const mesh = new SplatMesh({ fileBytes: bytes, fileName: name });
    mesh.quaternion.set(1, 0, 0, 0); // half a turn about x
    scene.add(mesh);
    await mesh.initialized;
  }
  for (let drawn = 0; drawn < 8; drawn++) {
    renderer.render(scene, camera); // sorting runs beside, and is there a few pictures later
    await new Promise(done => setTimeout(done, 100));
  }
};
