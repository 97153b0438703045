// 3DMM numbers: a slider each, in groups, and a head of lines that follows them. The value is a list
// of [name, number]; rows are [name, group, low, high, rest]. The head looks along +z, y is up.
const svg = element.querySelector('svg'), groups = element.querySelector('.groups');
const NS = 'http://www.w3.org/2000/svg';
const RAD = Math.PI / 180, MIX = (a, b, t) => a + (b - a) * t;
const drawable = () => props.rows.some(([name]) => name === 'yaw');
let drawn = '', dragged = null;

const read = () => Object.fromEntries(props.value ?? []);
const range = (from, to, count) =>
  Array.from({ length: count + 1 }, (_, i) => from + (to - from) * i / count);
const bump = (y, at, width) => Math.exp(-(((y - at) / width) ** 2));

// ---- the surface: half width and depth at each height ----------------------------------------------
function surface(n) {
  const g = (name) => n[name] ?? 0;
  const chin = -1.02 - 0.045 * g('face_length') - 0.1 * g('mouth_open') - 0.02 * g('chin_size');
  const top = 1.08 + 0.02 * g('forehead');
  const width = (y) => {
    const up = y > 0.15 ? Math.sqrt(Math.max(0, 1 - ((y - 0.15) / (top - 0.15)) ** 2)) : 1;
    const t = y < 0.15 ? (0.15 - y) / (0.15 - chin) : 0;
    const low = Math.sqrt(Math.max(0, 1 - t ** 2.6)) * (1 - 0.16 * t);
    const shape = 1 + 0.045 * g('face_width') + 0.05 * g('jaw_width') * bump(y, -0.62, 0.25)
      + 0.035 * g('cheekbones') * bump(y, -0.05, 0.2) + 0.05 * g('fullness') * bump(y, -0.4, 0.3)
      + 0.05 * g('chin_size') * bump(y, chin, 0.2) + 0.025 * g('forehead') * bump(y, 0.6, 0.3);
    return 0.75 * up * low * shape;
  };
  const depth = (y) => {
    const t = y > 0.2 ? (y - 0.2) / (top - 0.2) : (0.2 - y) / (0.2 - chin);
    return (y > 0.2 ? 0.86 : 0.86 - 0.08 * t) * Math.sqrt(Math.max(0, 1 - t ** (y > 0.2 ? 2 : 4)));
  };
  const at = (angle, y) => [width(y) * Math.sin(angle), y, depth(y) * Math.cos(angle)];
  const front = (x, y, out = 0) => {
    const w = Math.max(width(y), 0.01), s = Math.max(-1, Math.min(1, x / w));
    return [x, y, depth(y) * Math.sqrt(1 - s * s) + out];
  };
  return { chin, top, width, depth, at, front, g };
}

// ---- lines -----------------------------------------------------------------------------------------
function mesh({ chin, top, at }) {
  const lines = [];
  for (const y of range(chin + 0.06, top - 0.06, 11))
    lines.push(range(-Math.PI, Math.PI, 48).map((a) => at(a, y)));
  for (const a of range(-Math.PI, Math.PI, 18).slice(1))
    lines.push(range(chin, top, 30).map((y) => at(a, y)));
  return lines;
}

