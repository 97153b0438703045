// The mask painter. Labels are numbers in an array, one a pixel: nothing on the canvas is ever read
// back, so no edge can blend. Python hands over picture, predicted, region, names and palette; the
// value is {labels, part}, where labels are the array's bytes in base64. What Python makes of labels
// has these as `asked` beside it.
const $ = (selector) => element.querySelector(selector);
const canvas = $('canvas'), pen = canvas.getContext('2d');
const MOST = 80; // masks that undo remembers
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const decode = (text) => Uint8Array.from(atob(text || ''), (c) => c.charCodeAt(0));
const encode = (bytes) => btoa(bytes.reduce((text, b) => text + String.fromCharCode(b), ''));

let side = 0, labels, held, predicted, region, outline = null, session = null;
let past = [], future = [], part = 0, stroke = null, hand = null;
let chosen = null; // the legend from which the visitor chose the part
let cursor = null, view = { x: 0, y: 0, zoom: 1 };
const face = new Image(), tile = document.createElement('canvas'), tint = tile.getContext('2d');
face.onload = () => draw();

const tool = () => $('input[name=tool]:checked').value;
const dial = (name) => Number($(`input[name=${name}]`).value);
const same = (a, b) => a.length === b.length && a.every((v, i) => v === b[i]);
const say = (text) => { $('.status').textContent = text; };
const began = () => props.began ?? 'the predicted mask';
const name = (label) => props.names[label] ?? `part ${label}`;

// ---- from Python ------------------------------------------------------------------------------
function load() {
  const ready = Boolean(props.predicted);
  element.querySelector('.painter').toggleAttribute('inert', !ready);
  $('.empty').hidden = ready;
  if (!ready) { // also after another picture took the place of the one that was painted on
    labels = held = undefined;
    canvas.width = canvas.height; // which wipes it
    $('.legend').querySelectorAll('label').forEach((label) => label.remove());
    say('');
    return;
  }
  predicted = decode(props.predicted);
  side = Math.round(Math.sqrt(predicted.length));
  tile.width = tile.height = side;
  if (face.src !== props.picture) face.src = props.picture;
  region = decode(props.region);
  outline = region.length ? border(region) : null;
  if (session !== props.session) {
    [session, past, future, view] = [props.session, [], [], { x: 0, y: 0, zoom: 1 }];
    labels = null; // a session begins with the predicted mask; its value may come later
    $('input[name=zoom]').value = 1;
  }
  take(props.value ?? {});
  labels ??= predicted.slice();
  legend();
  draw();
}

// Only labels that are news: other properties change in the middle of a stroke, too. What was
// painted or chosen while Python worked stays, and Python is told; a part that was chosen from this
// legend stays for another picture, too.
function take(value) {
  const given = decode(value.labels), asked = decode(value.asked);
  if (!asked.length && chosen !== String(props.names)) part = value.part ?? part;
  if (value.labels === held || given.length !== predicted.length) return;
  held = value.labels;
  const mine = (i) => labels && asked.length && labels[i] !== asked[i];
  const now = given.map((label, i) => (mine(i) ? labels[i] : label));
  if (labels && !same(labels, now)) remember();
  labels = now;
  if (asked.length && (part !== value.part || !same(now, asked))) commit();
}

function border(inside) {
  const path = new Path2D(), at = (x, y) => x >= 0 && y >= 0 && x < side && y < side
    && inside[y * side + x] > 0;
  for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) {
    if (!at(x, y)) continue;
    if (!at(x - 1, y)) { path.moveTo(x, y); path.lineTo(x, y + 1); }
    if (!at(x + 1, y)) { path.moveTo(x + 1, y); path.lineTo(x + 1, y + 1); }
    if (!at(x, y - 1)) { path.moveTo(x, y); path.lineTo(x + 1, y); }
    if (!at(x, y + 1)) { path.moveTo(x, y + 1); path.lineTo(x + 1, y + 1); }
  }
  return path;
}

// ---- the legend -------------------------------------------------------------------------------
function legend() {
  const box = $('.legend');
  const known = [...box.querySelectorAll('label')].map((l) => l.textContent);
  if (!same(known, props.names)) {
    box.querySelectorAll('label').forEach((l) => l.remove());
    props.names.forEach((text, i) => {
      const label = document.createElement('label'), radio = document.createElement('input');
      const chip = document.createElement('i');
      Object.assign(radio, { type: 'radio', name: 'part', value: i });
      chip.style.background = `rgb(${props.palette[i]})`;
      label.append(radio, chip, text);
      box.append(label);
    });
  }
  const present = new Set(labels);
  box.querySelectorAll('label').forEach((label, i) => {
    label.classList.toggle('absent', !present.has(i));
    label.firstChild.checked = i === part;
  });
}

