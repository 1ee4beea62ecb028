// Plays the motions of the page in 3D, with WebGL 2 and nothing else. Metres, seconds, radians; Y up.
//
// A motion is a list of points in each frame and the capsules between them (`parts`); its last two points lie on the
// ground, below the root and ahead of it. Everything shown is a function of `state`: draw() can be called at any time.
"use strict";

const SIDE_COLOURS = { left: "#e25c34", right: "#2678b2" };
const BODY_COLOURS = ["#3a4054", "#2f8f6b", "#8a4fa3", "#b07d12", "#c2456b", "#5b7f2f", "#287a8c", "#7a5a44"];
const BACKGROUND = "#f3f1ed";
const SUN = normalize([0.35, 1, 0.3]);
const FIELD_OF_VIEW = 0.6;
const TRAIL_SECONDS = 3;
const FOLLOW_SECONDS = 0.4; // the camera averages the way of the root over so long before and after
const ROW = 5; // pixels of a row of the strip

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);

const state = { motions: [], time: 0, playing: false, dirty: true };
const camera = { azimuth: 0, elevation: 0.2, distance: 5, pan: [0, 0, 0], home: [0, 0, 0] };

function mix(a, b, t) { return a.map((x, i) => x + (b[i] - x) * t); }
function add(a, b, scale = 1) { return a.map((x, i) => x + scale * b[i]); }
function dot(a, b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
function cross(a, b) { return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]; }
function normalize(a) { const length = Math.hypot(...a) || 1; return a.map((x) => x / length); }
function clamp(x, low, high) { return Math.min(Math.max(x, low), high); }
function rgb(hex) { return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255); }

function cameraAxes() {
  const level = Math.cos(camera.elevation);
  const backward = [level * Math.sin(camera.azimuth), Math.sin(camera.elevation), level * Math.cos(camera.azimuth)];
  const right = [Math.cos(camera.azimuth), 0, -Math.sin(camera.azimuth)];
  return { right, up: cross(backward, right), backward };
}

// Projection times view, columns first, for a camera that looks at the target.
function viewMatrix(target, aspect) {
  const { right, up, backward } = cameraAxes();
  const eye = add(target, backward, camera.distance);
  const near = 0.05, far = 200;
  const zoom = 1 / Math.tan(FIELD_OF_VIEW / 2);
  const a = (far + near) / (near - far), b = (2 * far * near) / (near - far);
  const [x, y, z] = [-dot(right, eye), -dot(up, eye), -dot(backward, eye)];
  const column = (i) => [(zoom / aspect) * right[i], zoom * up[i], a * backward[i], -backward[i]];
  return [...column(0), ...column(1), ...column(2), (zoom / aspect) * x, zoom * y, a * z + b, -z];
}

function addMotion(motion) {
  const used = new Set(state.motions.map((other) => other.colour));
  motion.colour = BODY_COLOURS.find((colour) => !used.has(colour)) || BODY_COLOURS[state.motions.length % BODY_COLOURS.length];
  motion.points = new Float32Array(Uint8Array.from(atob(motion.points), (byte) => byte.charCodeAt(0)).buffer);
  motion.stride = motion.points.length / motion.frames;
  motion.offset = [0, 0, 0];
  motion.below = motion.stride / 3 - 2;
  motion.ahead = motion.stride / 3 - 1;
  state.motions.push(motion);
  castChanged();
}

function removeMotion(motion) {
  state.motions = state.motions.filter((other) => other !== motion);
  castChanged();
}

function castChanged() {
  layOut();
  fitCamera();
  showCast();
  drawStrip();
  seek(Math.min(state.time, duration()));
}

function frameRate() { return Math.max(1, ...state.motions.map((motion) => motion.fps)); }
function duration() { return Math.max(0, ...state.motions.map((motion) => (motion.frames - 1) / motion.fps)); }
function frameAt(motion, time) { return clamp(Math.floor(time * motion.fps + 1e-6), 0, motion.frames - 1); }

