"""Bundles: what is read, and what is refused with its own error that names the bundle."""

import base64
import gzip
import hashlib
import hmac
import json
import tarfile
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetwin.policy import Key, check_roots, errors, load_bundle
from edgetwin.policy.archive import ArchiveLimits
from policy.modules import POLICIES, archive, fixture, manifest, shipped

WASM = fixture("plain").wasm or b""


def test_a_shipped_bundle_says_what_it_is():
    bundle = shipped("retail-authz-r1")

    assert bundle.revision == "r1"
    assert bundle.roots == ("retail/authz", "retail/limits")
    assert bundle.entrypoints == ("retail/authz/allow",)
    assert bundle.data["retail"]["limits"]["offline_limit_cents"] == 5000
    assert bundle.size_bytes == 54329
    assert bundle.sha256.startswith("0898e4d5")


def test_a_bare_module_is_a_bundle_without_manifest():
    bundle = load_bundle(WASM, name="bare.wasm")

    assert (bundle.name, bundle.revision, bundle.roots, bundle.data) == ("bare.wasm", "", ("",), {})
    assert bundle.wasm == WASM


def test_data_files_are_merged_by_their_folders_json_and_yaml_alike():
    raw = archive({
        "/data.json": '{"a": {"b": 1}}',
        "/a/c/data.yaml": "d: [1, yes, 2024-01-01]",
        "/x/data.json": "[1]",
    })  # fmt: skip

    data = load_bundle(raw).data

    assert data == {"a": {"b": 1, "c": {"d": [1, True, "2024-01-01"]}}, "x": [1]}


def test_numbers_in_data_keep_all_their_digits():
    data = load_bundle(archive({"data.json": '{"big": 123456789012345678901234567890}'})).data

    assert data["big"] == 123456789012345678901234567890


@pytest.mark.parametrize(
    ("files", "error", "said"),
    [
        ({"../data.json": "{}"}, errors.ArchiveError, "escapes"),
        ({"a/../../data.json": "{}"}, errors.ArchiveError, "escapes"),
        ({"data.json": "{", ".manifest": "{}"}, errors.DataError, "/data.json is not JSON"),
        ({"data.json": '{"a": NaN}'}, errors.DataError, "NaN"),
        ({"data.json": "[1]"}, errors.DataError, "not an object"),
        ({"data.json": '{"a": ' + "[" * 600 + "]" * 600 + "}"}, errors.DataError, "nests deeper"),
        ({"data.yaml": "a: [1"}, errors.DataError, "not YAML"),
        ({"data.json": '{"a": 1}', "a/data.json": "2"}, errors.DataError, "second value"),
        ({"data.json": '{"b": 1}', ".manifest": manifest(roots=["a"])}, errors.DataError, "roots"),
        ({".manifest": "{"}, errors.ManifestError, "not JSON"),
        ({".manifest": "[]"}, errors.ManifestError, "not a JSON object"),
        ({".manifest": manifest(revision=7)}, errors.ManifestError, "revision"),
        ({".manifest": manifest(roots="a")}, errors.ManifestError, "list of paths"),
        ({".manifest": manifest(roots=["a", "a/b"])}, errors.ManifestError, "overlap"),
        ({".manifest": manifest(wasm=[{"entrypoint": "p", "module": "policy.wasm"}])},
         errors.ManifestError, "not in the archive"),
        ({".manifest": manifest(wasm=[{"entrypoint": "p"}, {"entrypoint": "p"}]),
          "policy.wasm": WASM}, errors.ManifestError, "twice"),
        ({".manifest": manifest(wasm=[{"entrypoint": "p"}], roots=["q"]),
          "policy.wasm": WASM}, errors.ManifestError, "outside the roots"),
        ({".manifest": manifest(wasm=[{"entrypoint": "p", "module": "other.wasm"}]),
          "other.wasm": WASM}, errors.ManifestError, "no other"),
        ({"policy.wasm": b"MZ"}, errors.ModuleError, "not a Wasm module"),
        ({"patch.json": "{}"}, errors.DataError, "no list|not an object"),
        ({"patch.json": '{"data": [{"op": "upsert", "path": "/a"}]}'}, errors.DataError,
         r"data\[0\]"),
        ({"patch.json": '{"data": []}', "data.json": "{}"}, errors.DataError, "also holds"),
        ({".signatures.json": "{}"}, errors.SignatureError, "no key"),
    ],
)  # fmt: skip
def test_a_malformed_bundle_is_refused_by_name(files, error, said):
    with pytest.raises(error, match=said) as caught:
        load_bundle(archive(files), name="shop-7")

    assert caught.value.bundle == "shop-7"
    assert str(caught.value).startswith("shop-7: ")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_links_and_special_files_are_refused(kind):
    with pytest.raises(errors.ArchiveError, match="link or a special file"):
        load_bundle(archive({"data.json": ""}, kind=kind))


def test_a_file_given_twice_is_refused():
    one, two = archive({"data.json": "{}"}), archive({"/data.json": '{"a": 1}'})
    both = gzip.compress(gzip.decompress(one)[:1024] + gzip.decompress(two))

    with pytest.raises(errors.ArchiveError, match="twice"):
        load_bundle(both)


