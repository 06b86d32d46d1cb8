# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of ``lguest-py watch --html`` in a real browser: keys, fingers, a phone, dark, a screen reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser
from watch_lab import both

from lguest_py.watch.page import page

OF = "\N{RIGHT SINGLE QUOTATION MARK}s"
HERE = "document.getElementById('count').textContent"
CODE = "document.getElementById('code').textContent"
VIEW = "document.querySelector('#views [aria-pressed=true]').textContent"
WIDE, PHONE = (1600, 1000), (390, 844)
PARTS = (
    "#code, #note, #did, #whytext, #where, .own, .regs span, td, .hot, .rings .here, #list button, h1, #summary, "
    ".mapped .s"
)
CONTRAST = """
(() => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((n) => n / 255)
      .map((n) => (n <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4));
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (!/^rgba\\(0, 0, 0, 0\\)|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  for (const node of document.querySelectorAll(SELECTOR)) {
    if (!node.textContent.trim() || !node.offsetParent || node.closest(".below")) continue;
    const [one, other] = [light(getComputedStyle(node).color), light(behind(node))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) found.push([node.className || node.id, node.textContent.slice(0, 20), ratio]);
  }
  return found;
})()
""".replace("SELECTOR", repr(PARTS))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "switch.html"
    path.write_text(page(both()))
    return path


@pytest.fixture(scope="module")
def shown() -> Iterator[Browser]:
    with browser() as made:
        yield made


@pytest.fixture
def page_at(shown: Browser, file: Path, request: pytest.FixtureRequest) -> Iterator[Browser]:
    """The browser with the page; each test has its own address, so that nothing is left of the one before."""
    shown.problems.clear()
    shown.screen(*WIDE)
    shown.open(file.as_uri() + f"?{request.node.name.replace('[', '-').replace(']', '')}")
    yield shown
    assert not shown.problems


def test_keys_go_forward_and_back(page_at: Browser) -> None:
    rows = int(page_at.run(HERE).split()[-1])
    assert page_at.run(HERE) == f"1 of {rows}"
    assert page_at.run(CODE) == "int $0x1F"
    for key, here in (
        ("ArrowRight", 2), (" ", 3), ("ArrowLeft", 2), ("End", rows), ("ArrowRight", rows), ("Home", 1),
        ("ArrowLeft", 1),
    ):  # fmt: skip
        page_at.key(key)
        assert page_at.run(HERE) == f"{here} of {rows}", key
    page_at.key("PageDown")
    assert page_at.run("document.querySelector('#timeline [aria-current]').textContent") == "Guest → Host"
    page_at.key("w")
    assert page_at.run("document.getElementById('why').open") is False
    page_at.key("?")
    assert page_at.run("document.getElementById('keys').open") is True
    page_at.run("document.getElementById('keys').close()")
    for name in ("classic", "lean", "beside each other"):
        page_at.key("b")
        assert page_at.run(VIEW) == name


def test_each_step_shows_what_was_recorded(page_at: Browser) -> None:
    """Of every step: its line and comment, its why, ring, tables and stack, in the page as in the record."""
    record = both()[1]
    told = page_at.run(
        """[...document.querySelectorAll('#views button')].at(-1).click();
        [...document.querySelectorAll('#list button')].map((button) => {
          button.click();
          const cells = (row) => [...row.cells].map((each) => each.textContent);
          const rows = [...document.querySelector('table.stack').rows].map(cells);
          return {code: code.textContent, note: note.textContent, why: whytext.textContent, here: count.textContent,
            own: [...document.querySelectorAll('.own')].slice(0, 4).map((e) => e.textContent), stack: rows,
            place: document.querySelector('.rings .here').textContent};
        })"""
    )
    assert len(told) == len(record.steps)
    for number, (step, shown) in enumerate(zip(record.steps, told, strict=True), 1):
        assert shown["here"] == f"{number} of {len(told)}"
        assert (shown["code"], shown["note"], shown["why"]) == (step.code, step.note, step.why)
        assert shown["own"] == [each if each == "both" else each + OF for each in step.owners.values()]
        assert f"ring {step.ring}" in shown["place"]
        words = [row[:3] for row in shown["stack"] if row[2]]
        assert words == [[f"{w.address:08x}", w.label or "·", f"{w.value:08x}"] for w in step.stack.words]