// A point at a time, between the frames; a motion that has ended rests in its last pose.
function pointAt(motion, index, time) {
  const exact = clamp(time * motion.fps, 0, motion.frames - 1);
  const before = Math.floor(exact), after = Math.min(before + 1, motion.frames - 1), t = exact - before;
  const i = before * motion.stride + 3 * index, j = after * motion.stride + 3 * index;
  return [0, 1, 2].map((k) => motion.points[i + k] + (motion.points[j + k] - motion.points[i + k]) * t + motion.offset[k]);
}

function promptAt(motion, time) {
  const frame = frameAt(motion, time);
  return motion.prompts.filter(([start]) => start <= frame).at(-1)?.[1] ?? "";
}

// Side by side along the line from right to left of the first character, each in a lane as wide as it moves.
function layOut() {
  for (const motion of state.motions) motion.offset = [0, 0, 0];
  if (!pressed("apart") || !state.motions.length) return;
  const axis = sideways(state.motions[0]);
  let edge = 0;
  for (const motion of state.motions) {
    const start = dot(axis, pointAt(motion, motion.below, 0));
    let low = 0, high = 0;
    for (let frame = 0; frame < motion.frames; frame += 4) {
      const moved = dot(axis, pointAt(motion, motion.below, frame / motion.fps)) - start;
      low = Math.max(-1, Math.min(low, moved));
      high = Math.min(1, Math.max(high, moved));
    }
    motion.lane = edge + 0.55 - low - start;
    edge += 1.1 + high - low;
  }
  for (const motion of state.motions) motion.offset = axis.map((x) => x * (motion.lane - edge / 2));
}

function sideways(motion) {
  const forward = add(pointAt(motion, motion.ahead, 0), pointAt(motion, motion.below, 0), -1);
  return normalize([forward[2], 0, -forward[0]]);
}

function middle(time) {
  if (!state.motions.length) return [0, 0, 0];
  let sum = [0, 0, 0];
  for (const motion of state.motions) sum = add(sum, pointAt(motion, motion.below, time));
  return sum.map((x) => x / state.motions.length);
}

function target() {
  let centre = camera.home;
  if (pressed("follow")) {
    const samples = Array.from({ length: 9 }, (_, i) => state.time + FOLLOW_SECONDS * (i / 4 - 1));
    centre = samples.map(middle).reduce((sum, place) => add(sum, place, 1 / samples.length), [0, 0, 0]);
  }
  return add([centre[0], 0.88, centre[2]], camera.pan);
}

function fitCamera() {
  let spread = 0; // from the middle to the character that goes farthest from it
  for (let i = 0; i <= 40; i++) {
    const time = (duration() * i) / 40, centre = middle(time);
    for (const motion of state.motions) {
      spread = Math.max(spread, Math.hypot(...add(pointAt(motion, motion.below, time), centre, -1)));
    }
  }
  const half = Math.tan(FIELD_OF_VIEW / 2);
  camera.distance = clamp(Math.max(spread + 1.15 / half, (spread + 0.7) / (half * aspect())), 2, 40);
  camera.elevation = 0.2;
  camera.pan = [0, 0, 0];
  camera.home = middle(0);
  if (state.motions.length) {
    const left = sideways(state.motions[0]);
    camera.azimuth = Math.atan2(-left[2], left[0]) + 0.45;
  }
  state.dirty = true;
}

function aspect() {
  const { clientWidth, clientHeight } = byId("view");
  return Math.max(clientWidth, 1) / Math.max(clientHeight, 1);
}

