"""How every page looks: a quiet museum label. Paper, ink, one accent, system fonts only."""

from __future__ import annotations

from pathlib import Path

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


_MONO_STACK = ", ".join(f'"{font}"' for font in _MONO[1:-1])
CSS = f"""
:root, .gradio-container {{ {_variables(_LIGHT)}
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "TeX Gyre Pagella", "Book Antiqua",
    Georgia, "Liberation Serif", serif;
  --mono: ui-monospace, {_MONO_STACK}, monospace; }}
.dark, .dark .gradio-container {{ {_variables(_DARK)} }}
{Path(__file__).with_name("theme.css").read_text()}"""


# Outside what Gradio puts into the page, so that the rules reach what frames it.
HEAD = f"""<style>{Path(__file__).with_name("frame.css").read_text()}</style>
<script>{Path(__file__).with_name("page.js").read_text()}</script>"""

LAUNCH = {
    "head": HEAD,
    "theme": theme(),
    "css": CSS,
    "show_error": True,
    "ssr_mode": False,
    "max_file_size": "100mb",  # a picture is made smaller when it is opened (`imaging`)
    "mcp_server": True,  # the documented functions as tools of assistants
    "run_history": False,  # it would keep visitors' pictures in their browser
}
