from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import attrs
import pytest
from attrs.validators import ge, in_, instance_of, min_len

from thalweg.config import FaultyConfigError, component, component_field, component_table, dump, structure
from thalweg.errors import ConfigError
from thalweg.plugins import Component, Fault, Origin, Registry, process

HERE = Origin("zoo", "zoo-plugin", "1.0", __name__)


@attrs.frozen
class Lion:
    size: int = attrs.field(default=1, validator=ge(1))
    prey: Any = component_field("sampler", None, optional=True)

    def build(self, facts): ...


@attrs.frozen
class Tiger:
    stripes: int

    def build(self, facts): ...


@attrs.frozen
class Inner:
    x: int


@attrs.frozen
class Everything:
    integer: int = 1
    number: float = 1.0
    text: str = "a"
    switch: bool = False
    path: Path = Path("a")
    choice: Literal["a", "bee", 1] = "a"
    maybe: int | None = None
    several: int | str = 1
    pair: tuple[int, float] = (1, 2.0)
    many: tuple[int, ...] = ()
    anything_in: tuple = ()
    listed: list[float] = attrs.field(factory=list)
    sequence: Sequence[str] = ()
    table: dict[str, int] = attrs.field(factory=dict)
    mapping: Mapping[str, Any] = attrs.field(factory=dict)
    inner: Inner | None = None
    inners: list[Inner] = attrs.field(factory=list)
    noted: Annotated[int, "a note"] = 1
    whatever: Any = None
    _private: int = 1
    derived: int = attrs.field(init=False, default=7)


@attrs.frozen
class Zoo:
    cat: Any = component_field("sampler", "lion")
    guest: Any = component_field("sampler", None, optional=True)
    cats: dict[str, Any] = component_table("sampler")


@pytest.fixture
def zoo(monkeypatch):
    cats = {"lion": Lion, "tiger": Tiger}
    known = Registry(components=[Component("sampler", name, config, HERE) for name, config in cats.items()])
    monkeypatch.setattr(process._Process, "registry", known)
    monkeypatch.setattr(process._Process, "inherited", True)
    return known


def faults(function, *arguments):
    with pytest.raises(FaultyConfigError) as caught:
        function(*arguments)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("key", "given", "read"),
    [
        ("integer", 3, 3),
        ("number", 3, 3.0),
        ("number", 3.5, 3.5),
        ("text", "none", "none"),
        ("switch", True, True),
        ("path", "a/b", Path("a/b")),
        ("choice", "bee", "bee"),
        ("choice", 1, 1),
        ("maybe", "none", None),
        ("maybe", None, None),
        ("maybe", 3, 3),
        ("several", "x", "x"),
        ("pair", [1, 2], (1, 2.0)),
        ("many", [1, 2, 3], (1, 2, 3)),
        ("anything_in", ["a", 1], ("a", 1)),
        ("listed", [1, 2.5], [1.0, 2.5]),
        ("sequence", ["a"], ("a",)),
        ("table", {"a": 1}, {"a": 1}),
        ("mapping", {"a": [1]}, {"a": [1]}),
        ("inner", {"x": 1}, Inner(1)),
        ("inner", Inner(2), Inner(2)),
        ("inner", "none", None),
        ("inners", [{"x": 1}, {"x": 2}], [Inner(1), Inner(2)]),
        ("noted", 2, 2),
        ("whatever", [1, {"a": 2}], [1, {"a": 2}]),
        ("private", 3, 3),
    ],
)
def test_value_that_fits_is_read_with_its_type(key, given, read):
    value = getattr(structure(Everything, {key: given}), "_private" if key == "private" else key)
    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize(
    ("key", "given", "message"),
    [
        ("integer", "12", "expected an integer, got '12'"),
        ("integer", 3.0, "expected an integer, got 3.0"),
        ("integer", True, "expected an integer, got true"),
        ("integer", None, "expected an integer, got None"),
        ("integer", [1], "expected an integer, got a list"),
        ("integer", {"a": 1}, "expected an integer, got a table"),
        ("number", "1.0", "expected a number, got '1.0'"),
        ("number", True, "expected a number, got true"),
        ("number", float("nan"), "expected a finite number, got nan"),
        ("number", float("inf"), "expected a finite number, got inf"),
        ("text", 1, "expected a string, got 1"),
        ("switch", 1, "expected true or false, got 1"),
        ("switch", "true", "expected true or false, got 'true'"),
        ("path", 1, "expected a path, got 1"),
        ("choice", "be", "must be one of 'a', 'bee', 1, got 'be', did you mean 'bee'?"),
        ("choice", True, "must be one of 'a', 'bee', 1, got true"),
        ("choice", 1.0, "must be one of 'a', 'bee', 1, got 1.0"),
        ("choice", [1], "must be one of 'a', 'bee', 1, got a list"),
        ("maybe", "x", "expected an integer, got 'x'"),
        ("several", 1.5, "expected an integer or a string, got 1.5"),
        ("pair", [1], "expected 2 values, got 1"),
        ("pair", "ab", "expected a list, got 'ab'"),
        ("listed", "ab", "expected a list, got 'ab'"),
        ("table", [1], "expected a table, got a list"),
        ("inner", 3, "expected a table, got 3"),
        ("derived", 3, "unknown key"),
        ("_private", 3, "unknown key, did you mean 'private'?"),
    ],
)
def test_value_that_does_not_fit_is_said_so(key, given, message):
    (fault,) = faults(structure, Everything, {key: given})
    assert fault.startswith(f"{key}: {message}")