const CAPSULE_VERTEX = `#version 300 es
  in vec4 shape; // a direction on the unit sphere, z along the capsule, and which end it belongs to
  in vec3 start, end, colour;
  in vec2 radii;
  uniform mat4 view;
  uniform vec3 sun;
  uniform bool onGround;
  out vec3 normal, tint;
  void main() {
    vec3 along = end - start;
    vec3 z = length(along) > 1e-5 ? normalize(along) : vec3(0, 1, 0);
    vec3 x = normalize(cross(z, abs(z.y) < 0.9 ? vec3(0, 1, 0) : vec3(1, 0, 0)));
    normal = mat3(x, cross(z, x), z) * shape.xyz;
    vec3 place = mix(start, end, shape.w) + normal * mix(radii.x, radii.y, shape.w);
    if (onGround) place -= sun * max(place.y, 0.0) / sun.y;
    if (onGround) place.y = 0.0;
    tint = colour;
    gl_Position = view * vec4(place, 1);
  }`;

const CAPSULE_FRAGMENT = `#version 300 es
  precision highp float;
  in vec3 normal, tint;
  uniform vec3 sun;
  uniform vec3 eye;
  uniform bool onGround;
  uniform float opacity;
  out vec4 colour;
  void main() {
    vec3 n = normalize(normal);
    float light = onGround ? 1.0 : 0.55 + 0.12 * n.y + 0.3 * max(dot(n, sun), 0.0) + 0.4 * max(dot(n, eye), 0.0);
    colour = vec4(tint * light, opacity);
  }`;

const GROUND_VERTEX = `#version 300 es
  in vec2 corner;
  uniform mat4 view;
  uniform vec3 centre;
  out vec2 place;
  void main() {
    place = centre.xz + 80.0 * corner;
    gl_Position = view * vec4(place.x, 0, place.y, 1);
  }`;

const GROUND_FRAGMENT = `#version 300 es
  precision highp float;
  in vec2 place;
  uniform vec3 centre, ground;
  uniform float reach;
  out vec4 colour;
  void main() {
    vec2 line = abs(fract(place - 0.5) - 0.5) / max(fwidth(place), 1e-4);
    float strength = 1.0 - clamp(min(line.x, line.y) / 1.2, 0.0, 1.0);
    float fade = 1.0 - smoothstep(0.3, 1.0, distance(place, centre.xz) / reach);
    colour = vec4(ground * (1.0 - 0.2 * strength * fade) * (1.0 - 0.03 * (1.0 - fade)), 1);
  }`;

// Triangles of a capsule: two half spheres, joined by the walls between their rims.
function capsuleTriangles(segments = 14, rings = 4) {
  const rows = [];
  for (let ring = 0; ring <= rings; ring++) rows.push([(ring / rings - 1) * (Math.PI / 2), 0]);
  for (let ring = 0; ring <= rings; ring++) rows.push([(ring / rings) * (Math.PI / 2), 1]);
  const vertex = ([latitude, end], segment) => {
    const turn = (2 * Math.PI * segment) / segments;
    return [Math.cos(latitude) * Math.cos(turn), Math.cos(latitude) * Math.sin(turn), Math.sin(latitude), end];
  };
  const vertices = [];
  for (let row = 0; row + 1 < rows.length; row++) {
    for (let segment = 0; segment < segments; segment++) {
      const [a, b] = [vertex(rows[row], segment), vertex(rows[row], segment + 1)];
      const [c, d] = [vertex(rows[row + 1], segment), vertex(rows[row + 1], segment + 1)];
      vertices.push(...a, ...b, ...c, ...c, ...b, ...d);
    }
  }
  return new Float32Array(vertices);
}

class Renderer {
  constructor(gl) {
    this.gl = gl;
    this.capsules = this.program(CAPSULE_VERTEX, CAPSULE_FRAGMENT);
    this.ground = this.program(GROUND_VERTEX, GROUND_FRAGMENT);
    const shape = capsuleTriangles();
    this.vertices = shape.length / 4;
    this.capsuleArray = gl.createVertexArray();
    gl.bindVertexArray(this.capsuleArray);
    this.upload(gl.createBuffer(), shape, gl.STATIC_DRAW);
    this.attributes(this.capsules, { shape: 4 }, 0);
    this.instances = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.instances);
    this.attributes(this.capsules, { start: 3, end: 3, radii: 2, colour: 3 }, 1);
    this.groundArray = gl.createVertexArray();
    gl.bindVertexArray(this.groundArray);
    this.upload(gl.createBuffer(), new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    this.attributes(this.ground, { corner: 2 }, 0);
  }

