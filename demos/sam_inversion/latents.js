// The map of latents over its picture. Python hands over the predicted error of every latent, a mean
// a segment; which segment takes which latent is decided here, so that tau answers while it moves.
// The value is {tau, forced, session}, forced as pairs of segment and latent.
const $ = (selector) => element.querySelector(selector);
const canvas = $('canvas.map'), pen = canvas.getContext('2d');
const strip = $('canvas.strip'), ink = strip.getContext('2d');
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const bytes = (text) => Uint8Array.from(atob(text || ''), (c) => c.charCodeAt(0));
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;

let session = null, side = 0, count = 0, segments, means, errors, sizes, chosen, top = 1;
let tau = 0, forced = new Map(), view = 'latents', pick = 0, cursor = null, stack = null;
const face = new Image(), tile = document.createElement('canvas'), tint = tile.getContext('2d');
face.onload = () => draw();

const rgb = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
const say = (text) => { $('.status').textContent = text; };
const last = () => props.names.length - 1;
const mean = (latent, segment) => means[latent * count + segment];

// ---- from Python ------------------------------------------------------------------------------
function load() {
  const ready = Boolean(props.segments);
  element.querySelector('.latents').toggleAttribute('inert', !ready);
  $('.empty').hidden = ready;
  if (!ready) { pen.clearRect(0, 0, canvas.width, canvas.height); session = null; return; }
  if (session === props.session) return;
  session = props.session;
  segments = new Uint16Array(bytes(props.segments).buffer);
  means = new Float32Array(bytes(props.means).buffer);
  errors = bytes(props.errors);
  side = Math.round(Math.sqrt(segments.length));
  count = means.length / props.names.length;
  sizes = new Uint32Array(count);
  segments.forEach((s) => { sizes[s]++; });
  tile.width = tile.height = side;
  top = 1.02 * means.subarray(0, count).reduce((a, b) => Math.max(a, b), 1e-6);
  top = Math.max(top, 1.2 * props.tau);
  tau = props.tau; forced = new Map(); cursor = null; view = 'latents'; pick = last();
  const range = $('input[name=tau]');
  [range.max, range.step] = [top, top / 500];
  range.value = tau;
  $('button[data-action=trust]').hidden = !props.person.length;
  face.src = props.picture;
  say('');
  stack = null;
  views();
  legend();
  decide(false);
}

// ---- the decision: the earliest latent whose error is under tau (Sec. 3.2) ----------------------
function latentOf(segment, threshold) {
  for (let l = 0; l < last(); l++) if (mean(l, segment) < threshold) return l;
  return last();
}

function decide(told = true) {
  chosen = Uint8Array.from({ length: count }, (_, s) => forced.get(s) ?? latentOf(s, tau));
  props.value = { tau, forced: [...forced], session };
  if (told) trigger('input');
  account();
  draw();
}

function give(segment, latent) { // the same once more takes it back
  if (forced.get(segment) === latent) {
    forced.delete(segment);
    say(`This segment follows tau again: ${props.names[latentOf(segment, tau)]}.`);
  } else {
    forced.set(segment, latent);
    say(`This segment takes ${props.names[latent]} whatever tau says. Click again to let it go.`);
  }
  decide();
}

// ---- what is gained and lost ------------------------------------------------------------------
function shares() {
  const found = new Float64Array(props.names.length);
  chosen.forEach((l, s) => { found[l] += sizes[s] / segments.length; });
  return found;
}

function errorOf(latent) { // of the whole picture, latent(segment) for each segment
  let sum = 0;
  for (let s = 0; s < count; s++) sum += mean(latent(s), s) * sizes[s];
  return sum / segments.length;
}

function account() {
  const share = shares(), now = errorOf((s) => chosen[s]), all = errorOf(() => 0);
  const fell = all > 0 ? 1 - now / all : 0;
  $('output.tau').textContent = tau.toFixed(2);
  $('.gain b').textContent = `error ${now.toFixed(2)}`;
  $('.gain span').textContent = fell > 0.005
    ? `predicted: ${percent(fell)} less than with W+ everywhere (${all.toFixed(2)}).`
    : 'predicted: as much as with W+ everywhere.';
  const kept = share[0], late = share.slice(1).reduce((a, b) => a + b, 0);
  $('.loss b').textContent = `${percent(kept)} in W+`;
  $('.loss span').textContent = late > 0.0005
    ? `can change in every way; ${percent(late)} sees an edit only after its layer.`
    : 'can change in every way: nothing is lost to later layers.';
  element.querySelectorAll('.legend label').forEach((label, l) => {
    label.querySelector('em').textContent = percent(share[l]);
    label.classList.toggle('absent', !share[l]);
  });
  $('button[data-action=release]').disabled = !forced.size;
  $('button[data-action=own]').disabled = tau === props.tau;
}

