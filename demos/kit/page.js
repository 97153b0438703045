// What every page does in the browser. `?embed=1` leaves the demo alone in its frame.
const asked = new URLSearchParams(location.search);
document.documentElement.classList.toggle('embed', ['1', 'true'].includes(asked.get('embed')));

// A number that is typed out of range reaches the page only once it is corrected, in words. What
// the page itself put there stays: an example's portrait is not among those to choose from.
const numbers = 'input[type=number][min][max]';
let typed = null;
const bounds = (field) => [field.min, field.max].map(Number);
const nearest = (field) => {
  const [low, high] = bounds(field);
  return Math.min(Math.max(Number(field.value), low), high);
};
const astray = (field) => field.matches?.(numbers) && field.min !== '' && field.max !== ''
  && field.value !== '' && Number(field.value) !== nearest(field);

function named(field) {
  const name = field.getAttribute('aria-label')?.replace('number input for ', '');
  return name ?? field.closest('label')?.querySelector('span')?.textContent.trim() ?? 'This';
}

function say(field, words) {
  const place = field.closest('.block');
  document.querySelectorAll('.corrected').forEach((line) => line.remove());
  if (!words) return;
  const line = Object.assign(document.createElement('p'), { className: 'corrected' });
  line.setAttribute('role', 'status');
  line.textContent = words;
  place.append(line);
}

function correct(field) {
  const typed = field.value, [low, high] = bounds(field), kept = nearest(field);
  field.value = kept;
  field.dispatchEvent(new Event('input', { bubbles: true }));
  say(field, `${named(field)} goes from ${low} to ${high}: ${kept} is used in place of ${typed}.`);
}

document.addEventListener('input', (event) => {
  typed = event.target;
  if (astray(event.target)) event.stopImmediatePropagation();
  else if (event.isTrusted && event.target.matches?.(numbers)) say(event.target, '');
}, true);
for (const kind of ['blur', 'change', 'keydown']) {
  document.addEventListener(kind, (event) => {
    if (event.target !== typed || kind === 'keydown' && event.key !== 'Enter') return;
    if (astray(typed)) correct(typed);
    if (kind === 'blur') typed = null;
  }, true);
}

// The icon below a picture opens the files at once, not only the place where they are dropped.
document.addEventListener('click', (event) => {
  const icon = event.target.closest?.('.source-selection [aria-label="Upload file"]');
  if (icon) setTimeout(() => icon.closest('.block').querySelector('input[type=file]')?.click());
});

// The link to the citation unfolds it.
document.addEventListener('click', (event) => {
  const link = event.target.closest?.('a[href="#cite"]');
  const head = link && document.querySelector('#cite > button:not(.open)');
  head?.click();
});