  program(vertex, fragment) {
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(gl.getProgramInfoLog(program));
    }
    return program;
  }

  upload(buffer, values, usage) {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, buffer);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, values, usage);
  }

  // The floats of the bound buffer, in this order; with divisor 1 they are for each capsule.
  attributes(program, sizes, divisor) {
    const gl = this.gl, stride = 4 * Object.values(sizes).reduce((sum, size) => sum + size);
    let offset = 0;
    for (const [name, size] of Object.entries(sizes)) {
      const place = gl.getAttribLocation(program, name);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, size, gl.FLOAT, false, stride, offset);
      gl.vertexAttribDivisor(place, divisor);
      offset += 4 * size;
    }
  }

  uniform(program, name) { return this.gl.getUniformLocation(program, name); }

  // bodies, marks: capsules of 11 floats: start, end, radii, colour. Marks lie flat on the ground.
  draw(view, centre, bodies, marks) {
    const gl = this.gl;
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clearColor(...rgb(BACKGROUND).map((x) => 0.97 * x), 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT | gl.STENCIL_BUFFER_BIT);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    gl.enable(gl.DEPTH_TEST);

    gl.useProgram(this.ground);
    gl.bindVertexArray(this.groundArray);
    gl.uniformMatrix4fv(this.uniform(this.ground, "view"), false, view);
    gl.uniform3fv(this.uniform(this.ground, "centre"), centre);
    gl.uniform3fv(this.uniform(this.ground, "ground"), rgb(BACKGROUND));
    gl.uniform1f(this.uniform(this.ground, "reach"), clamp(2.5 * camera.distance, 7, 60));
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);

    gl.useProgram(this.capsules);
    gl.bindVertexArray(this.capsuleArray);
    gl.uniformMatrix4fv(this.uniform(this.capsules, "view"), false, view);
    gl.uniform3fv(this.uniform(this.capsules, "sun"), SUN);
    gl.uniform3fv(this.uniform(this.capsules, "eye"), cameraAxes().backward);
    gl.disable(gl.DEPTH_TEST); // what lies on the ground is painted over it, in this order
    gl.enable(gl.BLEND);
    this.drawCapsules(marks, true, 0.75);
    gl.enable(gl.STENCIL_TEST); // so that a shadow is not darker where limbs overlap
    gl.stencilFunc(gl.EQUAL, 0, 255);
    gl.stencilOp(gl.KEEP, gl.KEEP, gl.INCR);
    this.drawCapsules(bodies.map((capsule) => [...capsule.slice(0, 8), 0, 0, 0]), true, 0.2);
    gl.disable(gl.STENCIL_TEST);
    gl.disable(gl.BLEND);
    gl.enable(gl.DEPTH_TEST);
    this.drawCapsules(bodies, false, 1);
  }

  drawCapsules(capsules, onGround, opacity) {
    const gl = this.gl;
    this.upload(this.instances, new Float32Array(capsules.flat()), gl.DYNAMIC_DRAW);
    gl.uniform1i(this.uniform(this.capsules, "onGround"), onGround);
    gl.uniform1f(this.uniform(this.capsules, "opacity"), opacity);
    gl.drawArraysInstanced(gl.TRIANGLES, 0, this.vertices, capsules.length);
  }
}

function bodyCapsules(motion, time) {
  const colours = { left: rgb(SIDE_COLOURS.left), right: rgb(SIDE_COLOURS.right), middle: rgb(motion.colour) };
  colours.face = mix(colours.middle, [1, 1, 1], 0.6);
  return motion.parts.map(([start, end, startRadius, endRadius, side]) => [
    ...pointAt(motion, start, time), ...pointAt(motion, end, time), startRadius, endRadius, ...colours[side],
  ]);
}

