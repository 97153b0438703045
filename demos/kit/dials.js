// Named scales: a slider each. The value is a list of [name, scale]. With `rows`, a list of [name,
// note, thumbnail, scale], the sliders are given; without it every pair of the value is a row of its
// own that can be taken back. Names come from visitors: they are only ever set as text.
const box = element.querySelector('.dials');
const given = () => props.rows ?? (props.value ?? []).map(([name]) => [name, '', '']);
const scale = (name) => (props.value ?? []).find(([n]) => n === name)?.[1] ?? 0;
let dragged = null, drawn = '';

function row([name, note, thumbnail]) {
  const line = document.createElement('div'), label = document.createElement('label');
  const title = document.createElement('span'), range = document.createElement('input');
  const number = document.createElement('output'), small = document.createElement('small');
  line.className = 'row';
  title.textContent = name;
  small.textContent = note;
  Object.assign(range, { type: 'range', min: props.low, max: props.high, step: 0.05 });
  range.dataset.name = name;
  label.append(title, range, number);
  if (thumbnail) line.append(Object.assign(new Image(), { src: thumbnail, alt: '' }));
  line.append(label);
  if (note) line.append(small);
  if (!props.rows) {
    const button = document.createElement('button');
    Object.assign(button, { type: 'button', textContent: 'Take back' });
    button.setAttribute('aria-label', `Take back ${name}`);
    button.dataset.name = name;
    line.append(button);
  }
  return line;
}

// A list may come late: what was moved meanwhile stays, but for what is said to rest, and a row that
// is new starts at its scale.
function follow(rows) {
  const before = new Set([...box.querySelectorAll('input')].map((range) => range.dataset.name));
  const stays = (n) => rows.some(([name]) => name === n) && !props.rest?.includes(n);
  const kept = (props.value ?? []).filter(([n]) => stays(n));
  const added = rows.filter(([name, , , start]) => start && !before.has(name)
    && !kept.some(([n]) => n === name)).map(([name, , , start]) => [name, start]);
  props.value = [...kept, ...added];
}

function show() {
  const rows = given(), now = JSON.stringify(rows.map((row) => row.slice(0, 3)));
  if (now !== drawn) {
    if (props.rows) follow(rows);
    box.replaceChildren(...rows.map(row));
    box.classList.toggle('edits', !props.rows);
    drawn = now;
  }
  element.querySelector('.none').hidden = rows.length > 0;
  box.querySelectorAll('input').forEach((range) => {
    if (range === dragged) return;
    range.value = scale(range.dataset.name);
    write(range);
  });
}

function write(range) {
  const value = Number(range.value);
  range.style.setProperty('--range_progress',
    `${100 * (value - range.min) / (range.max - range.min)}%`);
  range.nextSibling.textContent = (value > 0 ? '+' : '') + value.toFixed(2);
  range.closest('.row').classList.toggle('used', value !== 0);
}

element.addEventListener('input', (event) => {
  event.stopPropagation();
  const range = event.target, { name } = range.dataset, value = Number(range.value);
  dragged = range;
  write(range);
  const pairs = (props.value ?? []).map(([n, v]) => [n, n === name ? value : v]);
  if (!pairs.some(([n]) => n === name)) pairs.push([name, value]);
  props.value = props.rows ? pairs.filter(([, v]) => v !== 0) : pairs;
  trigger('input');
});
element.addEventListener('change', (event) => { event.stopPropagation(); dragged = null; });
element.addEventListener('click', (event) => {
  const name = event.target.closest('button')?.dataset.name;
  if (name === undefined) return;
  props.value = props.value.filter(([n]) => n !== name);
  show();
  trigger('input');
});
// One string: Gradio takes every single quoted word here for the name of an event.
watch('value rows low high'.split(' '), show);
show();
