"""Every draw depends on what it is for, never on when it is made."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from epochs_left.seeding import Purpose, content_id, generator, key_of, seed_sequence

scalars = st.one_of(
    st.integers(), st.text(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)
)
fields = st.dictionaries(st.text(), scalars, min_size=1)


def test_streams_of_other_names_are_other_streams() -> None:
    names = itertools.product([0, 1], [0, 1, 1 << 32, (1 << 64) - 1], Purpose, [0, 1, 1000])
    first = [generator(*name).integers(2**63) for name in names]
    assert len(set(first)) == len(first)


def test_a_stream_is_the_same_whenever_it_is_made() -> None:
    name = (3, key_of("0123456789abcdef"), Purpose.ORDER, 5)
    once = generator(*name).random(10)
    generator(3, 0, Purpose.ORDER).random(100)
    np.testing.assert_array_equal(generator(*name).random(10), once)


def test_streams_never_change() -> None:
    """Golden: other numbers would be other data under the same name."""
    key = key_of("0123456789abcdef")
    draws = generator(20031, key, Purpose.INITIALISATION).integers(1000, size=4)
    state = seed_sequence(20031, key_of("fedcba9876543210"), Purpose.ORDER).generate_state(2)
    assert draws.tolist() == [516, 644, 291, 666]
    assert state.tolist() == [401541222, 1407162338]


def test_purposes_never_change() -> None:
    """Golden: the values are part of the data's identity; new purposes come after these."""
    assert [purpose.value for purpose in Purpose][:7] == [0, 1, 2, 3, 4, 5, 6]
    assert Purpose(1) is Purpose.INITIALISATION
    assert Purpose(2) is Purpose.ORDER


@pytest.mark.parametrize("purpose", [Purpose.INITIALISATION, Purpose.ORDER])
def test_first_numbers_of_neighbouring_keys_are_independent(purpose: Purpose) -> None:
    first = np.array([generator(0, key, purpose).random() for key in range(2_000)])
    assert stats.kstest(first, "uniform").pvalue > 1e-3
    assert abs(stats.pearsonr(first[:-1], first[1:]).statistic) < 0.1


@given(fields)
def test_content_id_ignores_the_order_of_fields(values: dict[str, object]) -> None:
    shuffled = dict(reversed(values.items()))
    assert content_id(values) == content_id(shuffled)
    assert len(content_id(values)) == 16
    assert 0 <= key_of(content_id(values)) < 2**64


@given(fields, st.data())
def test_content_id_changes_with_every_field(
    values: dict[str, object], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(values)))
    other = data.draw(scalars.filter(lambda value: repr(value) != repr(values[name])))
    assert content_id({**values, name: other}) != content_id(values)
    assert content_id({key: values[key] for key in values if key != name}) != content_id(values)


def test_content_id_tells_types_apart() -> None:
    ids = [content_id({"a": value}) for value in (1, 1.0, "1", True)]
    assert len(set(ids)) == 4


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_content_id_refuses_what_json_cannot_carry(bad: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        content_id({"a": bad})


def test_content_id_is_the_same_in_every_process() -> None:
    command = "from epochs_left.seeding import content_id; print(content_id({'a': 1, 'b': 'é'}))"
    found = {
        subprocess.run(
            [sys.executable, "-c", command],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1")
    }
    assert found == {content_id({"b": "é", "a": 1})}
