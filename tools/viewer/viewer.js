// The viewer of asset.html: one asset on one canvas. Axes are ours: y up, front at +z (docs/conventions.md).

import { SparkRenderer, SplatMesh } from "@sparkjsdev/spark";
import * as THREE from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";

const RADIANS = Math.PI / 180;
const STEP = 5 * RADIANS; // of an arrow key
const TURN = 24; // degrees a second when it turns by itself: once round in 15 s

/**
 * Shows an asset, and draws again only when something has changed.
 *
 * @param {HTMLCanvasElement} canvas its size in the page is followed.
 * @param {Uint8Array} bytes a .ply of Gaussians, y down, or a .glb of a mesh, as `sctd` writes them.
 * @param {{azimuth: number, elevation: number, radius: number, fovy: number}} view degrees and world units.
 * @param {() => void} shown called at the first picture with the asset in it.
 * @returns {Promise<Viewer>} once the asset is read; rejects where there is no WebGL 2.
 */
export async function show(canvas, bytes, view, shown) {
  const kind = String.fromCharCode(...bytes.subarray(0, 4)) === "glTF" ? Mesh : Splats;
  const viewer = new Viewer(canvas, view, shown, kind);
  await viewer.asset.add(bytes);
  viewer.redraw();
  return viewer;
}

/** Gaussians, drawn by Spark. */
class Splats {
  static antialias = false;

  constructor(viewer) {
    this.scene = viewer.scene;
    // As the rasterizer does: 0.3 px^2 on the diagonal without touching the opacity, sorted by depth, cut at
    // 1/255 of alpha, which a Gaussian of full opacity has 3.33 standard deviations off its centre.
    this.spark = new SparkRenderer({
      renderer: viewer.renderer,
      onDirty: () => viewer.redraw(),
      preBlurAmount: 0.3,
      blurAmount: 0.0,
      maxStdDev: Math.sqrt(2 * Math.log(255)),
      minAlpha: 1 / 255,
      sortRadial: false,
    });
    this.scene.add(this.spark);
  }

  async add(bytes) {
    const mesh = new SplatMesh({ fileBytes: bytes, fileName: "asset.ply" });
    mesh.quaternion.set(1, 0, 0, 0); // half a turn about x: the file is y down
    this.scene.add(mesh);
    await mesh.initialized;
  }

  get drawn() {
    return this.spark.activeSplats > 0;
  }
}

/** Triangles without light, as their materials say. */
class Mesh {
  static antialias = true;
  drawn = false;

  constructor(viewer) {
    this.scene = viewer.scene;
  }

  async add(bytes) {
    const loader = new GLTFLoader();
    // Its own way to a picture is fetch, which the page's policy forbids, even of what is in memory.
    loader.register(parser => {
      parser.textureLoader = new THREE.TextureLoader(parser.options.manager);
      return { name: "pictures without fetch" };
    });
    const { scene } = await loader.parseAsync(bytes.buffer, "");
    this.scene.add(scene);
    this.drawn = true;
  }
}

class Viewer {
  constructor(canvas, view, shown, kind) {
    this.view = view;
    this.shown = shown;
    this.renderer = new THREE.WebGLRenderer({ canvas, alpha: true, antialias: kind.antialias });
    this.camera = new THREE.PerspectiveCamera(view.fovy, 1, 0.01, 1000);
    this.scene = new THREE.Scene();
    this.asset = new kind(this);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.autoRotateSpeed = TURN / 6; // its unit: a round in 60 s
    this.controls.minDistance = 0.05;
    this.controls.maxDistance = 100;
    this.controls.addEventListener("change", () => this.redraw());
    this.controls.addEventListener("start", () => this.spin(false));
    this.onspin = () => {};
    canvas.addEventListener("keydown", event => this.key(event));
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.look(view);
    this.resize();
  }

  /** Stands the camera where our own cameras stand that have these angles. */
  look({ azimuth, elevation, radius }) {
    this.controls.target.set(0, 0, 0);
    this.camera.position.setFromSphericalCoords(radius, (90 - elevation) * RADIANS, azimuth * RADIANS);
    this.controls.update();
    this.redraw();
  }

  /** Whether it turns by itself. */
  spin(on) {
    if (this.controls.autoRotate === on) return;
    this.controls.autoRotate = on;
    this.onspin(on);
    this.redraw();
  }

  get spinning() {
    return this.controls.autoRotate;
  }

  reset() {
    this.spin(false);
    this.look(this.view);
  }

  /** Arrows turn, + and - come nearer and go away, space turns by itself, Home goes back. */
  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const place = new THREE.Spherical().setFromVector3(
      this.camera.position.clone().sub(this.controls.target),
    );
    const moves = {
      ArrowLeft: () => (place.theta -= STEP),
      ArrowRight: () => (place.theta += STEP),
      ArrowUp: () => (place.phi -= STEP),
      ArrowDown: () => (place.phi += STEP),
      "+": () => (place.radius /= 1.1),
      "=": () => (place.radius /= 1.1),
      "-": () => (place.radius *= 1.1),
    };
    if (event.key === " ") this.spin(!this.spinning);
    else if (event.key === "Home") this.reset();
    else if (moves[event.key]) {
      this.spin(false);
      moves[event.key]();
      this.camera.position.setFromSpherical(place.makeSafe()).add(this.controls.target);
      this.controls.update();
    } else return;
    event.preventDefault();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.renderer.domElement;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    // A tall canvas sees as much to the sides as a square one, not less.
    const half = Math.tan((this.view.fovy * RADIANS) / 2) * Math.max(1, height / width);
    this.camera.fov = (2 * Math.atan(half)) / RADIANS;
    this.camera.updateProjectionMatrix();
    this.redraw();
  }

  redraw() {
    this.request ??= requestAnimationFrame(now => this.draw(now));
  }

  draw(now) {
    this.request = undefined;
    // At most a tenth of a second at once: after a hidden tab it does not jump.
    const passed = Math.min((now - (this.drawn ?? now)) / 1000, 0.1);
    this.drawn = now;
    if (this.spinning) {
      this.controls.update(passed);
      this.redraw();
    } else this.drawn = undefined;
    this.renderer.render(this.scene, this.camera);
    if (this.asset.drawn && this.shown) {
      const shown = this.shown;
      this.shown = undefined;
      requestAnimationFrame(() => shown());
    }
  }
}
