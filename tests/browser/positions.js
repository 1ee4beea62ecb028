// node positions.js FILE COUNT FPS: plays a .glb or .bvh in three.js and prints where every joint is, as JSON:
// {names: [...], frames: [[[x, y, z] of each joint] at each of COUNT times k / FPS], extras}.
import fs from "node:fs";
import * as THREE from "three";
import { BVHLoader } from "three/addons/loaders/BVHLoader.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";

globalThis.self = globalThis;
const [file, count, fps] = process.argv.slice(2);
let root, clip, joints;
if (file.endsWith(".glb")) {
  const bytes = fs.readFileSync(file);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const gltf = await new GLTFLoader().parseAsync(buffer, "");
  root = gltf.scene;
  clip = gltf.animations.at(-1);
  joints = [];
  root.traverse((node) => node.isBone && joints.push(node));
} else {
  const { skeleton, clip: read } = new BVHLoader().parse(fs.readFileSync(file, "utf8"));
  root = new THREE.Group();
  root.add(skeleton.bones[0]);
  clip = read;
  joints = skeleton.bones.filter((bone) => bone.name !== "ENDSITE");
}
const mixer = new THREE.AnimationMixer(root);
const action = mixer.clipAction(clip);
action.setLoop(THREE.LoopOnce);
action.clampWhenFinished = true;
action.play();
const frames = [];
for (let k = 0; k < Number(count); k++) {
  mixer.setTime(Math.min(k / Number(fps), clip.duration));
  root.updateMatrixWorld(true);
  frames.push(joints.map((joint) => new THREE.Vector3().setFromMatrixPosition(joint.matrixWorld).toArray()));
}
console.log(JSON.stringify({ names: joints.map((joint) => joint.name), frames, extras: clip.userData, name: clip.name }));