@pytest.mark.parametrize(
    ("key", "given", "where"),
    [
        ("many", [1, "x"], "many[1]: "),
        ("pair", ["x", 1.0], "pair[0]: "),
        ("table", {"a": 1.5}, "table.a: "),
        ("inners", [{"x": 1}, {"x": "y"}], "inners[1].x: "),
        ("inner", {}, "inner.x: missing"),
    ],
)
def test_fault_inside_a_value_is_located(key, given, where):
    (fault,) = faults(structure, Everything, {key: given})
    assert fault.startswith(where)


def test_all_faults_are_listed_at_once_with_validators_of_what_could_be_read():
    @attrs.frozen
    class Config:
        steps: int = attrs.field(validator=ge(1))
        size: str = attrs.field(default="S", validator=in_(("S", "B")))
        names: tuple[str, ...] = attrs.field(default=("a",), validator=min_len(1))
        share: float = attrs.field(default=0.5, validator=[ge(0.0), attrs.validators.lt(1.0)])
        width: int = 1

    assert faults(
        structure, Config, {"steps": 0, "size": "b", "names": [], "share": 1, "widht": 3, "width": "x"}
    ) == [
        "widht: unknown key, did you mean 'width'?",
        "width: expected an integer, got 'x'",
        "steps: must be at least 1, got 0",
        "size: must be one of 'S', 'B', got 'b', did you mean 'B'?",
        "names: its length must be at least 1, got 0",
        "share: must be below 1, got 1.0",
    ]


def test_missing_and_unknown_keys():
    assert faults(structure, Inner, {"y": 1}) == [
        "y: unknown key (known: x)",
        "x: missing, it has no default",
    ]


def test_cross_check_is_not_misled_by_a_field_in_error():
    @attrs.frozen
    class Config:
        low: int = 0
        high: int = attrs.field(default=10)

        @high.validator
        def _above(self, _, high):
            if high <= self.low:
                raise ConfigError(f"must be above low {self.low}, got {high}")

    assert faults(structure, Config, {"low": 3, "high": 2}) == ["high: must be above low 3, got 2"]
    assert faults(structure, Config, {"low": "x", "high": -1}) == ["low: expected an integer, got 'x'"]


def test_other_errors_of_a_config_class_keep_their_words():
    @attrs.frozen
    class Config:
        x: int = attrs.field(default=1, validator=instance_of(int))

        def __attrs_post_init__(self):
            if self.x == 2:
                raise ValueError("two is too many")

    assert faults(structure, Config, {"x": 2}) == ["two is too many"]


def test_type_that_no_plain_value_has():
    @attrs.frozen
    class Config:
        x: complex = 1j

    assert "cannot be read from a configuration" in faults(structure, Config, {"x": 1})[0]


def test_component_by_bare_name_table_and_instance(zoo):
    assert structure(Zoo, {}) == Zoo(cat=Lion())
    assert structure(Zoo, {"cat": "lion"}).cat == Lion()
    assert structure(Zoo, {"cat": {"type": "tiger", "stripes": 3}}).cat == Tiger(3)
    assert structure(Zoo, {"cat": Tiger(4)}).cat == Tiger(4)
    assert structure(Zoo, {"cat": {"size": 5}}).cat == Lion(5)  # the default's options
    assert structure(Zoo, {"cat": {"prey": {"type": "tiger", "stripes": 1}}}).cat.prey == Tiger(1)
    for nobody in ("none", None):
        assert structure(Zoo, {"guest": nobody}).guest is None


