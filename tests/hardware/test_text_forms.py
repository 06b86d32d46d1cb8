# SPDX-License-Identifier: GPL-2.0-or-later
"""The text forms of hardware (lguest_py/hardware/text.py), and hardware together (together.py)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lguest_py.errors import UsageError
from lguest_py.hardware import Console, Disk, Entropy, Hardware, Network, Publish, Share, Vsock
from lguest_py.hardware.text import FORMS, parse
from lguest_py.hardware.together import LARGEST, complete, with_ports
from lguest_py.hardware.words import split

MAC = "02:00:00:00:00:0a"
RIGHT: list[tuple[str, str, Hardware | Publish]] = [
    ("disk", "a.img", Disk("a.img")),
    ("disk", "a b.img,readonly", Disk("a b.img", readonly=True)),
    ("disk", "a,,b.img,overlay,format=qcow2", Disk("a,b.img", overlay=True, format="qcow2")),
    ("disk", ",,,serial=one,,two", Disk(",", serial="one,two")),
    ("disk", "a=b,format=raw", Disk("a=b", format="raw")),
    ("disk", "\udcff,readonly", Disk("\udcff", readonly=True)),
    ("block", "a,readonly", Disk("a,readonly")),
    ("net", "user", Network()),
    ("net", "tap:lg0", Network("tap", "lg0")),
    ("net", f"bridge:br-0,mac={MAC.upper().replace(':', '-')}", Network("bridge", "br-0", mac=MAC)),
    ("tunnet", "192.168.19.1", Network("host", address="192.168.19.1")),
    ("tunnet", f"192.168.19.1:{MAC}", Network("host", address="192.168.19.1", mac=MAC)),
    ("tunnet", "bridge:lg0", Network("bridge", "lg0")),
    ("tunnet", f"bridge:lg0:{MAC}", Network("bridge", "lg0", mac=MAC)),
    ("publish", "8080:80", Publish(8080, 80)),
    ("publish", "8080:80/tcp", Publish(8080, 80)),
    ("publish", "127.0.0.1:53:53/udp", Publish(53, 53, "udp", "127.0.0.1")),
    ("publish", "[::1]:65535:1", Publish(65535, 1, address="::1")),
    ("share", ".", Share(".")),
    ("share", "/a,,b,tag=x,readonly", Share("/a,b", "x", readonly=True)),
    ("rng", "", Entropy()),
    ("rng", "/dev/a,b", Entropy("/dev/a,b")),
    ("console", "a,b", Console("a,b")),
    ("vsock", "a", Vsock("a")),
    ("vsock", "a,,b,cid=4294967294", Vsock("a,b", (1 << 32) - 2)),
    ("vsock", "./cid=3", Vsock("./cid=3")),
]
WRONG = [
    ("disk", "", "a disk's file cannot be '': give a file's name"),
    ("disk", ",readonly", "a disk's file cannot be ''"),
    ("disk", "a,reedonly", "no option reedonly: did you mean readonly?"),
    ("disk", "a,ReadOnly", "no option ReadOnly: did you mean readonly?"),
    ("disk", "a,b.img", "no option b.img: give readonly, overlay, format= or serial="),
    ("disk", "a,b.img", "(a comma in a name is given twice)"),
    ("disk", "a,", "no option ''"),
    ("disk", "a,readonly=yes", "readonly takes no value: give readonly alone"),
    ("disk", "a,readonly,readonly", "readonly is given twice: give it once"),
    ("disk", "a,format", "format lacks its value: give format=…"),
    ("disk", "a,format=qcow3", "a disk's format cannot be 'qcow3': did you mean qcow?"),
    ("disk", "a,format=zip", "a disk's format cannot be 'zip': give auto, raw, qcow2, qcow, qed, vdi"),
    ("disk", "a,overlay,readonly", "cannot be readonly and have an overlay: give one of them"),
    ("disk", f"a,serial={'x' * 21}", "give at most 20 letters"),
    ("disk", "a,serial=\u00e9", "give at most 20 letters"),
    ("disk", "a,\x1b[31m", "no option '\\x1b[31m'"),
    ("net", "", "a network cannot be '': give user, tap:NAME or bridge:NAME"),
    ("net", "usr", "did you mean user?"),
    ("net", "slirp", "give user, tap:NAME or bridge:NAME"),
    ("net", "tap", "give tap:NAME"),
    ("net", "bridge", "give bridge:NAME"),
    ("net", "user:x", "give user"),
    ("net", "tap:", "a tap's name cannot be '': give an interface's name"),
    ("net", "tap:a/b", "give an interface's name"),
    ("net", "tap:sixteen-letters-", "at most 15 bytes"),
    ("net", "user,mac=2:0:0:0:0:1", "a card's mac cannot be '2:0:0:0:0:1': give six bytes in hexadecimal"),
    ("net", "user,mac=01:00:5e:00:00:01", "its first byte is even"),
    ("net", "user,mac=00:00:00:00:00:00", "give six bytes"),
    ("net", "user,macc=1", "did you mean mac=?"),
    ("tunnet", "host.example", "give the IPv4 address of the Host in the new network"),
    ("tunnet", "::1", "give the IPv4 address"),
    ("tunnet", "fe80::1", "give the IPv4 address"),
    ("tunnet", "", "give the IPv4 address"),
    ("tunnet", "10.0.0.1:", "a card's mac is empty: give six bytes"),
    ("tunnet", "10.0.0.1:12", "give six bytes"),
    ("tunnet", "bridge:", "give an interface's name"),
    ("tunnet", "bridge:br0:zz", "give six bytes"),
    ("publish", "", "give [ADDRESS:]HOST:GUEST[/udp] with two ports, as 8080:80"),
    ("publish", "80", "with two ports, as 8080:80"),
    ("publish", "0:80", "a published port of the Host cannot be 0: give a port, 1 to 65535"),
    ("publish", "80:65536", "a published port of the Guest cannot be 65536"),
    ("publish", f"80:{'9' * 5000}", "give a port, 1 to 65535"),
    ("publish", "80:80/", "a published port's protocol cannot be '': give tcp or udp"),
    ("publish", "80:80/udpp", "did you mean udp?"),
    ("publish", ":80:80", "its address is empty"),
    ("publish", "[]:80:80", "its address is empty"),
    ("publish", "localhost:80:80", "give an IP address of this machine, as 127.0.0.1"),
    ("publish", "::1:80:80", "with two ports"),
    ("publish", "\u0663:80", "with two ports"),
    ("share", "", "a share's folder cannot be '': give a folder's name"),
    ("share", ".,tag=", "tag lacks its value"),
    ("share", ".,tag=a b", "a name of at most 31 bytes without white space or commas"),
    ("share", ".,tag=a,,b", "without white space or commas"),
    ("share", f".,tag={'x' * 32}", "at most 31 bytes"),
    ("share", ".,ro", "no option ro: give readonly or tag="),
    ("rng", "\0", "a source of random bytes cannot be '\\x00': give a file's name"),
    ("console", "", "a console's socket cannot be ''"),
    ("console", "x" * 108, "a name of at most 107 bytes"),
    ("vsock", "", "a vsock's socket cannot be ''"),
    ("vsock", "x" * 97, "a name of at most 96 bytes"),
    ("vsock", "cid=3,socket=a", "give SOCKET[,cid=N], as vm.sock,cid=3"),
    ("vsock", "a,cid=2", "a vsock's cid cannot be 2: give a number, 3 to 4294967294"),
    ("vsock", "a,cid=4294967295", "a vsock's cid cannot be 4294967295"),
    ("vsock", f"a,cid={'9' * 5000}", "give a number, 3 to 4294967294"),
    ("vsock", "a,cid=-1", "a vsock's cid cannot be '-1': give a number"),
    ("vsock", "a,cid", "cid lacks its value: give cid=…"),
    ("vsock", "a,port=3", "a vsock has no option port: give cid="),
]


@pytest.mark.parametrize(("option", "text", "device"), RIGHT)
def test_right_texts(option: str, text: str, device: Hardware | Publish) -> None:
    assert parse(option, text) == device


@pytest.mark.parametrize(("option", "text", "said"), WRONG)
def test_a_wrong_text_is_one_line_that_says_what_is_right(option: str, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(option, text)
    line = str(caught.value)
    assert line.startswith(f"--{option}: ")
    assert said in line
    assert line.isprintable()
    assert len(line) < 300


def test_each_form_is_tested() -> None:
    assert {option for option, *_ in RIGHT} == {option for option, *_ in WRONG} | {"block"} == set(FORMS)


OPTION = st.text(min_size=1).filter(lambda text: text[0] != ",")  # else the comma before it could not be told from it


@given(st.text(), st.lists(OPTION))
def test_a_comma_can_be_in_any_part(name: str, options: list[str]) -> None:
    assert split(",".join(part.replace(",", ",,") for part in (name, *options))) == [name, *options]


@given(st.sampled_from(sorted(FORMS)), st.text(max_size=40))
def test_any_text_is_hardware_or_one_line(option: str, text: str) -> None:
    said = ""
    try:
        parse(option, text)
    except UsageError as error:
        said = str(error)
    assert said == "" or said.isprintable()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Disk(5), "a disk's file cannot be 5"),  # type: ignore[arg-type]
        (lambda: Disk("a", readonly=1), "a disk's readonly cannot be 1: give true or false"),  # type: ignore[arg-type]
        (lambda: Disk("a", format=None), "a disk's format cannot be None"),  # type: ignore[arg-type]
        (lambda: Disk("a", serial=b"x"), "a disk's serial cannot be b'x'"),  # type: ignore[arg-type]
        (lambda: Network("usr"), "did you mean user?"),  # type: ignore[arg-type]
        (lambda: Network("user", "x"), "has no name: leave 'x' out"),
        (lambda: Network("tap"), "a tap's name cannot be ''"),
        (lambda: Network("tap", "x", address="1.2.3.4"), "has no address"),
        (lambda: Network("tap", "x", publish=(Publish(1, 1),)), "a tap network cannot publish ports"),
        (lambda: Network(publish=["80:80"]), "give a list of Publish(HOST, GUEST)"),  # type: ignore[arg-type]
        (lambda: Network(publish=Publish(1, 1)), "give a list of Publish"),  # type: ignore[arg-type]
        (lambda: Publish("80", 80), "cannot be '80': give a port"),  # type: ignore[arg-type]
        (lambda: Publish(True, 80), "cannot be True: give a port"),
        (lambda: Publish(80, 80, address=None), "an IP address of this machine"),  # type: ignore[arg-type]
        (lambda: Share(".", tag=None), "a share's tag cannot be None"),  # type: ignore[arg-type]
        (lambda: Entropy(None), "a source of random bytes cannot be None"),  # type: ignore[arg-type]
        (lambda: Console(3), "a console's socket cannot be 3"),  # type: ignore[arg-type]
        (lambda: Vsock("a", "3"), "a vsock's cid cannot be '3'"),  # type: ignore[arg-type]
        (lambda: Vsock("a", True), "a vsock's cid cannot be True"),
        (lambda: Vsock(None), "a vsock's socket cannot be None"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_argument_in_python_is_one_line(make: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_python_may_give_paths_and_bytes() -> None:
    assert Disk(Path("a.img")) == Disk("a.img")  # type: ignore[arg-type]
    assert Share(b"\xff").path == os.fsdecode(b"\xff")  # type: ignore[arg-type]
    assert Network(publish=[Publish(1, 2)]).publish == (Publish(1, 2),)  # type: ignore[arg-type]


def test_each_share_gets_a_tag_that_is_free() -> None:
    shares = complete([Share("a"), Share("b"), Share("c", "host1"), Share("d")])
    assert [share.tag for share in shares if isinstance(share, Share)] == ["host", "host2", "host1", "host3"]


def test_ports_go_to_the_first_network_of_the_user_or_to_a_new_one() -> None:
    one, two = Publish(1, 1), Publish(2, 2)
    assert with_ports([one, Disk("a"), two]) == [Disk("a"), Network(publish=(one, two))]
    assert with_ports([Network("tap", "t"), one, Network(), Network()]) == [
        Network("tap", "t"), Network(publish=(one,)), Network(),
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"port 1:1 cannot be published: .* give --net user too"):
        with_ports([Network("tap", "t"), one])


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        ([Share("a", "x"), Share("b", "x")], "the tag x is given twice"),
        ([Console("a"), Console("./a")], "the socket ./a is given twice"),
        ([Console("a"), Vsock("./a")], "the socket ./a is given twice"),
        ([Vsock("a"), Vsock("b", 4)], "a vsock is given twice"),
        ([Entropy(), Entropy("/dev/random")], "a source of random bytes (rng) is given twice"),
        ([Network("tap", "t"), Network("tap", "t")], "the tap t is given twice"),
        ([Network(mac=MAC), Network(mac=MAC)], f"the mac {MAC} is given twice"),
        ([Network(publish=(Publish(80, 1), Publish(80, 2)))], "port 80:2 is given twice"),
        ([Disk(f"{os.devnull}{number}", readonly=True) for number in range(LARGEST + 1)], "are too many: a Guest has"),
        ([Disk("a"), "b"], "a device cannot be 'b': give an object of Disk, Network"),
        (5, "devices cannot be 5: give a list"),
        (Disk("a"), "give a list of Disk"),
    ],
)
def test_what_cannot_be_together_is_one_line(devices: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        complete(devices)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_one_file_is_two_disks_only_where_nothing_writes_it(tmp_path: Path) -> None:
    file, link = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"x")
    link.symlink_to(file)
    with pytest.raises(UsageError, match="give readonly to both"):
        complete([Disk(str(file)), Disk(str(link), readonly=True)])
    assert len(complete([Disk(str(file), overlay=True), Disk(str(link), readonly=True)])) == 2
    assert len(complete([Network(publish=(Publish(80, 80), Publish(80, 80, "udp")))])) == 1
