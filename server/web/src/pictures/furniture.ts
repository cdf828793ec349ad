// What stands in the scene beside volume and tree: the box, the crosshair, marks, and a proposed path.
import {
  BoxGeometry,
  BufferGeometry,
  EdgesGeometry,
  Group,
  Line,
  LineBasicMaterial,
  LineSegments,
  Mesh,
  MeshBasicMaterial,
  TorusGeometry,
  type Vector3,
} from "three";
import { AXIS_COLOURS, type Triple } from "../data/space";
import type { Mark } from "./overlay";
import type { World } from "./world";

/** The radius of a mark's ring at the distance 1 from the eye. */
const RING = 0.016;

export class Furniture {
  readonly group = new Group();
  private readonly cross: LineSegments[];
  private marks: Mesh[] = [];
  private path: Line | null = null;

  constructor(private readonly world: World) {
    const box = new BoxGeometry(...world.size.toArray());
    this.group.add(
      new LineSegments(new EdgesGeometry(box), new LineBasicMaterial({ color: 0x4a5563 })),
    );
    this.cross = AXIS_COLOURS.map((color) => {
      const look = { color, transparent: true, opacity: 0.7, depthTest: false };
      return new LineSegments(new BufferGeometry(), new LineBasicMaterial(look));
    });
    this.group.add(...this.cross);
  }

  /** Crosses the lines of the three axes in a voxel z, y, x. */
  point([z, y, x]: Triple): void {
    const middle = this.world.at(x, y, z);
    const half = this.world.size.clone().multiplyScalar(0.5).toArray();
    this.cross.forEach((line, axis) => {
      const ends = [-1, 1].map((sign) =>
        middle.clone().setComponent(2 - axis, sign * half[2 - axis]!),
      );
      line.geometry.setFromPoints(ends);
    });
  }

  mark(marks: Mark[]): void {
    this.remove(...this.marks);
    this.marks = marks.map(({ place, colour, now }) => {
      const look = { color: colour, depthTest: false, transparent: true };
      const ring = new Mesh(
        new TorusGeometry(now ? 1.7 : 1, 0.14, 6, 24),
        new MeshBasicMaterial(look),
      );
      ring.position.copy(this.world.at(...place));
      ring.renderOrder = 3;
      return ring;
    });
    for (const ring of this.marks) this.group.add(ring);
  }

  propose(path: Triple[] | null): void {
    if (this.path) this.remove(this.path);
    this.path = null;
    if (!path) return;
    const look = { color: 0xff5ce1, depthTest: false, transparent: true };
    const points = path.map((place) => this.world.at(...place));
    this.path = new Line(new BufferGeometry().setFromPoints(points), new LineBasicMaterial(look));
    this.path.renderOrder = 3;
    this.group.add(this.path);
  }

  /** Turns the rings to the eye, and keeps their size on the screen. */
  face(eye: Vector3): void {
    for (const ring of this.marks) {
      ring.lookAt(eye);
      ring.scale.setScalar(RING * ring.position.distanceTo(eye));
    }
  }

  dispose(): void {
    this.remove(...(this.group.children as Mesh[]));
    this.group.removeFromParent();
  }

  private remove(...things: (Mesh | Line)[]): void {
    for (const thing of [...things]) {
      thing.geometry.dispose();
      (thing.material as MeshBasicMaterial).dispose();
      thing.removeFromParent();
    }
  }
}
