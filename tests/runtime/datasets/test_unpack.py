"""Archives: unpacked whole into their folder, or not at all, and never anywhere else."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from geoaware.runtime.datasets import unpack as module
from geoaware.runtime.datasets.archive import ArchiveError
from geoaware.runtime.datasets.place import alone
from geoaware.runtime.datasets.unpack import inspect, unpack
from geoaware.runtime.errors import GeoAwareError, InputError

FILES = {
    "SPair-71k/Layout/large/test.txt": b"000001-a-b:cat\n" * 40,
    "SPair-71k/JPEGImages/cat/a.jpg": os.urandom(3000),
    "SPair-71k/JPEGImages/cat/b.jpg": b"",
    "SPair-71k/PairAnnotation/test/000001-a-b:cat.json": b"{}",
}
UNPACKED = {name.removeprefix("SPair-71k/"): content for name, content in FILES.items()}
KINDS = ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")

posix = pytest.mark.skipif(os.name != "posix", reason="names that only POSIX takes")


def packed(path: Path, kind: str, files: dict[str, bytes] | list[tuple[str, bytes]]) -> Path:
    """An archive of files, in which a list may have a name twice."""
    entries = files if isinstance(files, list) else list(files.items())
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in entries:
                archive.writestr(name, content)
        return path
    with tarfile.open(path, f"w:{kind[4:]}") as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def run(archive: Path, root: Path) -> None:
    unpack(inspect(archive, lambda *_: None), root, lambda *_: None)


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def check_refused(archive: Path, message: str) -> None:
    """Unpacking fails with a message that names the archive, and leaves nothing."""
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(ArchiveError) as caught:
        run(archive, archive.parent / "root")
    assert str(caught.value).startswith(f"{archive}: ")
    assert message in str(caught.value)
    assert sorted(archive.parent.rglob("*")) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["archive", "archive.rar"])
def test_an_archive_is_known_by_its_content(tmp_path: Path, kind: str, name: str):
    archive = packed(tmp_path / name, kind, FILES)
    run(archive, tmp_path / "root")
    assert content(tmp_path / "root") == UNPACKED
    assert sorted(tmp_path.iterdir()) == [archive, tmp_path / "root"]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_progress_is_told_in_bytes_of_the_archive(tmp_path: Path, kind: str):
    archive = packed(tmp_path / "a", kind, FILES | {"SPair-71k/big": os.urandom(3 * 2**20)})
    told: list[tuple[int, int | None]] = []
    unpack(inspect(archive, lambda *_: None), tmp_path / "root", lambda *now: told.append(now))
    size = archive.stat().st_size
    assert told == sorted(told)
    assert {total for _, total in told} == {size}
    assert 0.9 * size < told[-1][0] <= size


@pytest.mark.parametrize("top", ["PF-dataset", "annotations", "data"])
def test_a_folder_that_belongs_to_the_layout_is_kept(tmp_path: Path, top: str):
    run(packed(tmp_path / "a.zip", "zip", {f"./{top}/x/y.txt": b"1"}), tmp_path / "root")
    assert content(tmp_path / "root") == {f"{top}/x/y.txt": b"1"}


def test_several_entries_at_the_top_are_kept(tmp_path: Path):
    run(packed(tmp_path / "a.zip", "zip", {"one/a": b"1", "two/b": b"2"}), tmp_path / "root")
    assert content(tmp_path / "root") == {"one/a": b"1", "two/b": b"2"}


def test_a_single_file_is_kept(tmp_path: Path):
    run(packed(tmp_path / "a.zip", "zip", {"pairs.csv": b"1"}), tmp_path / "root")
    assert content(tmp_path / "root") == {"pairs.csv": b"1"}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_what_macos_adds_is_left_out(tmp_path: Path, kind: str):
    debris = {"__MACOSX/SPair-71k/._x": b"", "SPair-71k/.DS_Store": b"", "._SPair-71k": b""}
    run(packed(tmp_path / "a", kind, debris | FILES), tmp_path / "root")
    assert content(tmp_path / "root") == UNPACKED


def test_backslashes_of_windows_separate_folders(tmp_path: Path):
    files = {"SPair-71k\\": b"", "SPair-71k\\Layout\\": b"", "SPair-71k\\Layout\\a.txt": b"1"}
    run(packed(tmp_path / "a.zip", "zip", files), tmp_path / "root")
    assert content(tmp_path / "root") == {"Layout/a.txt": b"1"}


def test_a_folder_that_is_there_gets_what_it_lacks(tmp_path: Path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "test_pairs.csv").write_text("kept")
    run(packed(tmp_path / "a.zip", "zip", FILES), root)
    assert content(root) == UNPACKED | {"test_pairs.csv": b"kept"}


def test_nothing_that_is_there_is_replaced(tmp_path: Path):
    root = tmp_path / "root"
    (root / "JPEGImages").mkdir(parents=True)
    archive = packed(tmp_path / "a.zip", "zip", FILES)
    with pytest.raises(InputError, match="root: already holds JPEGImages; remove it first"):
        run(archive, root)
    assert sorted(tmp_path.rglob("*")) == [archive, root, root / "JPEGImages"]


UNSAFE = {
    "parent": ("../x", "'../x' leads out of the folder"),
    "parent inside": ("a/../../x", "leads out of the folder"),
    "parent of Windows": ("a\\..\\..\\x", "leads out of the folder"),
    "absolute": ("/tmp/x", "is an absolute path"),
    "absolute on Windows": ("\\x", "is an absolute path"),
    "drive": ("C:/x", "is an absolute path"),
    "drive without slash": ("c:x", "is an absolute path"),
    "the same again": ("a/b", "'a/b' goes where another member goes"),
    "the same, spelt longer": ("./a//b", "goes where another member goes"),
    "other case": ("A/B", "goes where another member goes"),
    "folder of other case": ("A/c", "goes where another member goes"),
    "below a file": ("a/b/c", "goes where another member goes"),
    "file for a folder": ("a", "goes where another member goes"),
}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize(("name", "message"), UNSAFE.values(), ids=UNSAFE.keys())
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_leads_elsewhere_is_refused(
    tmp_path: Path, kind: str, name: str, message: str
):
    files = [("a/b", b"1"), (name, b"2")]
    check_refused(packed(tmp_path / "archive", kind, files), message)


def test_a_file_without_a_name_is_refused(tmp_path: Path):
    check_refused(packed(tmp_path / "a.tar", "tar", {"a": b"1", "./.": b"2"}), "has no name")


def test_names_that_differ_by_their_accents_form_are_refused(tmp_path: Path):
    files = {"caf\u00e9/a": b"", "cafe\u0301/a": b""}
    check_refused(packed(tmp_path / "a.zip", "zip", files), "goes where another member goes")


TYPES = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "neither a file nor a folder",
    tarfile.FIFOTYPE: "neither a file nor a folder",
}


@pytest.mark.parametrize(("kind", "what"), TYPES.items())
def test_a_tar_with_anything_but_files_and_folders_is_refused(
    tmp_path: Path, kind: bytes, what: str
):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("first"))
        info = tarfile.TarInfo("odd")
        info.type, info.linkname = kind, "first"
        archive.addfile(info)
    check_refused(tmp_path / "a.tar", f"its member 'odd' is {what}")


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o020644])
def test_a_zip_with_anything_but_files_and_folders_is_refused(tmp_path: Path, mode: int):
    info = zipfile.ZipInfo("odd")
    info.external_attr = mode << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("first", "")
        archive.writestr(info, "/etc/passwd")
    kind = "a symbolic link" if mode == 0o120777 else "neither a file nor a folder"
    check_refused(tmp_path / "a.zip", f"its member 'odd' is {kind}")


def test_an_encrypted_zip_is_refused(tmp_path: Path):
    archive = packed(tmp_path / "a.zip", "zip", {"a": b"1"})
    raw = bytearray(archive.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(raw)
    check_refused(archive, "its member 'a' is encrypted")


@pytest.mark.parametrize("kind", KINDS)
def test_more_bytes_than_allowed_are_refused(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MOST_BYTES", 10**6)
    check_refused(packed(tmp_path / "a", kind, {"a": bytes(10**6 + 1)}), "more than 0.001 GB")


def test_more_members_than_allowed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_MEMBERS", 3)
    check_refused(packed(tmp_path / "a", "tar", FILES), "holds more than 3 members")


def test_bytes_are_counted_while_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive = packed(tmp_path / "a.zip", "zip", {"a/b": bytes(10**6), "a/c": bytes(10**6)})
    plan = inspect(archive, lambda *_: None)
    monkeypatch.setattr(module, "MOST_BYTES", 1_500_000)
    with pytest.raises(ArchiveError, match="holds more than"):
        unpack(plan, tmp_path / "root", lambda *_: None)
    assert sorted(tmp_path.iterdir()) == [archive]


def test_a_zip_that_lies_about_a_size_is_damaged(tmp_path: Path):
    archive = packed(tmp_path / "a.zip", "zip", {"a": bytes(10**6)})
    size = (10**6).to_bytes(4, "little")
    archive.write_bytes(archive.read_bytes().replace(size, (10).to_bytes(4, "little")))
    check_refused(archive, "a: ")


def test_a_disk_without_room_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    archive = packed(tmp_path / "a.zip", "zip", {"a": bytes(3 * 10**8)})
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage(free=2 * 10**8))
    with pytest.raises(GeoAwareError, match=r"has 0\.2 GB of free space; a\.zip needs 0\.3"):
        run(archive, tmp_path / "root")
    assert sorted(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_cut_anywhere_is_refused(tmp_path: Path, kind: str):
    whole = packed(tmp_path / "a", kind, FILES).read_bytes()
    end = whole.rstrip(b"\0") if kind == "tar" else whole  # what ends a tar, of which half may lack
    for cut in sorted({1, 5, 20, 512, 1024, 1030, len(end) // 2, len(end) - 1}):
        (tmp_path / "a").write_bytes(whole[:cut])
        check_refused(tmp_path / "a", "no .zip or .tar archive that can be read")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_changed_byte_is_noticed(tmp_path: Path, kind: str):
    archive = packed(tmp_path / "a", kind, {"a": os.urandom(5000)})
    raw = bytearray(archive.read_bytes())
    raw[len(raw) // 2] ^= 1
    archive.write_bytes(raw)
    check_refused(archive, "no .zip or .tar archive that can be read")


def test_a_tar_with_a_damaged_header_is_refused(tmp_path: Path):
    archive = packed(tmp_path / "a", "tar", {"a": b"1", "b": b"2", "c": b"3"})
    raw = bytearray(archive.read_bytes())
    raw[1024 + 200] ^= 1  # in the header of b, behind which c would be lost in silence
    archive.write_bytes(raw)
    check_refused(archive, "it stops before its end")


def test_a_tar_with_an_endless_header_is_refused(tmp_path: Path):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**34
    (tmp_path / "a").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2**16))
    check_refused(tmp_path / "a", "a header of 17179869184 bytes")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no .zip or .tar archive that can be read"),
        (b"hello" * 1000, "no .zip or .tar archive that can be read"),
        (b"\x1f\x8b\x08" + b"x" * 1000, "no .zip or .tar archive that can be read"),
        (b"\n<!DOCTYPE html><html>", "is a web page, not an archive; download it with a browser"),
        (bytes(10240), "the archive holds no files"),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "a").write_bytes(content)
    check_refused(tmp_path / "a", message)


def test_an_archive_of_folders_alone_is_refused(tmp_path: Path):
    check_refused(packed(tmp_path / "a", "zip", {"a/b/": b""}), "the archive holds no files")


def test_an_archive_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.zip: no such file"):
        run(tmp_path / "none.zip", tmp_path / "root")
    with pytest.raises(InputError, match="is a folder; name an archive"):
        run(tmp_path, tmp_path / "root")


@posix
def test_a_name_that_the_disk_refuses_leaves_nothing(tmp_path: Path):
    archive = packed(tmp_path / "a.zip", "zip", {"a": b"1", "x" * 300: b"2"})
    with pytest.raises(GeoAwareError, match="root: cannot be written: File name too long"):
        run(archive, tmp_path / "root")
    assert sorted(tmp_path.iterdir()) == [archive]


@posix
def test_an_interruption_leaves_nothing(tmp_path: Path):
    archive = packed(tmp_path / "a.zip", "zip", FILES)
    plan = inspect(archive, lambda *_: None)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(plan, tmp_path / "root", interrupt)
    assert sorted(tmp_path.iterdir()) == [archive]


@posix
def test_a_killed_run_leaves_a_folder_that_the_next_one_removes(tmp_path: Path):
    files = {f"data/{number}.txt": b"x" for number in range(300)}
    archive, root = packed(tmp_path / "a.zip", "zip", files), tmp_path / "root"
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from geoaware.runtime.datasets.place import alone\n"
        "from geoaware.runtime.datasets.unpack import inspect, unpack\n"
        "archive, root = map(Path, sys.argv[1:])\n"
        "with alone(root):\n"
        "    unpack(inspect(archive, lambda *_: None), root, lambda *_: time.sleep(0.05))\n"
    )
    running = subprocess.Popen([sys.executable, "-c", program, archive, root])
    work = tmp_path / ".root.unpacking"
    while len(content(work)) < 3:
        assert running.poll() is None
        time.sleep(0.01)
    refusal = pytest.raises(GeoAwareError, match="root: another georun data prepare is filling it")
    with refusal, alone(root):
        pass
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert work.exists()
    assert not root.exists()
    (work / "data" / "stranger").write_text("")
    with alone(root):
        run(archive, root)
    assert content(root) == files
    assert sorted(tmp_path.iterdir()) == [archive, root]