// ---- controls that come with the latents ------------------------------------------------------
function radio(box, name, value, checked, ...inside) {
  const label = document.createElement('label'), input = document.createElement('input');
  Object.assign(input, { type: 'radio', name, value, checked });
  label.append(input, ...inside);
  box.append(label);
}

function views() {
  const box = $('.views');
  box.querySelectorAll('label').forEach((label) => label.remove());
  radio(box, 'view', 'latents', true, 'Latents');
  props.names.forEach((name, l) => radio(box, 'view', String(l), false, `Error in ${name}`));
}

function legend() {
  const box = $('.legend');
  box.querySelectorAll('label').forEach((label) => label.remove());
  props.names.forEach((name, l) => {
    const chip = document.createElement('i'), share = document.createElement('em');
    chip.style.background = props.colours[l];
    radio(box, 'latent', String(l), l === pick, chip, name, share);
  });
}

// ---- drawing ----------------------------------------------------------------------------------
function fit(surface, context, height) {
  const scale = window.devicePixelRatio || 1, width = Math.round(surface.clientWidth * scale);
  const high = Math.round((height ?? surface.clientWidth) * scale);
  if (surface.width !== width || surface.height !== high) {
    [surface.width, surface.height] = [width, high];
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, high);
  return scale;
}

const HEAT = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]]; // inferno
function heat(share) {
  const at = clamp(share, 0, 1) * (HEAT.length - 1), i = Math.min(Math.floor(at), HEAT.length - 2);
  return HEAT[i].map((v, k) => v + (at - i) * (HEAT[i + 1][k] - v));
}

function draw() {
  if (!session) return;
  const scale = fit(canvas, pen), size = canvas.width / side;
  const pixels = tint.createImageData(side, side), cover = 2.55 * $('input[name=cover]').value;
  if (view === 'latents') {
    const colours = props.colours.map((colour) => [...rgb(colour), cover]);
    segments.forEach((s, i) => pixels.data.set(colours[chosen[s]], 4 * i));
  } else {
    const from = Number(view) * segments.length, ramp = Array.from({ length: 256 }, (_, v) =>
      [...heat(v / 255), cover]);
    segments.forEach((_, i) => pixels.data.set(ramp[errors[from + i]], 4 * i));
  }
  tint.putImageData(pixels, 0, 0);
  pen.setTransform(size, 0, 0, size, 0, 0);
  pen.imageSmoothingEnabled = true;
  if (face.complete && face.naturalWidth) pen.drawImage(face, 0, 0, side, side);
  pen.imageSmoothingEnabled = view !== 'latents';
  pen.drawImage(tile, 0, 0);
  if (view === 'latents') {
    line(border((a, b) => chosen[a] !== chosen[b]), '#fff', scale / size);
    const held = border((a, b) => a !== b && (forced.has(a) || forced.has(b)));
    line(held, '#000', 3.4 * scale / size);
    line(held, '#fff', 1.6 * scale / size);
  }
  if (cursor !== null) {
    const here = border((a, b) => a !== b && (a === cursor || b === cursor));
    line(here, '#000', 3.4 * scale / size);
    line(here, '#fff', 1.6 * scale / size);
  }
  drawStrip();
}

function border(differ) {
  const path = new Path2D();
  for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) {
    const i = y * side + x;
    if (x + 1 < side && differ(segments[i], segments[i + 1])) {
      path.moveTo(x + 1, y); path.lineTo(x + 1, y + 1);
    }
    if (y + 1 < side && differ(segments[i], segments[i + side])) {
      path.moveTo(x, y + 1); path.lineTo(x + 1, y + 1);
    }
  }
  return path;
}

function line(path, colour, width) {
  Object.assign(pen, { strokeStyle: colour, lineWidth: width, lineCap: 'square' });
  pen.stroke(path);
}