// The way walked in the last seconds, an arrow where the body faces, and a disc below each foot that is in contact.
function groundCapsules(motion, time) {
  const marks = [], colour = rgb(motion.colour), pale = mix(colour, rgb(BACKGROUND), 0.6);
  const below = pointAt(motion, motion.below, time), ahead = pointAt(motion, motion.ahead, time);
  const first = Math.max(0, frameAt(motion, time - TRAIL_SECONDS)), last = frameAt(motion, time);
  for (let frame = first; frame < last; frame += 2) {
    const way = [frame, Math.min(frame + 2, last)].map((f) => pointAt(motion, motion.below, f / motion.fps));
    marks.push([...way[0], ...way[1], 0.02, 0.02, ...pale]);
  }
  marks.push([...mix(below, ahead, 0.55), ...ahead, 0.07, 0.006, ...colour]);
  motion.feet.forEach((joint, foot) => {
    if (!((motion.contacts[frameAt(motion, time)] >> foot) & 1)) return;
    const place = pointAt(motion, joint, time);
    place[1] = 0;
    marks.push([...place, ...place, 0.085, 0.085, ...rgb(foot < 2 ? SIDE_COLOURS.left : SIDE_COLOURS.right)]);
  });
  return marks;
}

const canvas = byId("view");
let renderer = null;

function startRenderer() {
  const gl = canvas.getContext("webgl2", { antialias: true, stencil: true });
  if (!gl) return tell("This browser shows no WebGL 2, so the motions cannot be drawn; try another browser.");
  renderer = new Renderer(gl);
  state.dirty = true;
}

function draw() {
  if (!renderer || renderer.gl.isContextLost()) return;
  const scale = Math.min(devicePixelRatio || 1, 2);
  const width = Math.max(1, Math.round(canvas.clientWidth * scale));
  const height = Math.max(1, Math.round(canvas.clientHeight * scale));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const centre = target(), view = viewMatrix(centre, width / height);
  const bodies = state.motions.flatMap((motion) => bodyCapsules(motion, state.time));
  renderer.draw(view, centre, bodies, state.motions.flatMap((motion) => groundCapsules(motion, state.time)));
  placeLabels(view);
}

// Each character's name above its head.
function placeLabels(view) {
  for (const motion of state.motions) {
    const highest = Math.max(...motion.parts.map(([, end]) => pointAt(motion, end, state.time)[1]));
    const [x, , z] = pointAt(motion, motion.below, state.time), place = [x, highest + 0.2, z, 1];
    const [clipX, clipY, , w] = [0, 1, 2, 3].map((row) => place.reduce((sum, p, i) => sum + p * view[4 * i + row], 0));
    motion.label.hidden = w <= 0 || state.motions.length < 2;
    const left = (0.5 + clipX / w / 2) * canvas.clientWidth, top = (0.5 - clipY / w / 2) * canvas.clientHeight;
    motion.label.style.transform = `translate(${left.toFixed(1)}px, ${top.toFixed(1)}px) translate(-50%, -100%)`;
  }
}

function showCast() {
  byId("cast").replaceChildren(...state.motions.map((motion) => {
    const item = document.createElement("li"), dotMark = document.createElement("i"), name = document.createElement("b");
    motion.words = document.createElement("p");
    dotMark.style.background = motion.colour;
    name.textContent = motion.name;
    item.append(dotMark, name, motion.words);
    if (data.live) {
      const remove = document.createElement("button");
      remove.textContent = "×";
      remove.setAttribute("aria-label", `Remove ${motion.name}`);
      remove.onclick = () => removeMotion(motion);
      item.append(remove);
    }
    return item;
  }));
  byId("labels").replaceChildren(...state.motions.map((motion) => {
    motion.label = document.createElement("span");
    motion.label.style.background = motion.colour;
    motion.label.textContent = motion.name;
    return motion.label;
  }));
  for (const id of ["play", "back", "forward", "time"]) byId(id).disabled = !state.motions.length;
  byId("apart").hidden = state.motions.length < 2;
}

