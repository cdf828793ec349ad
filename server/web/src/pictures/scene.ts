// A maximum-intensity view of the volume with the tree over it, with WebGL2 through three.js.
import {
  AmbientLight,
  type Data3DTexture,
  DirectionalLight,
  PerspectiveCamera,
  Scene,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import type { Triple } from "../data/space";
import type { Beside, Colouring, Tree } from "../data/tree";
import type { View } from "../data/view";
import { Furniture } from "./furniture";
import type { Mark } from "./overlay";
import { type Box, makeBox } from "./ray";
import { Tubes } from "./tubes";
import { World } from "./world";

// During a movement the picture is coarse. It is fine after this rest (milliseconds).
const REST = 150;
// A crosshair that moves through slices waits longer: a picture in 3D would hold up the next slice.
const POINTED = 500;
const COARSE = 0.4;
/** A click is on a node that is at most this many pixels away. */
const REACH = 12;

export class Stage {
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(35, 1, 0.01, 100);
  private readonly controls: OrbitControls;
  private world: World | null = null;
  private volume: Box | null = null;
  private tubes: Tubes | null = null;
  private readonly beside = new Map<Beside, Tubes>();
  private furniture: Furniture | null = null;
  private tree: Tree | null = null;
  private asked = false;
  private resting = 0;

  /** Throws if the browser has no WebGL2. */
  constructor(private readonly canvas: HTMLCanvasElement) {
    this.renderer = new WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
    this.renderer.setClearColor(0x000000);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.listenToKeyEvents(canvas);
    this.controls.addEventListener("change", () => this.draw());
    this.scene.add(new AmbientLight(0xffffff, 1.6));
    const lamp = new DirectionalLight(0xffffff, 2.2);
    this.camera.add(lamp);
    this.scene.add(this.camera);
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** spacing: the size of a voxel, z, y, x. */
  show(view: View, spacing: Triple): void {
    this.clear();
    this.world = new World(view, spacing);
    this.volume = makeBox(view, this.camera);
    this.volume.scale.copy(this.world.size);
    this.furniture = new Furniture(this.world);
    this.scene.add(this.volume, this.furniture.group);
    this.home();
  }

  grow(tree: Tree, colour: Colouring): void {
    const visible = this.tubes?.group.visible ?? true;
    this.tubes?.dispose();
    this.tree = tree;
    this.tubes = new Tubes(tree, this.world!);
    this.tubes.group.visible = visible;
    this.tubes.colour(colour);
    this.scene.add(this.tubes.group);
    this.draw();
  }

  /** Shows another tree beside the tree, or none of its kind. */
  showBeside(kind: Beside, tree: Tree | null): void {
    this.beside.get(kind)?.dispose();
    this.beside.delete(kind);
    if (tree) {
      const tubes = new Tubes(tree, this.world!, kind !== "missing");
      tubes.colour(kind);
      this.beside.set(kind, tubes);
      this.scene.add(tubes.group);
    }
    this.draw();
  }

  /** Opacities from 0 to 1; the tree is visible or hidden. */
  look(image: number, mask: number, tree: boolean): void {
    if (!this.volume || !this.tubes) return;
    this.volume.material.uniforms.image!.value = image;
    this.volume.material.uniforms.mask!.value = mask;
    this.tubes.group.visible = tree;
    this.draw();
  }

  colour(by: Colouring): void {
    this.tubes?.colour(by);
    this.draw();
  }

  /** Moves the crosshair to a voxel z, y, x. It is drawn when it rests, because a volume is slow. */
  point(cursor: Triple): void {
    this.furniture?.point(cursor);
    this.rest(POINTED);
  }

  mark(marks: Mark[]): void {
    this.furniture?.mark(marks);
    this.draw();
  }

  /** Shows a path, x, y, z in voxels. */
  propose(path: Triple[] | null): void {
    this.furniture?.propose(path);
    this.draw();
  }

  home(): void {
    const { clientWidth, clientHeight } = this.canvas;
    const narrow = Math.min(1, clientWidth / Math.max(1, clientHeight) || 1);
    this.controls.target.set(0, 0, 0);
    this.camera.position.set(0, 0, 2.1 / narrow);
    this.controls.update();
    this.draw();
  }

  /** Moves the camera to a place of the volume, x, y, z in voxels. */
  fly(place: Triple): void {
    if (!this.world) return;
    const goal = this.world.at(...place);
    const from = this.controls.target.clone();
    const away = this.camera.position.clone().sub(from).normalize();
    const distance = this.camera.position.distanceTo(from);
    const began = performance.now();
    const move = (now: number): void => {
      const share = Math.min(1, (now - began) / 500);
      const soft = share * share * (3 - 2 * share);
      this.controls.target.lerpVectors(from, goal, soft);
      this.camera.position
        .copy(this.controls.target)
        .addScaledVector(away, distance + (0.45 - distance) * soft);
      this.controls.update();
      this.draw();
      if (share < 1) requestAnimationFrame(move);
    };
    requestAnimationFrame(move);
  }

  /** The node at a pixel of the canvas, or null. Of several it is the one nearest to the eye. */
  nodeAt(left: number, top: number): number | null {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    let best: number | null = null;
    let least = Infinity;
    for (let i = 0; i < (this.tree?.count ?? 0); i++) {
      const [x, y, z] = this.tree!.xyz.subarray(3 * i, 3 * i + 3);
      const at = this.world!.at(x!, y!, z!).project(this.camera);
      const off = Math.hypot(((at.x + 1) * width) / 2 - left, ((1 - at.y) * height) / 2 - top);
      const cost = off + 40 * at.z;
      if (off < REACH && Math.abs(at.z) < 1 && cost < least) [best, least] = [i, cost];
    }
    return best;
  }

  private clear(): void {
    (this.volume?.material.uniforms.volume?.value as Data3DTexture | undefined)?.dispose();
    this.volume?.geometry.dispose();
    this.volume?.material.dispose();
    this.volume?.removeFromParent();
    this.tubes?.dispose();
    for (const tubes of this.beside.values()) tubes.dispose();
    this.beside.clear();
    this.furniture?.dispose();
    this.tubes = null;
  }

  // Draws at most once per frame.
  private draw(): void {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.render(COARSE);
      this.rest();
    });
  }

  private rest(after = REST): void {
    clearTimeout(this.resting);
    this.resting = window.setTimeout(() => this.render(1), after);
  }

  private render(share: number): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height || !this.volume || !this.world) return;
    this.volume.material.uniforms.steps!.value = 1.2 * share * Math.max(...this.world.view.shape);
    this.renderer.setPixelRatio(share * Math.min(devicePixelRatio, 1.5));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.furniture?.face(this.camera.position);
    this.renderer.render(this.scene, this.camera);
  }
}