// How much of the picture each latent would have at every tau, with the cursor at the one in use.
function drawStrip() {
  const scale = fit(strip, ink, strip.clientHeight), [w, h] = [strip.width, strip.height];
  const columns = 160;
  stack ??= Array.from({ length: columns }, (_, c) => {
    const share = new Float64Array(props.names.length);
    for (let s = 0; s < count; s++) share[latentOf(s, top * c / (columns - 1))] += sizes[s];
    return share;
  });
  stack.forEach((share, c) => {
    let y = h;
    share.forEach((part, l) => {
      const high = h * part / segments.length;
      ink.fillStyle = props.colours[l];
      ink.fillRect(Math.floor(w * c / columns), y - high, Math.ceil(w / columns) + 1, high + 0.5);
      y -= high;
    });
  });
  const x = clamp(w * tau / top, scale, w - scale);
  ink.fillStyle = '#000';
  ink.fillRect(x - 2 * scale, 0, 4 * scale, h);
  ink.fillStyle = '#fff';
  ink.fillRect(x - scale, 0, 2 * scale, h);
}

// ---- pointer and keys -------------------------------------------------------------------------
let place = null; // of the cursor, in pixels of the picture
function pointAt(x, y) {
  place = [clamp(Math.floor(x), 0, side - 1), clamp(Math.floor(y), 0, side - 1)];
  cursor = segments[place[1] * side + place[0]];
  const listed = props.names.map((name, l) => `${name} ${mean(l, cursor).toFixed(2)}`).join(', ');
  const why = forced.has(cursor) ? 'by hand' : `at tau ${tau.toFixed(2)}`;
  say(`Predicted error: ${listed}. ${props.names[chosen[cursor]]} ${why}.`);
  draw();
}

function follow(event) {
  const box = canvas.getBoundingClientRect(), size = side / box.width;
  pointAt((event.clientX - box.left) * size, (event.clientY - box.top) * size);
}

canvas.addEventListener('pointermove', (event) => { if (session) follow(event); });
canvas.addEventListener('pointerleave', () => { cursor = null; draw(); });
canvas.addEventListener('click', (event) => {
  if (!session) return;
  follow(event);
  give(cursor, pick);
});
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
canvas.addEventListener('keydown', (event) => {
  if (!session) return;
  const step = ARROWS[event.key], reach = event.shiftKey ? 8 : 2;
  const [x, y] = place ?? [side / 2, side / 2];
  if (step) pointAt(x + step[0] * reach, y + step[1] * reach);
  else if ((event.key === ' ' || event.key === 'Enter') && cursor !== null) give(cursor, pick);
  else return;
  event.preventDefault();
});

let frame = 0;
element.addEventListener('input', (event) => {
  event.stopPropagation();
  const { name, value } = event.target;
  if (name === 'view') {
    view = value;
    say(view === 'latents' ? '' : `Dark: no error. Bright: ${props.brightest.toFixed(2)} or more.`);
  }
  if (name === 'latent') {
    pick = Number(value);
    say(`Click a segment to give it ${props.names[pick]}.`);
  }
  if (name === 'tau') {
    tau = Number(value);
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => decide());
    return;
  }
  draw();
});
element.addEventListener('click', (event) => {
  const action = event.target.closest('button')?.dataset.action;
  if (action === 'everywhere') {
    forced = new Map(Array.from({ length: count }, (_, s) => [s, pick]));
    say(`Everything takes ${props.names[pick]}: one latent for the whole picture (Fig. 3.2).`);
    decide();
  }
  if (action === 'trust') {
    forced = new Map(props.person.map((segment) => [segment, 0]));
    say('The person is in W+ because a segmenter says what it is, not how well it can be rebuilt.');
    decide();
  }
  if (action === 'release') { forced = new Map(); say('Every segment follows tau.'); decide(); }
  if (action === 'own') { tau = props.tau; $('input[name=tau]').value = tau; decide(); }
});
strip.addEventListener('pointerdown', (event) => {
  const move = (e) => {
    const box = strip.getBoundingClientRect();
    tau = clamp((e.clientX - box.left) / box.width, 0, 1) * top;
    $('input[name=tau]').value = tau;
    decide();
  };
  if (!session) return;
  strip.setPointerCapture(event.pointerId);
  move(event);
  strip.onpointermove = move;
  strip.onpointerup = strip.onpointercancel = () => { strip.onpointermove = null; };
});
new ResizeObserver(() => draw()).observe(canvas);
// Properties of one update may come one after another: all of them are read once they are there.
let waits = 0;
function soon() {
  clearTimeout(waits);
  waits = setTimeout(load, 0);
}
// One string: Gradio takes every single quoted word here for the name of an event.
watch('segments means errors names colours tau person picture session'.split(' '), soon);
load();
