"""Domains: what each page needs, lacks and costs, and the shipped list in whole."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import httpx
import pytest

import weights
from tests.test_weights import Tiny, refused
from tests.weights.conftest import SOURCE
from weights import lockfile
from weights import manifest as manifests
from weights.__main__ import main

ROOT = Path(__file__).parent.parent.parent
PHOTOS = ("ffhq", "lsun-car", "lsun-cat", "lsun-horse", "lsun-church", "afhq-cat", "metfaces")
DOMAIN = """
[photo]
title = "Photographs"
pixels = [64, 48]
[photo.needs]
mixing = ["net"]
editing = ["net", "shared/other", "branch"]
"""


@pytest.fixture
def manifest(cache, listed) -> Path:
    """Domain photo: a network to download, a shared one of unknown size, and one to train."""
    path = listed(sha256="", bytes=0)
    path.write_text(DOMAIN + path.read_text())
    listed("shared/other", bytes=0, licence="BSD")
    listed(
        "photo/branch", state="recipe", file="branch.safetensors", converter=None, url=None,
        recipe="python -m branch", sha256="", bytes=0,
    )  # fmt: skip
    return path


def test_a_domain_says_what_it_lacks(manifest, cache, converters, tmp_path) -> None:
    (photo,) = weights.domains(manifest)
    assert (photo.title, photo.pixels, photo.licences) == ("Photographs", (64, 48), ("MIT", "BSD"))
    assert not photo.ready and (photo.download, photo.unknown_sizes) == (0, 2)
    mixing, editing = photo.pages
    assert [m.reason for m in mixing.missing] == [weights.UNTRUSTED]
    assert "fetch photo/net --trust" in mixing.missing[0].cure
    assert [m.name for m in editing.missing] == ["photo/net", "shared/other", "photo/branch"]
    assert photo.recipes == ("python -m branch",) and len(photo.missing) == 3

    place = cache / "sources" / "photo" / "net" / "net.pt"
    place.parent.mkdir(parents=True)
    place.write_bytes(SOURCE)
    assert main(["--manifest", str(manifest), "pin", "photo/net"]) == 0
    (photo,) = weights.domains(manifest)
    assert photo.ready and photo.pages[0].ready and not photo.pages[1].ready
    place.write_bytes(SOURCE[1:])
    assert [m.reason for m in weights.domains(manifest)[0].pages[0].missing] == ["damaged"]


def test_download_counts_known_sizes(manifest) -> None:
    text = manifest.read_text().replace("bytes = 0", "bytes = 500", 1)
    manifest.write_text(text)
    (photo,) = weights.domains(manifest)
    assert (photo.download, photo.unknown_sizes) == (500, 1)


@pytest.fixture
def extras(manifest, listed) -> Path:
    """The same with three extras for mixing: one to download, one unpinned, one to train."""
    listed("photo/more", sha256="1" * 64, bytes=70, licence="BSD")
    text = manifest.read_text()
    lists = '[photo.extras]\nmixing = ["more", "shared/other", "branch"]\n'
    manifest.write_text(text.replace("# a comment", f"{lists}# a comment", 1))
    return manifest


def test_extras_are_listed_and_not_needed(extras, cache, capsys) -> None:
    (photo,) = weights.domains(extras)
    mixing, editing = photo.pages
    assert mixing.extras == ("photo/more", "shared/other", "photo/branch") and not editing.extras
    assert [lack.name for lack in mixing.without] == list(mixing.extras)
    assert mixing.licences == ("MIT", "BSD") and photo.page("mixing") is mixing
    assert not mixing.within_reach and photo.page("mixin") is None
    assert [lack.name for lack in mixing.coming] == ["photo/more", "shared/other"]
    assert photo.download == 70 and photo.missing[0].name == "photo/net"

    place = cache / "sources" / "photo" / "net" / "net.pt"
    place.parent.mkdir(parents=True)
    place.write_bytes(SOURCE)
    assert main(["--manifest", str(extras), "pin", "photo/net"]) == 0
    mixing = weights.domains(extras)[0].page("mixing")
    assert mixing.ready and mixing.within_reach and len(mixing.without) == 3
    capsys.readouterr()
    main(["--manifest", str(extras), "domains"])
    assert "runs now, without photo/more, shared/other" in capsys.readouterr().out


def test_a_missing_extra_does_not_fail_a_fetch(extras, cache, converters, capsys, https) -> None:
    place = cache / "sources" / "photo" / "net" / "net.pt"
    place.parent.mkdir(parents=True)
    place.write_bytes(SOURCE)
    assert main(["--manifest", str(extras), "pin", "photo/net"]) == 0
    https(lambda request: httpx.Response(404))
    ask = ["--manifest", str(extras), "fetch", "photo"]
    assert main([*ask, "--paper", "mixing"]) == 0
    said = capsys.readouterr().err
    assert [line.partition(":")[0] for line in said.splitlines()] == ["photo/more", "photo/branch"]
    assert main([*ask, "--paper", "editing"]) == 1
    assert main(["--manifest", str(extras), "fetch", "photo/more"]) == 1


def test_what_can_be_fetched_is_within_reach(manifest) -> None:
    text = manifest.read_text().replace('sha256 = ""\nbytes = 0', f'sha256 = "{"2" * 64}"', 1)
    manifest.write_text(text)
    mixing, editing = weights.domains(manifest)[0].pages
    assert mixing.within_reach and not mixing.ready and mixing.missing[0].fetchable
    assert not editing.within_reach


def test_what_somebody_vouches_for_is_within_reach(manifest, cache) -> None:
    """The Hub does for its own files, and for a publisher's address who runs the program may."""
    assert not weights.domains(manifest)[0].page("mixing").within_reach
    mixing, editing = weights.domains(manifest, trust=True)[0].pages
    assert mixing.within_reach and not editing.within_reach, "a branch is to be trained"
    text = manifest.read_text()
    manifest.write_text(text.replace('url = "https://example.org/net.pt"', 'repo = "a/nets"', 1))
    mixing = weights.domains(manifest)[0].page("mixing")
    assert mixing.within_reach and mixing.missing[0].reason == "not downloaded"
    assert mixing.missing[0].cure == "Fetch it: a/nets net.pt."
    row = manifests.read(manifest)["photo/net"]
    lockfile.keep(row, "2" * 64, 500, "hub", "c" * 40)
    (photo,) = weights.domains(manifest)
    assert (photo.download, photo.unknown_sizes) == (500, 1)
    lockfile.place().write_text("[]")
    assert weights.domains(manifest)[0].missing[0].reason == "lock file damaged"
    assert not weights.domains(manifest)[0].page("mixing").within_reach


