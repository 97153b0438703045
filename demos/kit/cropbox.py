"""A picture with a crop frame that can be dragged and resized by mouse, pen or finger.

The value is {x, y, w, h}: centre and size as fractions of the picture. The sliders beside it are
the keyboard's way to the same numbers.
"""

from __future__ import annotations

import gradio as gr

_TEMPLATE = """<div class="cropbox" role="img" aria-label="The target with its crop frame. Drag the
 frame, its corner, or anywhere outside it for a new one; the sliders do the same.">
${image ? `<img src="${image}" alt="">` : `<div class="empty">The target appears here</div>`}
${image ? `<div class="frame" style="left:${100 * (value.x - value.w / 2)}%;
top:${100 * (value.y - value.h / 2)}%;width:${100 * value.w}%;height:${100 * value.h}%">
<div class="grip"></div></div>` : ""}
</div>"""

_SCRIPT = """
const least = 0.05, clamp = (v, a, b) => Math.min(Math.max(v, a), b);
let drag = null;
const at = (e) => { const r = element.querySelector('.cropbox').getBoundingClientRect();
  const part = (v, from, size) => clamp((v - from) / size, 0, 1);
  return [part(e.clientX, r.left, r.width), part(e.clientY, r.top, r.height)]; };
const draw = (l, t, r, b) => { const s = element.querySelector('.frame').style;
  s.left = 100 * l + '%'; s.top = 100 * t + '%';
  s.width = 100 * (r - l) + '%'; s.height = 100 * (b - t) + '%'; drag.now = [l, t, r, b]; };
element.addEventListener('pointerdown', (e) => {
  if (!element.querySelector('.frame')) return;
  e.preventDefault();
  const v = props.value, p = at(e);
  drag = { p, box: [v.x - v.w / 2, v.y - v.h / 2, v.x + v.w / 2, v.y + v.h / 2], id: e.pointerId,
    kind: e.target.closest('.grip') ? 'grip' : e.target.closest('.frame') ? 'move' : 'new' };
  element.setPointerCapture(e.pointerId);
});
element.addEventListener('pointermove', (e) => {
  if (!drag) return;
  const [px, py] = at(e), [l, t, r, b] = drag.box;
  if (drag.kind === 'move') {
    const dx = clamp(px - drag.p[0], -l, 1 - r), dy = clamp(py - drag.p[1], -t, 1 - b);
    draw(l + dx, t + dy, r + dx, b + dy);
  } else if (drag.kind === 'grip') {
    draw(l, t, clamp(px, l + least, 1), clamp(py, t + least, 1));
  } else {
    const [ax, ay] = drag.p;
    draw(Math.min(ax, px), Math.min(ay, py), Math.max(ax, px), Math.max(ay, py));
  }
});
const end = () => {
  if (!drag) return;
  let now = drag.now; drag = null;
  if (!now) return;
  let [l, t, r, b] = now;
  const round = (v) => Math.round(v * 100) / 100;
  l = Math.min(l, 1 - least); t = Math.min(t, 1 - least);
  r = Math.max(r, l + least); b = Math.max(b, t + least);
  props.value = { x: round((l + r) / 2), y: round((t + b) / 2), w: round(r - l), h: round(b - t) };
  trigger('input');
};
element.addEventListener('pointerup', end);
element.addEventListener('pointercancel', end);
"""


def crop_box_input(x: float, y: float, w: float, h: float, image: str | None = None) -> gr.HTML:
    """The component; its `image` property is the picture as a data URI, empty for none."""
    return gr.HTML(
        {"x": x, "y": y, "w": w, "h": h}, html_template=_TEMPLATE, js_on_load=_SCRIPT,
        image=image or "", elem_id="crop-box",
    )  # fmt: skip
