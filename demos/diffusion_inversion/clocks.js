// A clock: Python says how far it is, and whether it runs; between two messages it counts on.
const seconds = element.querySelector('.seconds'), calls = element.querySelector('.calls');
const pips = element.querySelector('.pips'), spoken = element.querySelector('.spoken');
let since = performance.now(), timer = null;

function tick() {
  if (!element.isConnected) { clearInterval(timer); return; }
  const { seconds: told = 0, running = false } = props.value ?? {};
  const now = told + (running ? (performance.now() - since) / 1000 : 0);
  seconds.textContent = now.toFixed(running || now >= 10 ? 1 : 2);
}

function show() {
  const { calls: made = 0, of = 1, running = false, words = '' } = props.value ?? {};
  since = performance.now();
  element.querySelector('.clock').classList.toggle('running', running);
  calls.textContent = `${made} ${made === 1 ? 'call' : 'calls'} of the U-Net`;
  pips.replaceChildren(...Array.from({ length: of }, (_, i) => {
    const pip = document.createElement('i');
    pip.className = i < made ? 'made' : '';
    return pip;
  }));
  spoken.textContent = words;
  clearInterval(timer);
  if (running) timer = setInterval(tick, 100);
  tick();
}
watch('value', show);
show();
