// A prompt and its chips. The text decides which chips are lit: of each group the longest words that
// it says. A press writes into the text, which stays a list with commas.
const box = element.querySelector('textarea'), status = element.querySelector('.status');
const groups = [...element.querySelectorAll('fieldset')].map((f) => [...f.querySelectorAll('button')]);
const escaped = (words) => words.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const pattern = (words) => new RegExp(`(?<![\\w-])${escaped(words)}(?![\\w-])`, 'i');
const says = (text, chip) => pattern(chip.dataset.words).test(text);
const longest = (chips) => chips.reduce(
  (best, chip) => (chip.dataset.words.length > (best?.dataset.words.length ?? 0) ? chip : best), null);
const lit = (group, text) => longest(group.filter((chip) => says(text, chip)));

function tidy(text) { // no empty place between commas
  return text.split(',').map((item) => item.trim()).filter(Boolean).join(', ');
}

function pressed(text, chip, before) {
  const words = chip.dataset.words;
  if (before === chip) return tidy(text.replace(pattern(words), ''));
  if (before) return text.replace(pattern(before.dataset.words), words);
  return tidy(`${text.replace(/[.,;\s]+$/, '')}, ${words}`);
}

function light() {
  const text = box.value, over = text.length - props.most;
  groups.forEach((group) => {
    const one = lit(group, text);
    group.forEach((chip) => chip.setAttribute('aria-pressed', String(chip === one)));
  });
  status.textContent = over > 0 ? `${over} characters too many: ${props.most} are the most.` : '';
  box.setAttribute('aria-invalid', String(over > 0));
}

function write(text) {
  props.value = text;
  light();
  trigger('input');
}

function show() {
  if (box.value !== (props.value ?? '')) box.value = props.value ?? '';
  light();
}

element.addEventListener('input', (event) => { event.stopPropagation(); write(box.value); });
element.addEventListener('change', (event) => event.stopPropagation());
element.addEventListener('click', (event) => {
  const chip = event.target.closest('.chips button');
  if (!chip) return;
  const group = groups.find((chips) => chips.includes(chip));
  box.value = pressed(box.value, chip, lit(group, box.value));
  write(box.value);
});
watch('value', show);
show();
