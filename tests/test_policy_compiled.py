"""Compiled modules on disk: used when they are the user's own and whole, else made anew."""

import os
import subprocess
import sys

import pytest

from edgetwin.policy import Policy
from edgetwin.policy.compiled import cache_folder, forget_compiled
from policy.modules import PAYMENT, RETAIL, shipped


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGETWIN_CACHE", str(tmp_path))
    forget_compiled()
    yield tmp_path / "wasm"
    forget_compiled()


def compiled(folder):
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def decide():
    forget_compiled()
    return Policy(shipped("retail-authz-r1")).decide(RETAIL, PAYMENT)


def test_a_module_is_compiled_once_and_kept_for_its_owner_alone(folder):
    assert decide() is True
    (kept,) = compiled(folder)
    first = kept.stat().st_mtime_ns

    assert decide() is True

    assert compiled(folder) == [kept]
    assert kept.stat().st_mtime_ns == first
    assert kept.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, None])
def test_a_damaged_file_is_compiled_anew(folder, damage):
    decide()
    (kept,) = compiled(folder)
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)

    assert decide() is True
    assert kept.read_bytes() == whole


def test_a_file_that_others_could_have_written_is_not_run(folder):
    decide()
    (kept,) = compiled(folder)
    before = kept.stat().st_mtime_ns
    os.chmod(kept, 0o666)

    assert decide() is True
    assert kept.stat().st_mtime_ns > before
    assert kept.stat().st_mode & 0o777 == 0o600


def test_without_a_place_to_keep_them_modules_are_compiled_each_time(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")

    for setting in ("", str(blocked)):
        monkeypatch.setenv("EDGETWIN_CACHE", setting)
        assert decide() is True


def test_the_cache_follows_the_desktop_standard(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGETWIN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert cache_folder() == tmp_path / "edgetwin" / "wasm"


def test_loading_bundles_does_not_load_wasmtime():
    code = (
        "import sys; from edgetwin.policy import load_bundle; "
        "assert 'wasmtime' not in sys.modules, 'wasmtime was imported'"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