function eye(side, { front, g }) {
  const size = 1 + 0.09 * g('eye_size'), x = side * (0.3 + 0.02 * g('eye_spacing')), y = 0.1;
  const tilt = 0.03 + 0.025 * g('eye_tilt'), open = 0.075 * size * (g('lid_open') || 0);
  const w = 0.15 * size, put = (u, v) => front(x + u, y + v + side * u * tilt / w * 1.2, 0.01);
  const lid = (h) => range(-1, 1, 12).map((t) => put(w * t, h * (1 - t * t)));
  const lines = [lid(open), lid(-0.045 * size * Math.min(1, 0.3 + (g('lid_open') || 0))
    + 0.03 * g('cheek_raise'))];
  const gx = 0.055 * g('gaze_x'), gy = 0.035 * g('gaze_y'), r = Math.min(0.06, open * 0.8 + 0.002);
  lines.push(range(0, 2 * Math.PI, 16).map((a) =>
    put(gx + 0.058 * size * Math.cos(a), gy + r * Math.sin(a))));
  const up = 0.24 + 0.025 * g('brow_height') + 0.09 * g('brow_raise');
  lines.push(range(-1, 1, 10).map((t) => {
    const inner = (1 - t * side * 1) / 2; // 1 at the nose
    return front(x + 0.19 * t, y + up + 0.045 * (1 - t * t) - 0.09 * g('brow_knit') * inner
      - 0.02 * (1 - inner), 0.02);
  }));
  return lines;
}

function nose({ front, g }) {
  const end = -0.28 - 0.035 * g('nose_length'), w = 0.13 + 0.015 * g('nose_width');
  const tip = 0.2 + 0.025 * g('nose_tip'), bridge = 0.06 + 0.015 * g('nose_bridge');
  const ridge = range(0, 1, 12).map((t) => {
    const y = MIX(0.12, end + 0.05, t);
    return front(0, y, MIX(bridge, tip, t ** 1.6));
  });
  const wing = range(-1, 1, 14).map((t) =>
    front(w * t, end + 0.05 * t * t - 0.02, MIX(tip * 0.85, 0.02, t * t)));
  const side = (s) => [ridge.at(-1), front(s * w * 0.8, end + 0.1, 0.09), front(s * w, end + 0.03, 0.02)];
  return [ridge, wing, side(1), side(-1)];
}

function mouth({ front, g }) {
  const y = -0.56 + 0.02 * g('mouth_height') - 0.03 * g('face_length');
  const round = g('mouth_round'), w = (0.27 + 0.02 * g('mouth_width') + 0.06 * g('smile'))
    * (1 - 0.42 * round);
  const open = 0.15 * g('mouth_open') + 0.05 * round, lips = 0.055 + 0.012 * g('lip_fullness');
  const bend = 0.1 * g('smile') - 0.08 * g('mouth_frown');
  const curve = (h, drop) => range(-1, 1, 16).map((t) =>
    front(w * t, y + bend * t * t + (h - drop) * (1 - t * t), 0.03 + 0.03 * (1 - t * t)));
  const upper = curve(lips, 0).map(([x, v, z], i) => [x, v - (i === 8 ? 0.018 : 0), z]);
  return [upper, curve(0, 0), curve(0, 1.15 * open), curve(0, 1.15 * open + lips * 1.25)];
}

function ear(side, { at, g }) {
  const [x, , z] = at(side * 1.62, 0), size = 1 + 0.1 * g('ear_size');
  return [range(0, 2 * Math.PI, 18).map((a) => [
    x + side * 0.07 * size * (1 - Math.cos(a)) / 2 + side * 0.01,
    0.02 + 0.22 * size * Math.sin(a), z - 0.05 - 0.09 * size * Math.cos(a)])];
}

function neck({ chin, g }) {
  const w = 0.42 + 0.03 * g('neck_width');
  return range(-Math.PI, Math.PI, 12).map((a) => range(0, 1, 4).map((t) =>
    [w * Math.sin(a) * (1 + 0.12 * t * t), MIX(chin + 0.28, chin - 0.42, t),
      0.42 * Math.cos(a) * (1 + 0.1 * t) - 0.22]));
}

// ---- turned and drawn ------------------------------------------------------------------------------
function camera({ g }) {
  const [a, b] = [g('yaw') * RAD, g('pitch') * RAD], c = -g('roll') * RAD;
  return ([x, y, z]) => {
    const u = x * Math.cos(a) - z * Math.sin(a), d = x * Math.sin(a) + z * Math.cos(a);
    const v = y * Math.cos(b) - d * Math.sin(b), e = y * Math.sin(b) + d * Math.cos(b);
    const near = 4.6 / (4.6 - e);
    return [near * (u * Math.cos(c) - v * Math.sin(c)), near * (u * Math.sin(c) + v * Math.cos(c)), e];
  };
}

