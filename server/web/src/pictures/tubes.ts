// The tree in 3D: a tapered tube for each link, and a sphere for each soma.
import {
  BufferAttribute,
  BufferGeometry,
  DoubleSide,
  Group,
  Mesh,
  MeshLambertMaterial,
  SphereGeometry,
  Vector3,
} from "three";
import { type Colouring, colourOf, type Tree } from "../data/tree";
import type { World } from "./world";

const SIDES = 6;
const SOMA = 1;
/** The radius of the sphere at a root that is no soma, as a share of the scene. */
const ROOT = 0.006;

export class Tubes {
  readonly group = new Group();
  private readonly links: Mesh<BufferGeometry, MeshLambertMaterial>;
  private readonly nodes: Int32Array; // of each corner of the tubes

  constructor(
    private readonly tree: Tree,
    private readonly world: World,
    roots = true,
  ) {
    [this.links, this.nodes] = this.makeLinks();
    this.group.add(this.links, ...(roots ? this.roots() : []));
    // The tree is drawn over the volume, which has no depth.
    for (const mesh of this.group.children) mesh.renderOrder = 2;
  }

  colour(by: Colouring): void {
    const colours = this.links.geometry.getAttribute("color") as BufferAttribute;
    this.nodes.forEach((node, i) => colours.setXYZ(i, ...colourOf(this.tree, node, by)));
    colours.needsUpdate = true;
  }

  dispose(): void {
    for (const child of this.group.children as Mesh<BufferGeometry, MeshLambertMaterial>[]) {
      child.geometry.dispose();
      child.material.dispose();
    }
    this.group.removeFromParent();
  }

  private place(node: number): Vector3 {
    const { xyz } = this.tree;
    return this.world.at(xyz[3 * node]!, xyz[3 * node + 1]!, xyz[3 * node + 2]!);
  }

  private roots(): Mesh[] {
    const { tree, world } = this;
    const roots = [...Array(tree.count).keys()].filter((i) => tree.parent[i]! < 0);
    return roots.map((root) => {
      const soma = tree.type[root] === SOMA;
      const radius = soma ? Math.max(ROOT, tree.radius[root]! * world.scale[2]) : ROOT;
      const sphere = new Mesh(
        new SphereGeometry(radius, 20, 14),
        new MeshLambertMaterial({ color: 0xffffff, transparent: true, opacity: soma ? 0.55 : 1 }),
      );
      sphere.position.copy(this.place(root));
      return sphere;
    });
  }

  private makeLinks(): [Mesh<BufferGeometry, MeshLambertMaterial>, Int32Array] {
    const { tree, world } = this;
    const links = [...Array(tree.count).keys()].filter((i) => tree.parent[i]! >= 0);
    const places = new Float32Array(links.length * SIDES * 2 * 3);
    const normals = new Float32Array(places.length);
    const nodes = new Int32Array(places.length / 3);
    const faces = new Uint32Array(links.length * SIDES * 6);
    const thin = 0.0012 * Math.max(1, ...world.view.step);
    links.forEach((node, link) => {
      const both = [node, tree.parent[node]!];
      const ends = both.map((n) => this.place(n)) as [Vector3, Vector3];
      const [side, up] = across(ends);
      both.forEach((n, end) => {
        // A soma is a sphere, and what leaves it is no cone.
        const thick = tree.type[n] === SOMA ? node : n;
        const radius = Math.max(thin, 0.6 * tree.radius[thick]! * world.scale[2]);
        for (let k = 0; k < SIDES; k++) {
          const turn = (2 * Math.PI * k) / SIDES;
          const out = side.clone().multiplyScalar(Math.cos(turn));
          out.addScaledVector(up, Math.sin(turn));
          const at = (link * 2 + end) * SIDES + k;
          out.toArray(normals, 3 * at);
          ends[end]!.clone()
            .addScaledVector(out, radius)
            .toArray(places, 3 * at);
          nodes[at] = n;
        }
      });
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
    const look = { vertexColors: true, side: DoubleSide, transparent: true };
    return [new Mesh(geometry, new MeshLambertMaterial(look)), nodes];
  }
}

// Two directions at right angles to a link, and to each other.
function across([from, to]: [Vector3, Vector3]): [Vector3, Vector3] {
  const along = to.clone().sub(from).normalize();
  const flat = Math.abs(along.x) < 0.9;
  const side = new Vector3(flat ? 1 : 0, flat ? 0 : 1, 0).cross(along).normalize();
  return [side, along.clone().cross(side)];
}
