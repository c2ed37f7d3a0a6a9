"""The defaults of each Kubernetes version (facts/k3s.md, 1.2), and what may override them."""

import pytest

from edgetwin.versions import defaults


@pytest.mark.parametrize(
    ("version", "grace_s", "same_pass", "reads"),
    [
        ("1.30", 40, False, False),
        ("v1.31.9", 40, False, False),
        ("1.32", 50, False, False),
        ("1.33.4+k3s1", 50, False, False),
        ("1.34", 50, True, False),
        ("v1.37.2", 50, True, True),
    ],
)
def test_a_version_brings_its_grace_and_its_rules(version, grace_s, same_pass, reads):
    times = defaults(version)

    assert times.grace_us == grace_s * 1_000_000
    assert times.taints_in_pass_of_unknown is same_pass
    assert times.lease_read_of_lost is reads


def test_any_number_can_be_overridden_by_its_name():
    assert defaults("1.30", grace_us=7).grace_us == 7
    assert defaults("1.34", grace_us=7).taints_in_pass_of_unknown


def test_an_unknown_number_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'grace_us'"):
        defaults("1.30", grace=7)


@pytest.mark.parametrize("version", ["", "latest", "1", "1.x"])
def test_what_is_no_version_is_refused(version):
    with pytest.raises(ValueError, match="is not a Kubernetes version"):
        defaults(version)