function path(lines, turn, keep) {
  let text = '';
  for (const line of lines) {
    let pen = false;
    for (const point of line.map(turn)) {
      if (!keep(point[2])) { pen = false; continue; }
      text += `${pen ? 'L' : 'M'}${point[0].toFixed(3)} ${(-point[1]).toFixed(3)}`;
      pen = true;
    }
  }
  return text;
}

function draw() {
  if (!drawable()) { element.querySelector('figure').hidden = true; return; }
  const form = surface(read()), turn = camera(form);
  const net = mesh(form), face = [...eye(1, form), ...eye(-1, form), ...nose(form), ...mouth(form)];
  const shapes = [['net back', [...net, ...neck(form)], (z) => z <= 0.02],
    ['net', net, (z) => z > 0], ['face', [...ear(1, form), ...ear(-1, form)], (z) => z > -0.4],
    ['face', face, (z) => z > 0.12]];
  shapes.forEach(([kind, lines, keep], i) => {
    const line = svg.children[i] ?? svg.appendChild(document.createElementNS(NS, 'path'));
    line.setAttribute('class', kind);
    line.setAttribute('d', path(lines, turn, keep));
  });
}

// ---- sliders ---------------------------------------------------------------------------------------
function slider([name, , low, high, rest]) {
  const label = document.createElement('label'), title = document.createElement('span');
  const input = document.createElement('input'), number = document.createElement('output');
  title.textContent = name.replaceAll('_', ' ');
  const step = high - low > 10 ? 1 : 0.05;
  Object.assign(input, { type: 'range', min: low, max: high, step, value: rest });
  Object.assign(input.dataset, { name, rest });
  label.append(title, input, number);
  return label;
}

function list() {
  const now = JSON.stringify(props.rows);
  if (now === drawn) return;
  drawn = now;
  const names = [...new Set(props.rows.map(([, group]) => group))].reverse();
  groups.replaceChildren(...names.map((group, i) => {
    const box = document.createElement('details'), title = document.createElement('summary');
    title.textContent = group;
    box.open = i < 2;
    box.append(title, ...props.rows.filter((row) => row[1] === group).map(slider));
    return box;
  }));
}

function write(input) {
  const value = Number(input.value);
  input.nextSibling.textContent = (value > 0 ? '+' : '') + value.toFixed(input.step < 1 ? 2 : 0);
  const share = (value - input.min) / (input.max - input.min);
  input.style.setProperty('--range_progress', `${100 * share}%`);
  input.parentNode.classList.toggle('used', Math.abs(value - input.dataset.rest) > 1e-3);
}

function show() {
  list();
  const now = read();
  groups.querySelectorAll('input').forEach((input) => {
    if (input !== dragged) input.value = now[input.dataset.name] ?? input.dataset.rest;
    write(input);
  });
  draw();
}

function take(moved) { // numbers that nobody moved stay as exact as they came
  const now = read();
  props.value = props.rows.map(([name, , , , rest]) => [name, moved[name] ?? now[name] ?? rest]);
  draw();
  trigger('input');
}

element.addEventListener('input', (event) => {
  event.stopPropagation();
  dragged = event.target;
  write(dragged);
  take({ [dragged.dataset.name]: Number(dragged.value) });
});
element.addEventListener('change', (event) => { event.stopPropagation(); dragged = null; });
element.addEventListener('click', (event) => {
  if (event.target.closest('button')?.dataset.action !== 'rest') return;
  take(Object.fromEntries(props.rows.map(([name, , , , rest]) => [name, rest])));
  show();
});
watch('value rows'.split(' '), show);
show();
