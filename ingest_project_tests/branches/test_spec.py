"""Branch files: what is taken, what is refused and with which words, what the digest sees."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_project.branches.spec import BranchSpec, parse_spec
from ingest_project.errors import SpecInvalid
from ingest_project.item import content_fields

Given = dict[str, Any]
LEAST: Given = {"name": "b", "source": "s", "location": "/x.csv", "key": "id", "mapping": {"name": "title"}}
EVERYTHING: Given = {
    **LEAST,
    "format": "csv",
    "delimiter": ";",
    "encoding": "cp1252",
    "quoted": False,
    "skip_lines": 2,
    "nested": "flatten",
    "updated_at": "changed",
    "mapping": {"name": "title", "status": {"constant": "open"}, "category": {"column": "k", "default": "other"}},
    "unmapped": "drop",
    "country": "DE",
    "time_zone": "Europe/Berlin",
    "time_format": "%d.%m.%Y %H:%M",
    "locale": "de_DE",
    "priority": 7,
    "missing": "tombstone",
    "embed": False,
    "contract": "freeze",
    "required": ["category"],
    "reject_on": ["country_unknown"],
    "sentinels": {"category": ["tbd"]},
    "limits": {"max_age": "P1DT12H", "max_reject_ratio": 0.25, "max_null_ratio": {"phone": 0.5}},
}


def spec(**changed: object) -> BranchSpec:
    return parse_spec({**LEAST, **changed}, origin="test.yaml")


def mistakes(**changed: object) -> str:
    with pytest.raises(SpecInvalid) as caught:
        spec(**changed)
    assert caught.value.where["file"] == "test.yaml"
    assert caught.value.exit_code == 2
    return caught.value.what


def with_name(origin: object) -> Given:
    return {"mapping": {"name": "title", "category": origin}}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        EVERYTHING,
        {"country": None, "updated_at": None},
        {"country": "XK"},
        {"time_zone": "America/Argentina/Buenos_Aires"},
        {"locale": "zh_Hans_CN"},
        {"time_format": "%d/%m/%Y %H:%M"},
        {"time_format": "%b %d, %y %I:%M %p %z"},
        {"time_format": "epoch_ms"},
        {"priority": -32768},
        {"priority": 32767},
        {"limits": {"max_reject_ratio": 0}},
        {"limits": {"max_age": "36:00:00"}},
        {"limits": {"max_age": 3600}},
        {"mapping": dict.fromkeys(content_fields(), "c")},
        {"key": 'a "quoted"; column--', "mapping": {"name": "ünï\ncode"}},
        {"location": "data/*.parquet"},
        {"location": "C:\\data\\x.csv"},
        {"location": "/mail/me@home:backup.csv"},
        {"location": "s3://bucket/a.csv?versionId=3&partition_key=1"},
        {"location": "${FOLDER}/x.csv"},
        {"location": "https://${USER}:${PASSWORD}@host/x.csv"},
        {"location": "https://host/x.csv?token=${TOKEN}&v=1"},
        {"location": "https://user@host/x.csv"},
    ],
)
def test_what_is_right_is_taken(changed: Given) -> None:
    taken = spec(**changed)
    assert BranchSpec.model_validate(taken.canonical()) == taken


@pytest.mark.parametrize(
    "name",
    ["b", "n" * 200, 'it\'s "quoted"', "a/b\\c", "'; drop table --", "über 東京 🚲", "a.b..c", "100%s {x}", "a, b"],
)
def test_a_name_may_be_what_people_call_it(name: str) -> None:
    assert spec(name=name, source=name).name == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "at least 1"),
        ("n" * 201, "at most 200"),
        ("n" * 300, "at most 200"),
        (" b", "white space"),
        ("b ", "white space"),
        ("\u00a0b", "white space"),
        ("a\nb", "control"),
        ("a\0b", "control"),
        ("a\tb", "control"),
        ("a\u200bb", "control"),
        ("a\u202eb", "control"),
        ("a\ud800b", "unicode"),
        ("a...b", "Dagster"),
        (7, "valid string"),
        (None, "valid string"),
    ],
)
@pytest.mark.parametrize("field", ["name", "source"])
def test_a_name_that_cannot_be_read_or_is_not_for_dagster_is_refused(field: str, name: object, why: str) -> None:
    said = mistakes(**{field: name})
    assert f"{field}: " in said
    assert why in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"limits": {"max_rows": 1}}, "limits.max_rows: Extra inputs"),
        (with_name({"columns": "c"}), "mapping.category.columns: Extra inputs"),
        ({1: "x"}, "1: Keys should be strings"),
        (
            {"mapping": {"name": "n", "titel": "t", "nmae": "t"}},
            "no item field: nmae, titel; fields are name, ",
        ),
        ({"mapping": {"name": "n", "external_id": "id"}}, "no item field: external_id"),
        ({"mapping": {}}, "mapping must say where name comes from"),
        ({"mapping": {"category": "c"}}, "mapping must say where name comes from"),
        ({"mapping": None}, "mapping: "),
        ({"mapping": ["name"]}, "mapping: "),
        (with_name({"column": "c", "constant": "x"}), "mapping.category: give either a column or a constant"),
        (with_name({}), "give either a column or a constant"),
        (with_name({"default": "x"}), "give either a column or a constant"),
        (with_name({"constant": "x", "default": "y"}), "a constant needs no default"),
        (with_name(""), "mapping.category.column: "),
        (with_name({"constant": ""}), "mapping.category.constant: "),
        (with_name({"constant": 5}), "mapping.category.constant: "),
        (with_name(["c"]), "mapping.category: "),
        (with_name("a\0b"), "NUL"),
        ({"missing": "delete"}, "missing: "),
        ({"format": "xlsx"}, "format: "),
        ({"unmapped": "ignore"}, "unmapped: "),
        ({"key": ""}, "key: "),
        ({"key": "a\0b"}, "key: must not have the character NUL"),
        ({"updated_at": ""}, "updated_at: "),
        ({"location": ""}, "location: "),
        ({"location": "a\0b"}, "location: "),
        ({"country": "DEU"}, "country: must be an ISO"),
        ({"country": "de"}, "country: must be an ISO"),
        ({"country": "ZZ"}, "country: must be an ISO"),
        ({"country": ""}, "country: must be an ISO"),
        ({"country": False}, "country: "),
        ({"time_zone": "CEST"}, "time_zone: must be an IANA"),
        ({"time_zone": "+02:00"}, "time_zone: must be an IANA"),
        ({"time_zone": "../../etc/passwd"}, "time_zone: must be an IANA"),
        *(
            ({"time_format": text}, "time_format: must say year, month and day")
            for text in (
                "",
                "d/m/Y",
                "%d/%m",
                "%H:%M",
                "%d/%m/%Y %Z",
                "%c",
                "%d/%m/%Y %I:%M",
                "%-d/%m/%Y",
                "epoch",
                "%Q",
            )
        ),
        ({"locale": "xx_YY"}, "locale: must be a locale"),
        ({"locale": ""}, "locale: must be a locale"),
        ({"locale": "german"}, "locale: must be a locale"),
        ({"priority": 32768}, "priority: "),
        ({"priority": 1.5}, "priority: "),
        ({"priority": True}, "priority: "),
        ({"priority": "1"}, "priority: "),
        ({"embed": "no"}, "embed: "),
        ({"limits": None}, "limits: "),
        ({"limits": {"max_age": 0}}, "limits.max_age: "),
        ({"limits": {"max_age": "-P1D"}}, "limits.max_age: "),
        ({"limits": {"max_age": "a day"}}, "limits.max_age: "),
        ({"limits": {"max_age": float("inf")}}, "limits.max_age: "),
        ({"limits": {"max_reject_ratio": 1.01}}, "limits.max_reject_ratio: "),
        ({"limits": {"max_null_ratio": {"phone": 2}}}, "limits.max_null_ratio.phone: "),
        ({"limits": {"max_null_ratio": {"telephone": 0}}}, "limits.max_null_ratio names no item field: telephone"),
        ({"contract": "strict"}, "contract: "),
        ({"required": ["telephone"]}, "required names no item field: telephone"),
        ({"sentinels": {"telephone": ["x"]}}, "sentinels names no item field: telephone"),
        ({"reject_on": ["key_missing"]}, "reject_on names no issue: key_missing"),
        ({"limits": {"max_reject_ratio": -0.1}}, "limits.max_reject_ratio: "),
        ({"limits": {"max_reject_ratio": float("nan")}}, "limits.max_reject_ratio: "),
        ({"limits": {"max_reject_ratio": "20%"}}, "limits.max_reject_ratio: "),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(changed: dict[Any, Any], said: str) -> None:
    with pytest.raises(SpecInvalid) as caught:
        parse_spec({**LEAST, **changed}, origin="test.yaml")
    assert said in caught.value.what


@pytest.mark.parametrize(
    "location",
    [
        "https://user:Xyzzy@host/x.csv",
        "s3://AKIA:Xyzzy@bucket/x.csv",
        "https://:Xyzzy@host/x.csv",
        "https://host/x.csv?token=Xyzzy",
        "https://host/x.csv?v=1&TOKEN=Xyzzy",
        "https://host/x.csv?access_token=Xyzzy",
        "https://host/x.csv?api-key=Xyzzy",
        "https://host/x.csv?client_secret=Xyzzy",
        "https://bucket.s3.amazonaws.com/x.csv?X-Amz-Expires=60&X-Amz-Signature=Xyzzy",
        "https://storage.googleapis.com/b/x.csv?X-Goog-Signature=Xyzzy",
        "https://account.blob.core.windows.net/x.csv?sv=2020&sig=Xyzzy",
        "https://host/x.csv?password=Xyzzy${NOT_ONLY_THIS}",
    ],
)
def test_a_location_with_a_secret_is_refused_and_not_repeated(location: str) -> None:
    said = mistakes(location=location)
    assert "location: must not carry a password" in said
    assert "Xyzzy" not in said


def test_all_mistakes_are_said_at_once_a_line_each() -> None:
    said = mistakes(colour="red", country="de", priority=1_000_000, limits={"max_reject_ratio": 2}, name="")
    assert len(said.splitlines()) == 1 + 5
    for field in ("colour", "country", "priority", "limits.max_reject_ratio", "name"):
        assert f"    {field}: " in said


@pytest.mark.parametrize("field", sorted(LEAST))
def test_what_must_be_there_is_asked_for(field: str) -> None:
    with pytest.raises(SpecInvalid) as caught:
        parse_spec({name: value for name, value in LEAST.items() if name != field}, origin="test.yaml")
    assert f"{field}: Field required" in caught.value.what


def test_the_json_schema_tells_an_editor_every_field() -> None:
    schema = json.loads(json.dumps(BranchSpec.model_json_schema()))
    assert set(schema["properties"]) == set(BranchSpec.model_fields) == {*EVERYTHING, "cursor"}
    assert set(schema["required"]) == set(LEAST)
    assert schema["additionalProperties"] is False
    silent = [name for name, field in schema["properties"].items() if "description" not in field]
    assert silent == ["limits"], "which describes its own"


def test_the_digest_does_not_see_the_order_of_settings() -> None:
    backwards = {name: EVERYTHING[name] for name in reversed(EVERYTHING)}
    backwards["mapping"] = dict(reversed(EVERYTHING["mapping"].items()))
    assert parse_spec(backwards, origin="x").digest() == spec(**EVERYTHING).digest()


def test_the_digest_does_not_see_a_default_that_is_spelled_out() -> None:
    said = spec(format="auto", priority=0, limits={}, mapping={"name": {"column": "title"}}, locale="en")
    assert said.digest() == spec().digest()
    assert spec(locale="de-DE").digest() == spec(locale="de_DE").digest()


@pytest.mark.parametrize("field", sorted(EVERYTHING))
def test_the_digest_sees_every_setting(field: str) -> None:
    changed = {"location": "/y.csv", "key": "k", "name": "c", "source": "t", "mapping": {"name": "other"}}
    value = changed.get(field, EVERYTHING[field])
    assert spec(**{field: value}).digest() != spec().digest()


def test_the_digest_of_a_release_is_that_of_the_next() -> None:
    # Another one makes every branch `changed`, and supersedes what is under way.
    assert spec().digest() == "2e5170c2b88d3c1d3cbbfe758e824451"


def test_what_a_release_adds_counts_in_the_digest_where_it_is_said() -> None:
    assert spec(contract="warn", limits={"max_reject_ratio": 1.0}).digest() == spec().digest()
    said: list[Given] = [
        {"contract": "evolve"},
        {"required": ["category"]},
        {"limits": {"max_shrink_ratio": 0.5}},
        {"limits": {"max_change_ratio": 0.0}},
        {"limits": {"max_null_ratio": {"phone": 0.0}}},
    ]
    assert len({spec(**one).digest() for one in [{}, *said]}) == 6


def test_what_is_not_declared_is_not_judged_by_a_handful_of_rows() -> None:
    limits = spec(limits={"max_shrink_ratio": 0.1}).limits
    assert [limits.of("reject_ratio", rows) for rows in (99, 100)] == [1.0, 0.5]
    assert [limits.of("shrink_ratio", rows) for rows in (1, 100)] == [0.1, 0.1]
    assert limits.of("change_ratio", 10**6) == 1.0
    assert [limits.of("null_ratio.phone", rows) for rows in (99, 100)] == [1.0, 0.95]


names = st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text)


@given(
    mapping=st.dictionaries(
        st.sampled_from(content_fields()),
        names | st.fixed_dictionaries({"constant": names}) | st.fixed_dictionaries({"column": names, "default": names}),
    ),
    key=names,
    seconds=st.integers(1, 10**9),
    ratio=st.floats(0, 1),
    priority=st.integers(-32768, 32767),
)
def test_what_is_stored_is_the_same_spec_again(
    mapping: Given, key: str, seconds: int, ratio: float, priority: int
) -> None:
    limits = {"max_age": seconds, "max_reject_ratio": ratio}
    one = spec(mapping={"name": "n", **mapping}, key=key, limits=limits, priority=priority)
    stored = json.loads(json.dumps(one.canonical()))
    assert BranchSpec.model_validate(stored) == one
    assert BranchSpec.model_validate(stored).digest() == one.digest()


def test_declared_columns_are_named_once_in_the_order_of_the_file() -> None:
    mapping = {"name": "title", "status": {"constant": "open"}, "street": "id", "category": {"column": "k"}}
    assert spec(mapping=mapping, updated_at="at").declared_columns() == ["id", "at", "title", "k"]
    assert str(spec(time_zone="Asia/Tokyo").zone) == "Asia/Tokyo"