// Two rows for each character, left foot and right foot, filled where one is on the ground.
function drawStrip() {
  const strip = byId("strip"), scale = devicePixelRatio || 1, gap = 3;
  const height = state.motions.length * (2 * ROW + gap);
  strip.style.height = `${height}px`;
  strip.width = Math.max(1, Math.round(strip.clientWidth * scale));
  strip.height = Math.max(1, Math.round(height * scale));
  const paint = strip.getContext("2d"), total = Math.max(duration() + 1 / frameRate(), 1e-3);
  state.motions.forEach((motion, index) => {
    const pixels = strip.width / (total * motion.fps);
    const bar = (row, from, to, colour) => {
      paint.fillStyle = colour;
      const top = (index * (2 * ROW + gap) + row * ROW) * scale;
      paint.fillRect(from * pixels, top, (to - from) * pixels, (ROW - 1) * scale);
    };
    [["left", 3], ["right", 12]].forEach(([side, bits], row) => {
      bar(row, 0, motion.frames, "#e9e6e0");
      for (let frame = 0, end; frame < motion.frames; frame = end + 1) {
        for (end = frame; motion.contacts[end] & bits; end++);
        bar(row, frame, end, SIDE_COLOURS[side]);
      }
    });
    for (const [start] of motion.prompts.slice(1)) {
      for (const row of [0, 1]) bar(row, start - 1 / pixels, start + 1 / pixels, "#2c303c");
    }
  });
}

function showTime() {
  const frame = Math.round(state.time * frameRate()), last = Math.round(duration() * frameRate());
  byId("clock").textContent = `${state.time.toFixed(2)} / ${duration().toFixed(2)} s · frame ${frame} / ${last}`;
  byId("time").max = Math.max(duration(), 1e-3);
  byId("time").value = state.time;
  byId("play").textContent = state.playing ? "Pause" : "Play";
  for (const motion of state.motions) {
    const words = promptAt(motion, state.time);
    if (motion.words.textContent !== words) motion.words.textContent = words;
  }
}

function tell(text) {
  byId("message").textContent = text;
  byId("message").hidden = !text;
}

function seek(time) {
  state.time = clamp(time, 0, duration());
  state.dirty = true;
  showTime();
}

function play(playing) {
  if (playing && state.time >= duration()) state.time = 0;
  state.playing = playing && duration() > 0;
  state.dirty = true;
  showTime();
}

function scrub(time) {
  play(false);
  seek(time);
}

function step(frames) {
  scrub((Math.round(state.time * frameRate()) + frames) / frameRate());
}

function changeSpeed(by) {
  const speed = byId("speed");
  speed.selectedIndex = clamp(speed.selectedIndex + by, 0, speed.length - 1);
}

function pressed(id) { return byId(id).getAttribute("aria-pressed") === "true"; }

function toggle(id) {
  byId(id).setAttribute("aria-pressed", !pressed(id));
  if (id === "apart") { layOut(); fitCamera(); }
  if (id === "follow") { camera.home = middle(state.time); camera.pan = [0, 0, 0]; }
  state.dirty = true;
}

let lastTick = null;

function tick(now) {
  const passed = lastTick === null ? 0 : Math.min((now - lastTick) / 1000, 0.25);
  lastTick = now;
  if (state.playing) {
    const next = state.time + passed * Number(byId("speed").value), end = duration();
    if (next < end) seek(next);
    else if (pressed("loop")) seek(next % end);
    else { play(false); seek(end); }
  }
  if (state.dirty) {
    state.dirty = false;
    draw();
  }
  requestAnimationFrame(tick);
}

const KEYS = {
  " ": () => play(!state.playing),
  ArrowLeft: (event) => step(event.shiftKey ? -10 : -1),
  ArrowRight: (event) => step(event.shiftKey ? 10 : 1),
  ArrowUp: () => changeSpeed(1),
  ArrowDown: () => changeSpeed(-1),
  Home: () => seek(0),
  End: () => seek(duration()),
  l: () => toggle("loop"),
  f: () => toggle("follow"),
  s: () => toggle("apart"),
  r: fitCamera,
};

addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=range]), select");
  const pressing = event.key === " " && event.target.matches("button");
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || typing || pressing || event.ctrlKey || event.metaKey || event.altKey || !state.motions.length) return;
  event.preventDefault();
  act(event);
});

byId("play").onclick = () => play(!state.playing);
byId("back").onclick = () => step(-1);
byId("forward").onclick = () => step(1);
byId("reset").onclick = fitCamera;
for (const id of ["loop", "follow", "apart"]) byId(id).onclick = () => toggle(id);
byId("time").oninput = (event) => scrub(Number(event.target.value));
// A button that was clicked gives the focus back, so that the space bar keeps playing and pausing.
addEventListener("click", (event) => { if (event.detail && event.target.matches("button")) event.target.blur(); });

byId("strip").onpointerdown = byId("strip").onpointermove = (event) => {
  if (!event.buttons || !state.motions.length) return;
  event.target.setPointerCapture(event.pointerId);
  scrub((event.offsetX / event.target.clientWidth) * (duration() + 1 / frameRate()));
};

// One pointer turns the camera; the right button, Shift or two pointers move it, two also zoom.
const pointers = new Map();

canvas.onpointerdown = (event) => {
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, event);
};
canvas.onpointerup = canvas.onpointercancel = (event) => pointers.delete(event.pointerId);
canvas.oncontextmenu = (event) => event.preventDefault();
canvas.onpointermove = (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  const others = [...pointers.values()].filter((other) => other.pointerId !== event.pointerId);
  const moved = [event.clientX - before.clientX, event.clientY - before.clientY];
  pointers.set(event.pointerId, event);
  if (others.length) {
    const apart = (pointer) => Math.hypot(pointer.clientX - others[0].clientX, pointer.clientY - others[0].clientY);
    zoom(Math.max(apart(before), 1) / Math.max(apart(event), 1));
    moveCamera(moved[0] / 2, moved[1] / 2);
  } else if (event.shiftKey || event.buttons & 6) {
    moveCamera(...moved);
  } else {
    camera.azimuth -= 0.008 * moved[0];
    camera.elevation = clamp(camera.elevation + 0.008 * moved[1], 0.02, 1.55);
  }
  state.dirty = true;
};
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(clamp(event.deltaY, -100, 100) * 0.002));
}, { passive: false });

function zoom(factor) {
  camera.distance = clamp(camera.distance * factor, 0.8, 60);
  state.dirty = true;
}

function moveCamera(x, y) {
  const { right, up } = cameraAxes(), metres = (2 * camera.distance * Math.tan(FIELD_OF_VIEW / 2)) / canvas.clientHeight;
  camera.pan = add(add(camera.pan, right, -x * metres), up, y * metres);
}

new ResizeObserver(() => { drawStrip(); state.dirty = true; }).observe(byId("stage"));
canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
canvas.addEventListener("webglcontextrestored", startRenderer);

byId("ask").onsubmit = async (event) => {
  event.preventDefault();
  const seconds = byId("seconds").value, seed = byId("seed").value;
  const request = {
    prompt: byId("prompt").value,
    seconds: seconds === "" ? null : Number(seconds),
    seed: seed === "" ? Math.floor(Math.random() * 1e6) : Number(seed),
  };
  byId("generate").disabled = true;
  tell("Generating …");
  try {
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch("generate", { method: "POST", headers, body: JSON.stringify(request) });
    const result = await answer.json();
    if (answer.ok) {
      addMotion(result);
      tell("");
      seek(0);
      play(true);
    } else tell(result.error);
  } catch {
    tell("The server does not answer; is lamp-fast view still running?");
  }
  byId("generate").disabled = false;
};

byId("ask").hidden = !data.live;
data.motions.forEach(addMotion);
castChanged();
startRenderer();
play(state.motions.length > 0);
requestAnimationFrame(tick);
