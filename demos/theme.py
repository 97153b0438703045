"""How every page looks: a quiet museum label. Paper, ink, one accent, system fonts only."""

from __future__ import annotations

import gradio as gr

_SANS = [
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Helvetica Neue",
    "Liberation Sans",
    "sans-serif",
]
_MONO = ["ui-monospace", "SF Mono", "Cascadia Mono", "Liberation Mono", "monospace"]

_LIGHT = {
    "paper": "#f6f6f2", "surface": "#ffffff", "ink": "#1b1f1d", "muted": "#5c6460",
    "line": "#dcded7", "accent": "#0d6a57", "soft": "#e4efeb",
}  # fmt: skip
_DARK = {
    "paper": "#121514", "surface": "#191d1b", "ink": "#e8ebe6", "muted": "#9da69f",
    "line": "#2d3330", "accent": "#68c9af", "soft": "#1b2f2a",
}  # fmt: skip

_VIRIDIAN = gr.themes.Color(
    "#eef6f3", "#e4efeb", "#c5e0d7", "#9dcdbf", "#68c9af", "#2c8f79",
    "#0d6a57", "#0b5a4a", "#0a4a3e", "#083c33", "#062d26", name="viridian",
)  # fmt: skip

# Gradio's theme variables, each from one colour of ours (suffix _dark is added for the dark page).
_FILLS = {
    "body_background_fill": "paper", "body_text_color": "ink", "body_text_color_subdued": "muted",
    "background_fill_primary": "surface", "background_fill_secondary": "paper",
    "block_background_fill": "surface", "block_border_color": "line",
    "block_label_background_fill": "surface", "block_label_text_color": "muted",
    "block_title_text_color": "ink", "block_info_text_color": "muted",
    "border_color_primary": "line", "border_color_accent": "accent",
    "color_accent_soft": "soft", "input_background_fill": "surface", "input_border_color": "line",
    "input_border_color_focus": "accent", "slider_color": "accent",
    "button_primary_background_fill": "accent", "button_primary_background_fill_hover": "accent",
    "button_primary_text_color": "paper", "button_primary_border_color": "accent",
    "button_secondary_background_fill": "surface", "button_secondary_text_color": "ink",
    "button_secondary_background_fill_hover": "soft", "button_secondary_border_color": "line",
    "button_cancel_background_fill": "surface", "button_cancel_text_color": "ink",
    "button_cancel_background_fill_hover": "soft", "button_cancel_border_color": "line",
    "checkbox_background_color_selected": "accent", "checkbox_border_color_selected": "accent",
    "checkbox_label_background_fill": "surface", "link_text_color": "accent",
    "panel_background_fill": "surface", "table_even_background_fill": "surface",
    "table_odd_background_fill": "surface",
}  # fmt: skip


def theme() -> gr.themes.Base:
    """The theme: flat, hairlines instead of shadows."""
    base = gr.themes.Base(
        primary_hue=_VIRIDIAN,
        neutral_hue="stone",
        radius_size=gr.themes.sizes.radius_sm,
        spacing_size=gr.themes.sizes.spacing_lg,
        font=_SANS,
        font_mono=_MONO,
    )
    fills = {name: _LIGHT[colour] for name, colour in _FILLS.items()}
    fills |= {f"{name}_dark": _DARK[colour] for name, colour in _FILLS.items()}
    return base.set(
        **fills,
        block_shadow="none",
        button_border_width="1px",
        block_border_width="1px",
        block_label_text_size="*text_xs",
        button_primary_shadow="none",
        button_large_padding="11px 22px",
        button_large_text_weight="600",
        section_header_text_weight="600",
        layout_gap="18px",
    )


def _variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