function choose(label) {
  [part, chosen] = [label, String(props.names)];
  const radio = element.querySelector(`.legend input[value="${label}"]`);
  if (radio) radio.checked = true;
  hold();
  say(`${name(part)} is chosen.`);
}

// ---- drawing the view -------------------------------------------------------------------------
function draw() {
  if (!labels) return;
  const shown = canvas.clientWidth * (window.devicePixelRatio || 1);
  if (Math.abs(canvas.width - shown) > 1) canvas.width = canvas.height = shown;
  const pixels = tint.createImageData(side, side), cover = dial('cover') * 2.55;
  const ink = props.palette.map((colour) => [...colour, cover]);
  labels.forEach((label, i) => pixels.data.set(ink[label] ?? [0, 0, 0, cover], 4 * i));
  tint.putImageData(pixels, 0, 0);
  const size = canvas.width / side * view.zoom;
  pen.setTransform(size, 0, 0, size, -view.x * size, -view.y * size);
  pen.clearRect(0, 0, side, side);
  pen.imageSmoothingEnabled = true;
  if (face.complete && face.naturalWidth) pen.drawImage(face, 0, 0, side, side);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(tile, 0, 0);
  const thin = (window.devicePixelRatio || 1) / size;
  if (outline && $('input[name=region]').checked) ring(outline, 1.5 * thin);
  if (cursor) ring(footprint(cursor), thin);
}

function ring(path, width) {
  for (const [colour, times] of [['#000b', 3], ['#fff', 1.2]]) {
    pen.strokeStyle = colour; pen.lineWidth = width * times; pen.stroke(path);
  }
}

function footprint([x, y]) {
  const path = new Path2D(), radius = 'brush eraser'.includes(tool()) ? dial('size') / 2 : 0.5;
  path.arc(x, y, radius, 0, 2 * Math.PI);
  return path;
}

function look(zoom, x, y) { // centre the view on (x, y), inside the picture
  const span = side / zoom;
  view = { zoom, x: clamp(x - span / 2, 0, side - span), y: clamp(y - span / 2, 0, side - span) };
  draw();
}

function middle() { // of the chosen part, or of what is in view
  let [x, y, count] = [0, 0, 0];
  labels.forEach((label, i) => {
    if (label === part) { x += i % side; y += Math.floor(i / side); count++; }
  });
  const span = side / view.zoom;
  return count && part ? [x / count, y / count] : [view.x + span / 2, view.y + span / 2];
}

// ---- changing labels --------------------------------------------------------------------------
function remember() {
  past = [...past, labels.slice()].slice(-MOST);
  future = [];
}

function hold() {
  held = encode(labels);
  props.value = { labels: held, part };
}

function commit(words) {
  hold();
  trigger('input');
  legend();
  draw();
  if (words) say(words);
}

function restore(from, to, words) {
  if (!from.length) return say(`Nothing to ${words}.`);
  to.push(labels);
  labels = from.pop();
  commit(`${words === 'undo' ? 'Undone' : 'Done again'}; ${past.length} more to undo.`);
}

function stamp(x, y, erase) {
  const radius = dial('size') / 2, put = (i) => { labels[i] = erase ? predicted[i] : part; };
  put(clamp(Math.floor(y), 0, side - 1) * side + clamp(Math.floor(x), 0, side - 1));
  for (let j = Math.floor(y - radius); j <= y + radius; j++) {
    for (let i = Math.floor(x - radius); i <= x + radius; i++) {
      const inside = i >= 0 && j >= 0 && i < side && j < side;
      if (inside && Math.hypot(i + 0.5 - x, j + 0.5 - y) <= radius) put(j * side + i);
    }
  }
}

function line([ax, ay], [bx, by], erase) {
  const steps = Math.max(1, Math.ceil(2 * Math.hypot(bx - ax, by - ay)));
  for (let k = 0; k <= steps; k++) {
    stamp(ax + (bx - ax) * k / steps, ay + (by - ay) * k / steps, erase);
  }
}

function flood([x, y]) {
  const start = Math.floor(y) * side + Math.floor(x), old = labels[start], queue = [start];
  if (old === part) return say(`This is ${name(part)} already.`);
  remember();
  labels[start] = part;
  while (queue.length) {
    const i = queue.pop(), column = i % side, around = [i - side, i + side];
    if (column > 0) around.push(i - 1);
    if (column < side - 1) around.push(i + 1);
    for (const k of around) {
      if (labels[k] === old) { labels[k] = part; queue.push(k); }
    }
  }
  commit(`Filled: ${name(old)} became ${name(part)}.`);
}

