# SPDX-License-Identifier: GPL-2.0-or-later
"""The documentation as HTML (tools/documentation.py): built as a user does, its links, its look on screen and phone.

Read before: test_book_order.py.  Read next: tests/lab/watching/browser.py.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import documentation
import pytest
from book import links
from book.highlight import highlight
from book.markdown_page import Markdown
from book.prose import html as prose
from book.site import markdown
from browser import Browser, browser

ROOT = Path(__file__).resolve().parents[2]
TREE = ("docs", "examples", "guest_kernel", "host_kernel", "labs", "lguest_py", "results", "switcher", "tools")
NOT_SOURCES = shutil.ignore_patterns("__pycache__", "_images", "*.so", "_kvm.c", "_layouts.py", "offsets.h")


@pytest.fixture(scope="module")
def pages() -> dict[str, bytes]:
    return documentation.pages()


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources in a folder with a space in its name, which cannot be written to."""
    root = tmp_path_factory.mktemp("with a") / "a space, ü"
    for name in TREE:
        shutil.copytree(ROOT / name, root / name, ignore=NOT_SOURCES)
    for page in (*ROOT.glob("*.md"), ROOT / "LICENSE", ROOT / "pyproject.toml"):
        shutil.copy(page, root)
    shutil.copytree(ROOT / "tests", root / "tests", ignore=NOT_SOURCES)
    return root


def run(root: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONHASHSEED": "7", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, root / "tools/documentation.py", *arguments]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_every_page_is_there(pages: dict[str, bytes]) -> None:
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        name = page.relative_to(ROOT).with_suffix(".html").as_posix()
        assert ("index.html" if name == "README.html" else name) in pages
    text = pages["book.html"].decode()
    for words in ("<h2", "switcher/switcher.S", "sanitize_frame", "docs/tour.html", 'id="left-out"', "life of a page"):
        assert words in text
    assert not re.search(r"<(?:script|img|link)[^>]* (?:src|href)=\"(?!data:)", text), "the book needs other files"


def test_each_line_of_the_book_leads_to_that_line(pages: dict[str, bytes]) -> None:
    text = pages["book.html"].decode()
    found = re.findall(r'<a class="n" href="([^"#]+)\.html#L(\d+)"[^>]*>(\d+)</a>([^\n]*)', text)
    assert len(found) > 10000
    paths = {each[0] for each in found[:2000]}
    lines = {path: highlight(Path(path).suffix, (ROOT / path).read_text()) for path in paths}
    for path, number, shown, line in found[:2000]:
        assert number == shown
        assert line.removesuffix("</code></pre></div>") == lines[path][int(number) - 1]


def test_the_same_sources_give_the_same_bytes_anywhere(pages: dict[str, bytes], copied: Path, tmp_path: Path) -> None:
    for path in copied.rglob("*"):
        if path.is_dir():
            path.chmod(0o555)
    done = run(copied, "--to", tmp_path / "out put")
    for path in copied.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'out put' / 'book.html'}\n"
    written = {path.relative_to(tmp_path / "out put").as_posix(): path for path in (tmp_path / "out put").rglob("*")}
    files = {name for name, path in written.items() if path.is_file()}
    assert files == {*pages, documentation.MARK}
    assert not [name for name in pages if written[name].read_bytes() != pages[name]]
    with documentation.replacing(tmp_path / "out put") as new:
        documentation.write({"new.html": b"new"}, new)
    assert sorted(path.name for path in (tmp_path / "out put").iterdir()) == [documentation.MARK, "new.html"]


def test_a_base_leads_to_a_repository(copied: Path) -> None:
    text = documentation.pages(copied, "https://example.org/blob/main/")["book.html"].decode()
    assert 'href="https://example.org/blob/main/switcher/switcher.S#L' in text
    assert ".S.html" not in text
    page = copied / "docs/tour.md"
    before = page.read_text()
    page.write_text(before + "\n[nowhere](none.md)\n")
    with pytest.raises(documentation.DocumentationError, match=r"^docs/tour.html: ../docs/none.html leads nowhere$"):
        documentation.pages(copied, "https://example.org")
    page.write_text(before)


