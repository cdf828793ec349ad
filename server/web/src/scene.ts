// A maximum-intensity view of the volume with the tree over it, with WebGL2 through three.js.
import {
  AmbientLight,
  BackSide,
  BoxGeometry,
  BufferAttribute,
  BufferGeometry,
  CustomBlending,
  Data3DTexture,
  DirectionalLight,
  DoubleSide,
  GLSL3,
  LinearFilter,
  MaxEquation,
  Mesh,
  MeshLambertMaterial,
  OneFactor,
  PerspectiveCamera,
  RGFormat,
  Scene,
  ShaderMaterial,
  UnsignedByteType,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { type Colouring, colourOf, type Tree, type View } from "./model";

const SIDES = 6;
// During a movement the picture is coarse. It is fine after this rest (milliseconds).
const REST = 150;
const COARSE = 0.4;

const VERTEX = /* glsl */ `
  out vec3 place;
  void main() {
    place = position + 0.5;
    gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
  }`;

// Each ray runs from the eye through the box, and shows its brightest sample.
const FRAGMENT = /* glsl */ `
  precision highp float;
  precision highp sampler3D;
  uniform sampler3D volume;
  uniform vec3 eye;      // in the box's own coordinates, 0 to 1
  uniform float image, mask, steps;
  in vec3 place;
  out vec4 colour;
  void main() {
    vec3 way = place - eye;
    vec3 one = (vec3(0.0) - eye) / way, two = (vec3(1.0) - eye) / way;
    vec3 near = min(one, two);
    float from = max(0.0, max(near.x, max(near.y, near.z)));
    vec2 most = vec2(0.0);
    float count = max(1.0, ceil(steps * length(way) * (1.0 - from)));
    for (float i = 0.0; i < 600.0; i++) {
      if (i >= count) break;
      most = max(most, texture(volume, eye + way * mix(from, 1.0, (i + 0.5) / count)).rg);
    }
    float m = most.g * mask;
    vec3 lit = vec3(most.r * image) * mix(vec3(1.0), vec3(0.4, 1.0, 0.9), m);
    colour = vec4(max(lit, m * vec3(0.05, 0.45, 0.4)), 1.0);
  }`;

export class Stage {
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(35, 1, 0.01, 100);
  private readonly controls: OrbitControls;
  private volume: Mesh<BoxGeometry, ShaderMaterial> | null = null;
  private tubes: Mesh<BufferGeometry, MeshLambertMaterial> | null = null;
  private shown: { view: View; tree: Tree; scale: [number, number, number] } | null = null;
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
  show(view: View, tree: Tree, spacing: [number, number, number]): void {
    this.clear();
    const size = view.shape.map((n, axis) => n * view.step[axis]! * spacing[axis]!);
    const longest = Math.max(...size);
    const [z, y, x] = size.map((n) => n / longest) as [number, number, number];
    const material = new ShaderMaterial({
      glslVersion: GLSL3,
      vertexShader: VERTEX,
      fragmentShader: FRAGMENT,
      side: BackSide,
      transparent: true,
      depthTest: false,
      depthWrite: false,
      blending: CustomBlending,
      blendEquation: MaxEquation,
      blendSrc: OneFactor,
      blendDst: OneFactor,
      uniforms: {
        volume: { value: texture(view) },
        eye: { value: new Vector3() },
        image: { value: 1 },
        mask: { value: 0 },
        steps: { value: 1.2 * Math.max(...view.shape) },
      },
    });
    this.volume = new Mesh(new BoxGeometry(1, 1, 1), material);
    this.volume.scale.set(x, y, z);
    this.volume.onBeforeRender = () => {
      const eye = material.uniforms.eye!.value as Vector3;
      eye.copy(this.camera.position);
      this.volume!.worldToLocal(eye).addScalar(0.5);
    };
    this.scene.add(this.volume);
    this.shown = { view, tree, scale: spacing.map((s) => s / longest) as [number, number, number] };
    this.tubes = new Mesh(
      this.tubeGeometry(),
      new MeshLambertMaterial({ vertexColors: true, side: DoubleSide, transparent: true }),
    );
    this.tubes.renderOrder = 2; // draws the tree over the volume, which has no depth
    this.scene.add(this.tubes);
    this.home();
  }

  /** Opacities from 0 to 1; the tree is visible or hidden. */
  look(image: number, mask: number, tree: boolean): void {
    if (!this.volume || !this.tubes) return;
    this.volume.material.uniforms.image!.value = image;
    this.volume.material.uniforms.mask!.value = mask;
    this.tubes.visible = tree;
    this.draw();
  }

  colour(by: Colouring): void {
    if (!this.tubes || !this.shown) return;
    const { tree } = this.shown;
    const colours = this.tubes.geometry.getAttribute("color") as BufferAttribute;
    const nodes = this.tubes.geometry.userData.nodes as Int32Array;
    nodes.forEach((node, i) => colours.setXYZ(i, ...colourOf(tree, node, by)));
    colours.needsUpdate = true;
    this.draw();
  }

  home(): void {
    this.controls.target.set(0, 0, 0);
    this.camera.position.set(0, 0, 2.1);
    this.controls.update();
    this.draw();
  }

  /** Moves the camera to a place of the volume, x, y, z in voxels. */
  fly(place: [number, number, number]): void {
    if (!this.shown) return;
    const goal = this.world(...place);
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

  private world(x: number, y: number, z: number): Vector3 {
    const { view, scale } = this.shown!;
    const at = (value: number, axis: number): number =>
      (value + 0.5 - view.origin[axis]! - (view.shape[axis]! * view.step[axis]!) / 2) *
      scale[axis]!;
    // Rows run downwards, and slices run away from the camera.
    return new Vector3(at(x, 2), -at(y, 1), -at(z, 0));
  }

  // One tapered tube per link.
  private tubeGeometry(): BufferGeometry {
    const { tree, view, scale } = this.shown!;
    const links = [...Array(tree.count).keys()].filter((i) => tree.parent[i]! >= 0);
    const places = new Float32Array(links.length * SIDES * 2 * 3);
    const normals = new Float32Array(places.length);
    const nodes = new Int32Array(places.length / 3);
    const faces = new Uint32Array(links.length * SIDES * 6);
    const thin = 0.0012 * Math.max(1, ...view.step);
    links.forEach((node, link) => {
      const parent = tree.parent[node]!;
      const ends = [node, parent].map((n) =>
        this.world(tree.xyz[3 * n]!, tree.xyz[3 * n + 1]!, tree.xyz[3 * n + 2]!),
      );
      const along = ends[1]!.clone().sub(ends[0]!).normalize();
      const side = new Vector3(Math.abs(along.x) < 0.9 ? 1 : 0, Math.abs(along.x) < 0.9 ? 0 : 1, 0)
        .cross(along)
        .normalize();
      const up = along.clone().cross(side);
      for (let end = 0; end < 2; end++) {
        const n = end ? parent : node;
        const radius = Math.max(thin, 0.6 * tree.radius[n]! * scale[2]);
        for (let k = 0; k < SIDES; k++) {
          const turn = (2 * Math.PI * k) / SIDES;
          const out = side
            .clone()
            .multiplyScalar(Math.cos(turn))
            .addScaledVector(up, Math.sin(turn));
          const at = (link * 2 + end) * SIDES + k;
          out.toArray(normals, 3 * at);
          ends[end]!.clone()
            .addScaledVector(out, radius)
            .toArray(places, 3 * at);
          nodes[at] = n;
        }
      }
      for (let k = 0; k < SIDES; k++) {
        const a = link * 2 * SIDES + k,
          b = link * 2 * SIDES + ((k + 1) % SIDES);
        faces.set([a, b, a + SIDES, b, b + SIDES, a + SIDES], (link * SIDES + k) * 6);
      }
    });
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(places, 3));
    geometry.setAttribute("normal", new BufferAttribute(normals, 3));
    geometry.setAttribute("color", new BufferAttribute(new Float32Array(places.length).fill(1), 3));
    geometry.setIndex(new BufferAttribute(faces, 1));
    geometry.userData.nodes = nodes;
    return geometry;
  }

  private clear(): void {
    (this.volume?.material.uniforms.volume?.value as Data3DTexture | undefined)?.dispose();
    for (const mesh of [this.volume, this.tubes]) {
      if (!mesh) continue;
      this.scene.remove(mesh);
      mesh.geometry.dispose();
      mesh.material.dispose();
    }
  }

  // Draws at most once per frame.
  private draw(): void {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.render(COARSE);
      clearTimeout(this.resting);
      this.resting = window.setTimeout(() => this.render(1), REST);
    });
  }

  private render(share: number): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height || !this.volume || !this.shown) return;
    this.volume.material.uniforms.steps!.value = 1.2 * share * Math.max(...this.shown.view.shape);
    this.renderer.setPixelRatio(share * Math.min(devicePixelRatio, 1.5));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.renderer.render(this.scene, this.camera);
  }
}

// The box's y and z run against rows and slices, so both are reversed here, once.
function texture(view: View): Data3DTexture {
  const [depth, height, width] = view.shape;
  const both = new Uint8Array(2 * view.image.length);
  let to = 0;
  for (let z = depth - 1; z >= 0; z--)
    for (let y = height - 1; y >= 0; y--) {
      const row = (z * height + y) * width;
      for (let x = 0; x < width; x++) {
        both[to++] = view.image[row + x]!;
        both[to++] = view.mask[row + x]!;
      }
    }
  const made = new Data3DTexture(both, width, height, depth);
  made.format = RGFormat;
  made.type = UnsignedByteType;
  made.minFilter = made.magFilter = LinearFilter;
  made.unpackAlignment = 1;
  made.needsUpdate = true;
  return made;
}