function dab(point) { // one press of the tool, by pointer or by key
  const under = labels[Math.floor(point[1]) * side + Math.floor(point[0])];
  if (tool() === 'pick') return choose(under);
  if (tool() === 'fill') return flood(point);
  remember();
  stamp(...point, tool() === 'eraser');
}

// ---- pointer and keys -------------------------------------------------------------------------
function at(event) {
  const box = canvas.getBoundingClientRect(), span = side / view.zoom;
  const inside = (v, low) => clamp(v, low, side - 0.01);
  return [inside(view.x + (event.clientX - box.left) / box.width * span, 0),
    inside(view.y + (event.clientY - box.top) / box.height * span, 0)];
}

canvas.addEventListener('pointerdown', (event) => {
  if (!labels || event.button || !event.isPrimary) return;
  canvas.setPointerCapture(event.pointerId);
  cursor = at(event);
  if (tool() === 'move') {
    hand = { x: event.clientX, y: event.clientY, ...middleOfView() };
    return;
  }
  dab(cursor);
  if ('brush eraser'.includes(tool())) { stroke = cursor; draw(); }
});

function middleOfView() {
  const half = side / view.zoom / 2;
  return { cx: view.x + half, cy: view.y + half };
}

canvas.addEventListener('pointermove', (event) => {
  if (!labels || !event.isPrimary) return;
  cursor = at(event);
  if (hand) {
    const scale = side / view.zoom / canvas.clientWidth;
    look(view.zoom, hand.cx - (event.clientX - hand.x) * scale,
      hand.cy - (event.clientY - hand.y) * scale);
  } else if (stroke) {
    for (const e of [...(event.getCoalescedEvents?.() ?? []), event]) {
      const point = at(e);
      line(stroke, point, tool() === 'eraser');
      stroke = point;
    }
  } else {
    say(name(labels[Math.floor(cursor[1]) * side + Math.floor(cursor[0])]));
  }
  draw();
});

function lift(event) {
  if (!event.isPrimary) return;
  hand = null;
  if (!stroke) return;
  stroke = null;
  if (same(past.at(-1), labels)) past.pop();
  else commit(tool() === 'eraser' ? `Back to ${began()} there.` : `Painted ${name(part)}.`);
}
canvas.addEventListener('pointerup', lift);
canvas.addEventListener('pointercancel', lift);
canvas.addEventListener('pointerleave', () => { if (!stroke) { cursor = null; draw(); } });

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
canvas.addEventListener('keydown', (event) => {
  if (!labels) return;
  const step = ARROWS[event.key];
  if (step) {
    const reach = event.shiftKey ? 8 : 1, half = side / view.zoom / 2;
    const [x, y] = cursor ?? middle().map((v) => Math.floor(v) + 0.5);
    const inside = (v) => clamp(v, 0.5, side - 0.5);
    cursor = [inside(x + step[0] * reach), inside(y + step[1] * reach)];
    const [cx, cy] = cursor, far = (v, low) => Math.abs(v - low - half) > half;
    if (far(cx, view.x) || far(cy, view.y)) look(view.zoom, cx, cy);
    say(name(labels[Math.floor(cy) * side + Math.floor(cx)]));
  } else if (event.key === ' ' || event.key === 'Enter') {
    cursor ??= middle().map((v) => Math.floor(v) + 0.5);
    dab(cursor);
    if ('brush eraser'.includes(tool())) {
      if (same(past.at(-1), labels)) past.pop(); else commit(`Painted ${name(part)}.`);
    }
  } else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'z') {
    if (event.shiftKey) restore(future, past, 'redo'); else restore(past, future, 'undo');
  } else return;
  event.preventDefault();
  draw();
});

element.addEventListener('input', (event) => {
  event.stopPropagation();
  if (event.target.name === 'part') return choose(Number(event.target.value));
  if (event.target.name === 'zoom') return look(dial('zoom'), ...middle());
  draw();
});
element.addEventListener('submit', (event) => event.preventDefault());
element.addEventListener('click', (event) => {
  const action = event.target.closest('button')?.dataset.action;
  if (action === 'undo') restore(past, future, 'undo');
  if (action === 'redo') restore(future, past, 'redo');
  if (action === 'reset' && !same(labels, predicted)) {
    remember();
    labels = predicted.slice();
    commit(`Back to ${began()}; undo brings the strokes back.`);
  }
});
new ResizeObserver(draw).observe(canvas);
// One string: Gradio takes every single quoted word here for the name of an event.
watch('value picture predicted region names palette session'.split(' '), load);
load();