@pytest.mark.parametrize("way", ["a pointer", "a file in the way", "others' files", "no such folder"])
def test_what_is_wrong_is_told_in_lines_and_nothing_is_written(way: str, copied: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    changed, told = {
        "a pointer": ("switcher/lean.S", "switcher/lean.S: the next in the book, none.h, does not exist"),
        "a file in the way": ("", f"{out}: it is not a folder; give another one with --to"),
        "others' files": ("", f"{out}: it has other files in it"),
        "no such folder": ("", "tools/documentation.py: /proc/none/out: No such file or directory"),
    }[way]
    before = (copied / changed).read_text() if changed else ""
    if way == "a pointer":
        (copied / changed).write_text(before.replace("Next in the book: reflect.h.", "Next in the book: none.h."))
    elif way == "a file in the way":
        out.write_text("mine")
    elif way == "others' files":
        out.mkdir()
        (out / "mine").touch()
    else:
        out = Path("/proc/none/out")
    try:
        done = run(copied, "--to", out)
    finally:
        if changed:
            (copied / changed).write_text(before)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert all(line.startswith("tools/documentation.py: ") for line in done.stderr.splitlines())
    assert "Traceback" not in done.stderr
    left = ["out"] if way in ("a file in the way", "others' files") else []
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_a_disk_that_is_full_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(made: dict[str, bytes], folder: Path) -> None:
        (folder / "first").touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(documentation, "pages", lambda root, base: {})
    monkeypatch.setattr(documentation, "write", full)
    assert documentation.main(["--to", str(tmp_path / "out")]) == 1
    told = f"tools/documentation.py: {tmp_path / 'out'}: No space left on device; --to DIR names another folder\n"
    assert capsys.readouterr() == ("", told)
    assert list(tmp_path.iterdir()) == []


def test_nobody_need_read_what_it_says(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = "import documentation; documentation.pages = lambda root, base: {}; documentation.main(['--to', 'out'])"
    words = [sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tools")}
    done = subprocess.run(words, env=environment, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "out").is_dir()


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with documentation.replacing(Path(os.path.realpath(tmp_path / "link"))) as new:
        documentation.write({"a.html": b"a"}, new)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real/a.html").read_bytes() == b"a"


def test_wrong_use_and_a_missing_package_are_one_line(tmp_path: Path) -> None:
    done = run(ROOT, "--base", 'x"onclick="y')
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("give the address of a web page, https://HOST/PATH")
    (tmp_path / "markdown_it.py").write_text("raise ModuleNotFoundError(name='markdown_it')")
    words = [sys.executable, str(ROOT / "tools/documentation.py"), "--to", str(tmp_path / "out")]
    missing = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert missing.returncode == 1
    assert missing.stderr == (
        "tools/documentation.py: it needs the Python package markdown_it: pip install markdown-it-py pygments\n"
    )


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ('<a href="none.html">', "a.html: none.html leads nowhere"),
        ('<a href="b.html#none">', "a.html: b.html#none leads to no place in b.html"),
        ('<a href="#none">', "a.html: #none leads to no place in a.html"),
        ('<a href="../b.html">', "a.html: ../b.html leads nowhere"),
        ('<img src="https://example.org/a.png">', "a.html: it loads https://example.org/a.png"),
        ('<script src="//example.org/a.js">', "a.html: it loads //example.org/a.js"),
        ('<link href="https://example.org/a.css">', "a.html: it loads https://example.org/a.css"),
        ('<style>a { background: url("https://example.org") }</style>', 'a.html: it loads url("https://example.org")'),
        ('<p id="x"><p id="x">', "a.html: the anchor 'x' is there twice"),
    ],
)
def test_a_wrong_link_is_found(page: str, told: str) -> None:
    site = {"a.html": page.encode(), "b.html": b'<p id="here">'}
    assert list(links.problems(site)) == [told]
    assert not list(links.problems({**site, "a.html": b'<a href="b.html#here"><a href="https://example.org">'}))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("One\nline & <more>.", "<p>One line &amp; &lt;more&gt;.</p>"),
        ("Two:\n- one\n  more\n- b_c", "<p>Two:</p>\n<ul><li>one more</li><li><code>b_c</code></li></ul>"),
        ("A:\n\n    a  b\n\n    c\n\nB", '<p>A:</p>\n<pre class="figure">a  b\n\nc</pre>\n<p>B</p>'),
        ("u32 call(void);\n\nIt calls.", '<p class="signature"><code>u32 call(void);</code></p>\n<p>It calls.</p>'),
        ("void f(u32 *at): it is so", '<p class="signature"><code>void f(u32 *at)</code>: it is so</p>'),
        ("A stack:\n\tss  esp\n\tcs", '<p>A stack:</p>\n<pre class="figure">ss  esp\ncs</pre>'),
        ("In run.c, `a  b` ``c``", '<p>In <a href="#run"><code>run.c</code></a>, <code>a b</code> <code>c</code></p>'),
        ("With call() and --option, e.g. 4.3", "<p>With <code>call()</code> and <code>--option</code>, e.g. 4.3</p>"),
        ("The page(s) of STATE(x)", "<p>The page(s) of <code>STATE(x)</code></p>"),
    ],
)  # fmt: skip
def test_a_comment_as_text(text: str, shown: str) -> None:
    assert prose(text, {"run.c": "#run"}.get) == shown