def test_a_finger_goes_forward_and_back(page_at: Browser, file: Path) -> None:
    page_at.screen(*PHONE, touch=True)
    page_at.open(file.as_uri() + "?finger")
    page_at.swipe((300, 400), (90, 410))
    assert page_at.run(HERE).startswith("2 of")
    page_at.swipe((90, 400), (300, 410))
    assert page_at.run(HERE).startswith("1 of")
    page_at.swipe((200, 300), (210, 600))  # scrolls
    assert page_at.run(HERE).startswith("1 of")
    page_at.run("document.getElementById('next').click()")
    assert page_at.run(HERE).startswith("2 of")


@pytest.mark.parametrize("size", [WIDE, PHONE, pytest.param((820, 600), marks=pytest.mark.nightly)], ids=str)
def test_all_can_be_read(page_at: Browser, file: Path, size: tuple[int, int], tmp_path: Path) -> None:
    small = "[...document.querySelectorAll('footer button')].filter((e) => e.offsetHeight < 44 || e.offsetWidth < 40)"
    for view in ("beside", "classic"):
        page_at.screen(*size, touch=size == PHONE)
        page_at.open(file.as_uri() + f"?{size[0]}{view}#{view}-20")
        assert page_at.run(HERE).startswith("20 of")
        assert page_at.run("document.documentElement.scrollWidth") <= size[0]
        assert page_at.run(f"{small}.length") == 0
        for dark in (False, True):
            page_at.screen(*size, dark=dark, touch=size == PHONE)
            page_at.run("document.getAnimations().forEach((each) => each.finish())")
            assert page_at.run(CONTRAST) == []
            paper = page_at.run("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", paper))) < 200) == dark
    page_at.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000


def test_a_screen_reader_is_told_of_each_step(page_at: Browser) -> None:
    page_at.key("ArrowRight")
    live = page_at.run("document.getElementById('live').textContent")
    assert live.startswith("Step 2 of")
    assert "the CPU takes vector 0x1f" in live
    assert "Ring 0." in live
    assert page_at.run("document.getElementById('live').getAttribute('aria-live')") == "polite"
    names = page_at.names()
    for wanted in (("button", "Forward ▶"), ("navigation", "Phases"), ("heading", both()[0].cause), ("main", "")):
        role, name = wanted
        assert any(role == each and name.rstrip(" ▶") in told for each, told in names), (wanted, names[:40])
    assert not [role for role, name in names if role == "button" and not name]
    assert page_at.run("document.querySelectorAll('#list [tabindex=\"0\"]').length") == 1


def test_it_asks_for_nothing(page_at: Browser, file: Path) -> None:
    page_at.key("End")
    assert {each.partition("?")[0] for each in page_at.requests} == {file.as_uri()}
    assert not re.findall(r'(?:src|href)="(?!#)', file.read_text())


def test_without_javascript_the_text_is_there(page_at: Browser, file: Path) -> None:
    page_at.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page_at.screen(*PHONE, touch=True)
        page_at.open(file.as_uri() + "?noscript")
        names = page_at.names()
    finally:
        page_at.ask("Emulation.setScriptExecutionDisabled", value=False)
    assert any("All of it as text" in name for _, name in names)
    text = file.read_text()
    assert "1  ring 1  GGGG  int $0x1F" in text
    assert "1  ring 1  GBBB  int $0x1F" in text


def test_what_a_guest_says_is_text_only(shown: Browser, tmp_path: Path) -> None:
    from dataclasses import replace

    evil = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">@DATA@"
    record = both()[1]
    steps = (replace(record.steps[0], code=evil, why=evil), *record.steps[1:])
    path = tmp_path / "evil.html"
    path.write_text(page([replace(record, cause=evil, image=evil, steps=steps)]))
    shown.open(path.as_uri())
    assert shown.run(CODE) == evil
    assert shown.run("document.title").startswith("</script>")
    assert shown.run("document.images.length") == 0
    assert not shown.problems