def test_fetch_takes_what_the_pages_need(manifest, cache, capsys) -> None:
    ask = ["--manifest", str(manifest), "fetch", "photo"]
    assert main(ask) == 1
    said = capsys.readouterr().err
    assert [line.partition(":")[0] for line in said.splitlines()] == [
        "photo/net", "shared/other", "photo/branch",
    ]  # fmt: skip
    assert main([*ask, "--paper", "mixing"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main([*ask, "--paper", "mixin"]) == 1
    assert "mixing or editing" in capsys.readouterr().err
    assert main(["--manifest", str(manifest), "fetch", "shared"]) == 1
    assert capsys.readouterr().err.startswith("shared/other")


def test_domains_command(manifest, capsys) -> None:
    assert main(["--manifest", str(manifest), "domains"]) == 0
    first, mixing, editing = capsys.readouterr().out.splitlines()
    assert first == "photo: Photographs, 64 x 48, 2 files of unknown size to download"
    assert mixing == "  mixing: lacks photo/net (not trusted yet)"
    assert "photo/branch (not trained yet: python -m branch)" in editing


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('["net"]', '["nets"]', "photo/nets"),
        ("[64, 48]", "[64]", "pixels"),
        ('title = "Photographs"\n', "", "a title, pixels and needs"),
        ('title = "Photographs"', "title = 3", "another type"),
        ("[photo.needs]", '[photo.extras]\nmix = ["net"]\n[photo.needs]', "got \\['mix'\\]"),
        ("[photo.needs]", '[photo.extras]\nmixing = ["nets"]\n[photo.needs]', "photo/nets"),
    ],
)
def test_malformed_domains_are_named(manifest, old, new, said) -> None:
    manifest.write_text(manifest.read_text().replace(old, new, 1))
    with refused("'photo'", said):
        weights.domains(manifest)


def test_the_domains_that_ship(cache) -> None:
    found = {domain.name: domain for domain in weights.domains()}
    assert {"clay-heads", *PHOTOS} <= set(found)
    assert found["clay-heads"].pages[0].ready, "the first page must run offline"
    assert found["ffhq"].pixels == (1024, 1024) and found["lsun-car"].pixels == (512, 384)
    assert found["ffhq"].download > 1e9 and "NVIDIA-NC" in found["ffhq"].licences
    for name in PHOTOS:
        assert not found[name].ready and all(lack.cure for lack in found[name].missing)


def test_the_readme_says_where_downloads_are_enough(cache) -> None:
    def reached(trust: bool) -> set[tuple[str, str]]:
        pages = [(d.name, page) for d in weights.domains(trust=trust) for page in d.pages]
        return {(n, page.paper) for n, page in pages if n != "clay-heads" and page.within_reach}

    names = [f"`{name}`" for name, _ in sorted(reached(True))]
    assert not reached(False) and {paper for _, paper in reached(True)} == {"sam_inversion"}
    told = f"downloads are enough for SAM inversion in {', '.join(names[:-1])} and {names[-1]}; all"
    assert told in " ".join((ROOT / "weights" / "README.md").read_text().split())


def test_every_recipe_that_ships_exists() -> None:
    recipes = {row.recipe for row in manifests.read().values() if row.recipe}
    assert recipes
    for recipe in recipes:
        assert recipe.startswith("python -m pipelines.training.")
        assert (ROOT / (recipe.split()[2].replace(".", "/") + ".py")).is_file(), recipe


def test_every_converter_that_ships_is_known() -> None:
    from weights.convert import CONVERTERS

    used = {row.converter for row in manifests.read().values() if row.converter}
    assert used == set(CONVERTERS), "a converter without a file, or a file without a converter"
    for name in CONVERTERS:
        module = CONVERTERS[name].partition(":")[0]
        assert importlib.util.find_spec(f"weights.convert.{module}"), name


def test_table_has_a_line_a_weight(manifest, cache, capsys) -> None:
    assert main(["--manifest", str(manifest)]) == 0
    heading, net, other, branch = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["component", "domain", "state"]
    assert net.endswith("no: not trusted yet") and other.endswith("no: not downloaded")
    assert branch.endswith("no: not trained yet") and "python -m branch" in branch
    card = dict.fromkeys(("recipe", "seeds", "minutes", "device", "held_out"), "none")
    weights.save(Tiny(2), cache / "trained" / "branch.safetensors", card)
    assert main(["--manifest", str(manifest), "pin", "photo/branch"]) == 0
    main(["--manifest", str(manifest)])
    assert capsys.readouterr().out.splitlines()[-1].endswith("yes     yes: cached")