def test_table_of_components(zoo):
    cats = {
        "lion": {},
        "tiger": {"stripes": 2},
        "big": {"type": "lion", "size": 9},
        "gone": "none",
        "other": "lion",
    }
    assert structure(Zoo, {"cats": cats}).cats == {
        "lion": Lion(),
        "tiger": Tiger(2),
        "big": Lion(9),
        "other": Lion(),
    }


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"cat": "lino"}, "cat.type: unknown sampler 'lino', did you mean 'lion'? (known: lion, tiger)"),
        (
            {"cat": {"type": "lino"}},
            "cat.type: unknown sampler 'lino', did you mean 'lion'? (known: lion, tiger)",
        ),
        ({"cat": {"type": 3}}, "cat.type: expected a string, got 3"),
        ({"cat": 3}, "cat: expected the name of a sampler or a table, got 3 (known: lion, tiger)"),
        ({"cat": "none"}, "cat.type: unknown sampler 'none' (known: lion, tiger)"),
        ({"cat": "tiger"}, "cat.stripes: missing, it has no default"),
        ({"cat": {"size": 0}}, "cat.size: must be at least 1, got 0"),
        ({"guest": {"size": 0}}, "guest.type: missing, it names the sampler (known: lion, tiger)"),
        ({"cats": ["lion"]}, "cats: expected a table of samplers by name, got a list"),
        (
            {"cats": {"lino": {}}},
            "cats.lino.type: unknown sampler 'lino', did you mean 'lion'? (known: lion, tiger)",
        ),
        ({"cats": {"lion": {"sise": 2}}}, "cats.lion.sise: unknown key, did you mean 'size'?"),
    ],
)
def test_faults_of_components(zoo, data, fault):
    assert faults(structure, Zoo, data) == [fault]


def test_unknown_component_mentions_faulty_plugins(zoo):
    zoo.faults.append(Fault("ark", "ark-plugin", "2.0", "cannot be imported: ImportError: x"))
    (fault,) = faults(structure, Zoo, {"cat": "panther"})
    assert fault.endswith(
        "it may be missing because plugin 'ark' of ark-plugin 2.0 cannot be imported: ImportError: x"
    )


def test_component_function(zoo):
    assert component("sampler", "lion") == Lion()
    assert component("sampler", "none", optional=True) is None
    assert component("sampler", {"size": 2}, default="lion") == Lion(2)
    assert faults(component, "sampler", {"type": "lion", "size": "2"}) == [
        "sampler.size: expected an integer, got '2'"
    ]


def test_component_fields_convert_in_python_too():
    @attrs.frozen
    class Config:
        refiner: Any = component_field("refiner", "plain")
        none: Any = component_field("refiner", None, optional=True)
        table: dict[str, Any] = component_table("refiner")

    made = Config(table={"plain": {}, "vera": "none"})
    assert type(made.refiner).__name__ == "PlainConfig"
    assert made.none is None
    assert list(made.table) == ["plain"]
    with pytest.raises(ConfigError, match="did you mean 'vera'"):
        Config(refiner="verra")


def test_required_table_needs_one():
    @attrs.frozen
    class Config:
        table: dict[str, Any] = component_table("refiner", required=True)

    assert faults(structure, Config, {"table": {"plain": "none"}}) == [
        "table: its length must be at least 1, got 0"
    ]
    assert faults(structure, Config, {}) == [
        "table: missing, it takes at least one refiner (known: film, gated, plain, vera)"
    ]


def test_dump_comes_back(zoo):
    full = Everything(
        maybe=3, pair=(3, 4.0), table={"a": 1}, inner=Inner(1), inners=[Inner(2)], path=Path("x/y"), private=4
    )
    for config in (full, Everything()):
        dumped = dump(config)
        dumped.pop("whatever")  # a value without a type comes back as it is written
        assert structure(Everything, dumped) == config
    menagerie = Zoo(cat=Lion(3, prey=Tiger(2)), cats={"big": Lion(9), "tiger": Tiger(1)})
    assert structure(Zoo, dump(menagerie)) == menagerie
    assert dump(menagerie)["cats"] == {
        "big": {"type": "lion", "size": 9, "prey": "none"},
        "tiger": {"type": "tiger", "stripes": 1},
    }
