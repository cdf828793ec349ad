// The volume in 3D: a box whose rays show their brightest sample.
import {
  BackSide,
  BoxGeometry,
  CustomBlending,
  Data3DTexture,
  GLSL3,
  LinearFilter,
  MaxEquation,
  Mesh,
  OneFactor,
  type PerspectiveCamera,
  RGFormat,
  ShaderMaterial,
  UnsignedByteType,
  Vector3,
} from "three";
import type { View } from "../data/view";

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

export type Box = Mesh<BoxGeometry, ShaderMaterial>;

export function makeBox(view: View, camera: PerspectiveCamera): Box {
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
  const box = new Mesh(new BoxGeometry(1, 1, 1), material);
  box.onBeforeRender = () => {
    const eye = material.uniforms.eye!.value as Vector3;
    eye.copy(camera.position);
    box.worldToLocal(eye).addScalar(0.5);
  };
  return box;
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
