"""The README's snippet runs as it stands, with fewer steps."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

README = Path(__file__).parents[1] / "README.md"


def test_the_snippet_runs(tmp_path, monkeypatch, capsys) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert "steps=100" in snippet
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet.replace("steps=100", "steps=2"), "README.md", "exec"), {})
    assert Image.open(tmp_path / "turned.png").size == (128, 128)
    assert "psnr" in capsys.readouterr().out