def test_every_markdown_page_of_a_tree_is_taken(tmp_path: Path) -> None:
    for name in ("README.md", "B.md", "docs/a.md", "labs/01/README.md", "build/x.md", ".venv/x.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(markdown(tmp_path)) == ["README.md", "docs/a.md", "B.md", "labs/01/README.md"]


def test_a_page_of_markdown() -> None:
    text = "<!-- licence -->\n# It & they\n\n[a](b.md) ![c](d.svg)\n\n## Twice\n\n## Twice\n\n```sh\necho <a>\n```\n"
    page = Markdown(text)
    assert page.title == "It & they"
    assert page.point(lambda link: (f"to-{link}", link if "svg" in link else None)) == {"d.svg"}
    text = page.html()
    for words in ('<h1 id="it--they">', '<h2 id="twice">', '<h2 id="twice-1">', 'href="to-b.md"', 'src="to-d.svg"'):
        assert words in text
    assert "echo &lt;a&gt;" in text
    assert "licence" not in text


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_each_colour_can_be_read(scheme: int) -> None:
    """Source: WCAG 2.2, 1.4.3: a contrast of 4.5."""
    style = (ROOT / "tools/book/style.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.S)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", blocks[scheme]))
    assert {"ink", "faint", "link", "c", "k", "s", "m", "p", "f"} <= set(colours)
    for ground in ("paper", "code", "mark"):
        for name in set(colours) - {"paper", "code", "mark", "line"}:
            high, low = sorted((_luminance(colours[name]), _luminance(colours[ground])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, f"{name} on {ground}"


@pytest.fixture(scope="module")
def screen(pages: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, str]]:
    folder = tmp_path_factory.mktemp("pages") / "site"
    with documentation.replacing(folder) as new:
        documentation.write(pages, new)
    with browser() as shown:
        yield shown, folder.as_uri()


@pytest.mark.parametrize("page", ["book.html", "index.html", "docs/devices.html", "switcher/switcher.S.html"])
@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)], ids=["wide", "phone"])
def test_a_page_in_a_browser(screen: tuple[Browser, str], page: str, width: int, dark: bool) -> None:
    shown, site = screen
    shown.problems.clear()
    shown.requests.clear()
    shown.screen(width, 1000, dark=dark)
    shown.open(f"{site}/{page}")
    assert shown.run("document.documentElement.scrollWidth") <= width
    paper = "rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)"
    assert shown.run("getComputedStyle(document.body).backgroundColor") == paper
    assert shown.run("document.querySelectorAll('h1').length") == 1
    assert shown.problems == []
    assert [address for address in shown.requests if not address.startswith(("file:", "data:", "about:"))] == []


def test_the_contents_follow_the_reader_and_keys_reach_the_text(screen: tuple[Browser, str]) -> None:
    shown, site = screen
    shown.problems.clear()
    shown.screen(1440, 1000)
    shown.open(f"{site}/book.html#host_kernel/core/run.c")
    shown.run("now = () => document.querySelector('nav [aria-current]')?.hash")
    shown.run("new Promise(done => { const look = () => now() ? done() : setTimeout(look, 50); look() })")
    assert shown.run("now()") == "#host_kernel/core/run.c"
    assert shown.run("document.querySelector('nav details[open] summary').innerText") == "5. The Host"
    shown.run("location.hash = '#left-out'")
    shown.run("new Promise(done => { const look = () => now() == '#left-out' ? done() : setTimeout(look, 9); look() })")
    assert shown.run("document.querySelectorAll('nav details[open]').length") == 0
    assert shown.problems == []
    shown.key("Tab")
    assert shown.run("document.activeElement.innerText")
    assert shown.run("[...document.links].filter(a => a.tabIndex >= 0)[0].className") == "skip"
    assert shown.run("[...document.links].filter(a => !a.textContent && !a.ariaLabel).length") == 0