def test_an_over_large_member_a_bomb_and_too_many_members_are_refused():
    raw = archive({"data.json": b" " * 100_000})

    for limits, said in (
        (ArchiveLimits(member_bytes=1000), "100000 bytes"),
        (ArchiveLimits(total_bytes=10_000), "unpacks to more"),
        (ArchiveLimits(members=0), "more than 0 members"),
    ):
        with pytest.raises(errors.ArchiveError, match=said):
            load_bundle(raw, limits=limits)


def test_yaml_that_unfolds_without_end_is_refused():
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )

    with pytest.raises(errors.DataError, match="unfolds"):
        load_bundle(archive({"data.yaml": bomb}))


@settings(deadline=None)
@given(st.integers(0, 54_000), st.integers(0, 255))
def test_a_corrupted_bundle_is_refused_or_read_but_never_anything_else(place, byte):
    raw = bytearray(_egress())
    raw[place % len(raw)] = byte

    with suppress(errors.BundleError):
        load_bundle(bytes(raw))


def _egress() -> bytes:
    return (POLICIES / "retail-egress-r1.tar.gz").read_bytes()


@pytest.mark.parametrize("size", [0, 1, 10, 1000, 30_000])
def test_a_truncated_bundle_is_refused(size):
    with pytest.raises(errors.ArchiveError):
        load_bundle(_egress()[:size])


def test_bundles_with_overlapping_roots_are_refused_together():
    check_roots([shipped("retail-authz-r1"), shipped("retail-egress-r1")])

    with pytest.raises(errors.RootsError, match=r"retail-authz-r2.*overlaps.*retail-authz-r1"):
        check_roots([shipped("retail-authz-r1"), shipped("retail-authz-r2")])


# Signatures.

FILES = {"/data.json": '{"b": 1.0, "a": "<é>"}', "/policy.rego": "package p", "/.manifest": "{}"}
CANONICAL = {"data.json": '{"a":"<é>","b":1.0}', "policy.rego": "package p", ".manifest": "{}"}
SECRET = "a shared secret"


def claims(**changed: object) -> dict[str, object]:
    files = [
        {"name": name, "hash": hashlib.sha256(text.encode()).hexdigest(), "algorithm": "SHA-256"}
        for name, text in CANONICAL.items()
    ]
    return {"files": files, **changed}


def token(payload: dict[str, object], *, algorithm: str = "HS256", signature: bytes | None = None):
    head = {"alg": algorithm, "typ": "JWT", "kid": "shop"}
    message = ".".join(_url(json.dumps(part).encode()) for part in (head, payload))
    if signature is None:
        signature = hmac.digest(SECRET.encode(), message.encode(), "sha256")
    return f"{message}.{_url(signature)}"


def _url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed(signature_token: str, **files: str) -> bytes:
    signatures = json.dumps({"signatures": [signature_token]})
    return archive({**FILES, **files, "/.signatures.json": signatures})


KEYS = {"shop": Key(SECRET, "HS256")}


def test_a_signed_bundle_is_taken_with_its_key():
    pytest.importorskip("jwt", reason="needs edgetwin[policy]")

    bundle = load_bundle(signed(token(claims())), keys=KEYS)

    assert bundle.signed_by == "shop"
    assert bundle.data == {"a": "<é>", "b": 1.0}


def test_an_rs256_signature_is_verified_by_the_public_key():
    pytest.importorskip("jwt", reason="needs edgetwin[policy]")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    private = rsa.generate_private_key(65537, 2048)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    message = token(claims(), algorithm="RS256").rpartition(".")[0]
    right = private.sign(message.encode(), padding.PKCS1v15(), hashes.SHA256())
    keys = {"shop": Key(public.decode(), "RS256")}

    whole = signed(token(claims(), algorithm="RS256", signature=right))
    broken = signed(token(claims(), algorithm="RS256", signature=right[::-1]))

    assert load_bundle(whole, keys=keys).signed_by == "shop"
    with pytest.raises(errors.SignatureError, match="does not verify"):
        load_bundle(broken, keys=keys)
    # A token may not choose to be verified by the public key as if that were a secret.
    confused = hmac.digest(public, message.encode(), "sha256")
    with pytest.raises(errors.SignatureError, match="does not verify"):
        load_bundle(signed(token(claims(), algorithm="RS256", signature=confused)), keys=keys)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (signed(token(claims(), signature=b"wrong")), "does not verify"),
        (signed(token(claims(scope="other"))), "scope"),
        (signed("not.a.token"), "three parts"),
        (signed(token({})), "lists no files"),
        (signed(token(claims()), **{"/data.json": "{}"}), "/data.json is not what was signed"),
        (signed(token(claims()), **{"/extra.rego": "x"}), "/extra.rego is not covered"),
        (signed(token(claims(files=claims()["files"][:2]))), "/.manifest is not covered"),
        (archive(FILES), "is not signed"),
        (archive({**FILES, ".signatures.json": '{"signatures": []}'}), "exactly one"),
    ],
)
def test_a_wrong_signature_is_refused(raw, said):
    pytest.importorskip("jwt", reason="needs edgetwin[policy]")

    with pytest.raises(errors.SignatureError, match=said):
        load_bundle(raw, keys=KEYS)


def test_a_bundle_signed_by_an_unknown_key_names_the_known_ones():
    with pytest.raises(errors.SignatureError, match="known: till"):
        load_bundle(signed(token(claims())), keys={"till": Key(SECRET, "HS256")})