CSS = (
    f"""
:root, .gradio-container {{ {_variables(_LIGHT)}
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "TeX Gyre Pagella", "Book Antiqua",
    Georgia, "Liberation Serif", serif;
  --mono: {", ".join(f'"{f}"' for f in _MONO[1:-1])}, monospace; }}
.dark, .dark .gradio-container {{ {_variables(_DARK)} }}
"""
    + """
.gradio-container { max-width: min(1200px, 100vw) !important; min-width: 0 !important;
  margin: 0 auto !important;
  padding: 8px 28px 64px !important; }
.gradio-container footer { opacity: .75; }
.nav-holder { border-bottom: 1px solid var(--line) !important; padding: 6px 0 !important;
  background: transparent !important; }
.nav-holder nav { justify-content: flex-start !important; gap: 22px !important; }
.nav-holder nav a { background: none !important; border: 0 !important; border-radius: 0 !important;
  padding: 6px 0 !important; font-size: 15px !important; color: var(--muted) !important; }
.nav-holder nav a.active { color: var(--ink) !important; font-weight: 600;
  box-shadow: 0 2px 0 var(--accent) !important; }

/* words */
.prose-page { color: var(--ink); }
.gradio-container .html-container { padding: 0 !important; }
.kicker { font: 600 12px/1.4 var(--mono); letter-spacing: .06em; color: var(--accent); margin: 0; }
.prose-page h1 { font: 400 clamp(32px, 4.6vw, 54px)/1.1 var(--serif); letter-spacing: -.01em;
  margin: 10px 0 18px; color: var(--ink); text-wrap: balance; }
.prose-page h2 { font: 400 27px/1.25 var(--serif); margin: 0 0 8px; color: var(--ink); }
.prose-page p { font-size: 17px; line-height: 1.62; max-width: 66ch; margin: 0 0 14px;
  color: var(--ink); text-wrap: pretty; }
.prose-page p.aside { font-size: 14.5px; color: var(--muted); }
.prose-page a { color: var(--accent); text-underline-offset: 3px; }
.equation { margin: 0 0 8px; padding: 2px 0 2px 20px; border-left: 2px solid var(--accent);
  overflow-x: auto; max-width: 100%; }
.equation math { font-size: 19px; color: var(--ink); display: block; margin-bottom: 2px; }
.equation math + math { padding-left: 3.1em; margin-top: 8px; }
.equation p { font-size: 14px; color: var(--muted); margin: 10px 0 0; }
.beside { display: grid; grid-template-columns: minmax(0, 1.1fr) minmax(0, 1fr); gap: 12px 48px;
  align-items: center; }
.said { font-size: 16px; line-height: 1.55; color: var(--ink); max-width: 68ch; margin: 0; }
.said + .said { margin-top: 6px; }
.said b { font-weight: 600; }
.said .quiet { color: var(--muted); }
.said.outside { border-left: 3px solid #c0792a; padding-left: 12px; }

/* tabs */
.tabs { margin-top: 18px; }
.tab-container { border-bottom: 1px solid var(--line); }
.tab-container button { font: 400 20px/1.2 var(--serif) !important; color: var(--muted) !important;
  padding: 10px 4px 12px !important; margin-right: 24px !important; background: none !important; }
.tab-container button.selected { color: var(--ink) !important; }
.tab-container button.selected::after { background: var(--accent) !important; height: 2px; }
.tabitem { padding: 18px 0 0 !important; border: 0 !important; }

/* figures */
/* labels stand above their pictures instead of on them, with the buttons in the same row */
.block:has(> label.float) { display: flex !important; flex-direction: column; }
.block > label.float { position: static !important; border: 0 !important; align-self: flex-start;
  background: none !important; padding: 9px 14px 7px !important; font-size: 13px !important;
  min-height: 34px; }
.block > label.float > span { display: none !important; }
.block:has(> label.float) > :is(.image-container, .gallery-container) { flex: 1 1 auto;
  min-height: 0; height: auto !important; position: static !important; }
.block:has(> label.float) .grid-wrap { position: static !important; padding-top: 0 !important; }
.block .grid-container.pt-6 { padding-top: 0 !important; }
.block .icon-button-wrapper.top-panel { border: 0 !important; background: none !important; }
.dark input[type=range] { --neutral-200: var(--line); }
.tight .min_value, .tight .max_value { display: none; }
.form:has(> .bare) { background: none !important; border: 0 !important; }
.block.bare { border: 0 !important; background: none !important; padding: 0 !important; }
.bare label { background: none !important; padding-left: 0 !important; border: 0 !important; }
.filled img { width: 100% !important; height: 100% !important; object-fit: contain; }
.empty.large { min-height: 96px !important; }
.numbers { border-collapse: collapse; width: 100%; font-size: 15px; color: var(--ink);
  border: 0 !important; margin: 0 !important; }
.numbers caption { text-align: left; font-size: 14px; color: var(--muted); padding-bottom: 8px; }
.numbers th { font-weight: 600; text-align: left; color: var(--muted); font-size: 13px; }
.numbers th, .numbers td { padding: 9px 16px 9px 0 !important; border: 0 !important;
  border-bottom: 1px solid var(--line) !important; }
.numbers td.number, .numbers th.number { font-family: var(--mono); text-align: right;
  font-variant-numeric: tabular-nums; font-size: 14px; }
.numbers tr.best td { background: var(--soft); }
.numbers tr.best td:first-child { box-shadow: inset 3px 0 0 var(--accent); }
.numbers td:first-child, .numbers th:first-child { padding-left: 12px !important; }
.scroll { overflow-x: auto; }
.curve { margin-top: 14px; }
.curve svg { width: 100%; height: 118px; display: block; overflow: visible; }
.curve path { fill: none; stroke: var(--accent); stroke-width: 1.75;
  vector-effect: non-scaling-stroke; }
.curve line { stroke: var(--line); vector-effect: non-scaling-stroke; }
.curve figcaption { font: 13px/1.5 var(--mono); color: var(--muted); display: flex;
  justify-content: space-between; }
.curve figure { margin: 0; }
.meter { height: 2px; background: var(--line); margin: 10px 0 4px; }
.meter i { display: block; height: 2px; background: var(--accent); }

/* the crop box */
.cropbox { position: relative; width: 100%; aspect-ratio: 1; user-select: none; touch-action: none;
  overflow: hidden; border-radius: 4px; background: var(--soft); cursor: crosshair; }
.cropbox img { width: 100%; height: 100%; display: block; pointer-events: none; margin: 0; }
.cropbox .frame { position: absolute; box-sizing: border-box; border: 2px solid #fff;
  outline: 1px solid rgba(0, 0, 0, .55); box-shadow: 0 0 0 2000px rgba(10, 14, 12, .5);
  cursor: move; }
.cropbox .grip { position: absolute; right: -2px; bottom: -2px; width: 22px; height: 22px;
  background: #fff; border: 1px solid rgba(0, 0, 0, .55); cursor: nwse-resize; }
.cropbox .empty { position: absolute; inset: 0; display: grid; place-items: center;
  color: var(--muted); font-size: 15px; text-align: center; padding: 16px; }

/* home */
.lead { display: grid; grid-template-columns: minmax(0, 1fr); gap: 8px; padding-top: 26px; }
.plate { margin: 18px 0 44px; padding: 26px 0; border-top: 1px solid var(--line);
  border-bottom: 1px solid var(--line); }
.plate svg { width: 100%; height: auto; display: block; max-height: 380px; }
.cards { display: grid; grid-template-columns: repeat(6, minmax(0, 1fr)); gap: 18px;
  margin-top: 20px; }
.card { grid-column: span 3; border: 1px solid var(--line); border-radius: 6px; padding: 22px 24px;
  background: var(--surface); display: flex; flex-direction: column; }
.card.open { grid-column: span 6; border-color: var(--accent); }
.card h3 { font: 400 22px/1.3 var(--serif); margin: 4px 0 8px; color: var(--ink); }
.card p { font-size: 15.5px; line-height: 1.55; margin: 0 0 10px; color: var(--ink); }
.card p.who { font-size: 13.5px; color: var(--muted); }
.card .state { margin-top: auto; font-size: 14px; color: var(--muted); }
.card a.go { align-self: flex-start; margin-top: 6px; padding: 11px 20px; border-radius: 4px;
  background: var(--accent); color: var(--paper); text-decoration: none; font-weight: 600; }
.card a.go:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }

@media (max-width: 760px) {
  .gradio-container { padding: 4px 14px 48px !important; }
  .beside { grid-template-columns: minmax(0, 1fr); }
  .card, .card.open { grid-column: span 6; padding: 18px; }
  .tab-container button { font-size: 17px !important; margin-right: 14px !important; }
  .prose-page p { font-size: 16px; }
  .equation { padding-left: 12px; }
  .equation math { font-size: 15px; }
  .numbers { font-size: 14px; }
  .numbers th, .numbers td { padding-right: 8px !important; }
}
@media (prefers-reduced-motion: reduce) {
  * { animation: none !important; transition: none !important; } }
"""
)

LAUNCH = {
    "theme": theme(),
    "css": CSS,
    "show_error": True,
    "ssr_mode": False,
    "max_file_size": "10mb",
    "run_history": False,  # it would keep visitors' pictures in their browser
}
