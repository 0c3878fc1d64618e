"""What is told of a checkpoint: each thing once, nothing against another, nothing in vain."""

import pytest

from thalweg.errors import ConfigError, DataError
from thalweg.import_options import OPTIONS, ImportOptions, OptionResolver


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("heads", one) for one in (0, -1, True, "4", 4.0)],
        *[("classes", one) for one in (0, "10", 2.5)],
        *[("branches_at", one) for one in ("12", (0,), (True,), (2.0,), 0)],
        *[("path", one) for one in ("straight", 3, "")],
        *[("prediction", one) for one in ("direction", 3)],
        *[("clamp", one) for one in (1, "yes")],
    ],
)
def test_what_is_no_value_of_a_field_is_named(field, value):
    with pytest.raises(ConfigError, match=rf"\b{field}\b.* (is|must be) "):
        ImportOptions(**{field: value})


@pytest.mark.parametrize(
    ("field", "value", "ours"),
    [
        ("path", "Linear", "linear"),
        ("path", "GVP", "cosine"),
        ("path", "VP", "vp"),
        ("prediction", "v", "velocity"),
        ("branches_at", [2, 4], (2, 4)),
        ("branches_at", 2, (2,)),
    ],
)
def test_names_of_others_become_ours(field, value, ours):
    assert getattr(ImportOptions(**{field: value}), field) == ours


def test_an_option_an_argument_and_the_tensors_that_agree_settle_it():
    resolver = OptionResolver("them", ImportOptions(heads=4, arguments={"num_heads": 4}))
    assert resolver.resolve("heads", argument=resolver.options.argument("heads", "num_heads"), tensors=4) == 4
    resolver.finish()
    assert resolver.found["heads"].origin == "--heads and 'num_heads' of the file's args and the tensors"


def test_zero_and_false_are_told_and_none_is_not():
    resolver = OptionResolver("them", ImportOptions(clamp=False, arguments={"a": None, "b": False}))
    assert resolver.options.argument("a", "b") == (False, "'b' of the file's args")
    assert resolver.resolve("clamp", argument=resolver.options.argument("a")) is False
    resolver.finish()
    assert resolver.found["clamp"].origin == "--no-clamp"


def test_an_option_against_the_file_is_a_wrong_option():
    resolver = OptionResolver("them", ImportOptions(heads=4, arguments={"num_heads": 8}))
    with pytest.raises(ConfigError, match=r"heads is 4 by --heads and 8 by 'num_heads' of the file's args"):
        resolver.resolve("heads", argument=resolver.options.argument("num_heads"))


def test_a_file_against_itself_is_a_wrong_file():
    resolver = OptionResolver("them", ImportOptions(arguments={"num_heads": 8}))
    with pytest.raises(DataError, match=r"8 by 'num_heads'.* and 4 by the tensors; they contradict"):
        resolver.resolve("heads", argument=resolver.options.argument("num_heads"), tensors=4)


def test_all_that_is_missing_is_asked_for_at_once():
    resolver = OptionResolver("them", ImportOptions())
    assert resolver.resolve("heads", ask="a divisor of 64") is None
    assert resolver.resolve("clamp") is None
    with pytest.raises(
        ConfigError, match=r"give --heads \(a divisor of 64\), --clamp or --no-clamp$"
    ) as caught:
        resolver.finish()
    assert "all that them needs" in str(caught.value)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_says_nothing_is_refused(name):
    value = {"path": "linear", "prediction": "velocity", "clamp": True, "branches_at": (2,)}.get(name, 3)
    resolver = OptionResolver("them", ImportOptions(**{name: value}))
    with pytest.raises(ConfigError, match=rf"them have nothing that {OPTIONS[name].split()[0]} could state"):
        resolver.finish()
