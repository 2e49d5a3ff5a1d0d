"""The codes of rejects, issues and gates: for each what happened, and what a person can do about it."""

from typing import NamedTuple


class Code(NamedTuple):
    """What a code means and what to do about it."""

    meaning: str
    remedy: str


REJECTS: dict[str, Code] = {
    "malformed_row": Code(
        "a line with more or fewer values than the header, the header again, or no JSON object with each key once",
        "mend the line at the source; or `quoted: false`, where a quote is a letter as any other",
    ),
    "key_missing": Code("the key is blank", "give the row a key, or name another key column"),
    "key_unusable": Code("the key is longer than 200 characters", "name another key column"),
    "name_missing": Code("the name is blank", "map another column to name, or give it a default"),
    "name_unusable": Code("the name is longer than 500 characters", "map another column to name"),
    "required_missing": Code("a field that the branch requires is blank or was set aside", "mend it at the source"),
    "duplicate_key": Code("another row of this activation has the key and is newer", "make keys unique at the source"),
    "key_superseded": Code("replayed, and a later activation had carried the key already", "none needed"),
}

ISSUES: dict[str, Code] = {
    "mojibake_repaired": Code("text decoded with the wrong encoding was repaired", "export the source as UTF-8"),
    "characters_removed": Code(
        "control or invisible characters, or NUL, were removed; one of nothing else is blank", "none needed"
    ),
    "entities_decoded": Code("entities of HTML became the characters that they stand for", "export plain text"),
    "guard_removed": Code('="007", as written for a spreadsheet, became 007', "export the value alone"),
    "not_utf8": Code("bytes that are no UTF-8 were replaced by �", "export the source as UTF-8"),
    "bytes_encoded": Code(
        "bytes that are no text (no UTF-8, or a NUL among them) became base64, in attributes or a nested value",
        "export text as UTF-8, or map what is inside",
    ),
    "unicode_composed": Code("letters and accents were joined (NFC)", "none needed"),
    "whitespace_folded": Code("white space was folded or trimmed", "none needed"),
    "sentinel_removed": Code("a text that stands for 'not known'; taken as blank", "export a blank instead"),
    "too_long": Code(
        "longer than the field allows; set aside, and whole in attributes under its column",
        "map it to description, or leave it unmapped",
    ),
    "invalid_value": Code("not what the field allows; set aside", "mend the value at the source"),
    "status_recognised": Code("another word for a status", "none needed"),
    "status_unknown": Code("not a status; set aside", "leave the column unmapped to keep it in attributes"),
    "country_recognised": Code("a name or another code of a country became its ISO code", "none needed"),
    "country_unknown": Code("no country that we know; set aside", "use ISO alpha-2 codes at the source"),
    "region_recognised": Code("a name or bare code of a region became its ISO 3166-2 code", "none needed"),
    "region_unknown": Code("no region of this country; set aside", "map it to region_name instead"),
    "region_of_other_country": Code("a region of another country; set aside", "check country and region"),
    "postal_code_repaired": Code("a postal code damaged by a spreadsheet was repaired", "export it as text"),
    "postal_code_reformatted": Code("in ASCII, without spaces, points, country, 〒 or an apostrophe", "none needed"),
    "postal_code_unusual": Code("not how this country writes postal codes; kept", "check country and code"),
    "coordinate_unreadable": Code("not a number of degrees; set aside", "export decimal degrees"),
    "coordinate_notation": Code("degrees written in another way were read", "none needed"),
    "coordinate_sentinel": Code("a number that stands for 'not known'; set aside", "export a blank instead"),
    "coordinate_out_of_range": Code("outside -90..90 or -180..180; set aside", "check the mapping"),
    "coordinates_swapped": Code("only possible with latitude and longitude swapped; set aside", "check the mapping"),
    "coordinates_exchanged": Code(
        "far from its country, and in it the other way round; exchanged. In a country as far east as north, such as "
        "Turkey, both ways may be in it: such a place is kept as it came",
        "check the mapping",
    ),
    "coordinates_elsewhere": Code("far from its country either way; kept", "check country and coordinates"),
    "coordinate_unpaired": Code("latitude without longitude, or the reverse; set aside", "export both or none"),
    "null_island": Code("0, 0 stands for 'not known'; set aside", "export blanks instead"),
    "longitude_wrapped": Code("-180 and 180 are one meridian; stored as 180", "none needed"),
    "phone_reformatted": Code("written as E.164", "none needed"),
    "phone_multiple": Code("several numbers in one field; the first is kept", "split them at the source"),
    "phone_unreadable": Code("not a phone number; set aside", "export it as text, with its country code"),
    "phone_invalid": Code("no such number in this country; set aside", "check number and country"),
    "phone_ext_reformatted": Code("an extension was brought to its digits", "none needed"),
    "phone_ext_unreadable": Code("not an extension; set aside", "export digits"),
    "url_scheme_added": Code("https:// was put before it", "none needed"),
    "url_refused": Code("not a plain http or https address; set aside", "mend the address at the source"),
    "price_unreadable": Code("not an amount in the branch's locale; set aside", "declare the locale of the branch"),
    "price_notation": Code("an amount with a symbol, or not as the locale writes it, was read", "none needed"),
    "price_out_of_range": Code("negative, or ten thousand million and more; set aside", "check the mapping"),
    "price_rounded": Code("the noise of a floating point number was rounded away", "export decimals"),
    "price_too_fine": Code("more than four decimals; set aside", "export amounts of at most four decimals"),
    "price_without_currency": Code("an amount in no currency; set aside", "map currency, or give a constant"),
    "currency_without_price": Code("a currency of no amount; set aside", "none needed"),
    "currency_recognised": Code("another way to write a currency", "none needed"),
    "currency_ambiguous": Code(
        "a symbol of several currencies, and none is the country's or the locale's; set aside",
        "map currency, or give a constant",
    ),
    "currency_contradicted": Code("the amount names another currency; both set aside", "check both columns"),
    "currency_unknown": Code("not an ISO 4217 currency; set aside", "use ISO codes at the source"),
    "time_missing": Code("no source time: the row ranks lowest", "fill the updated_at column"),
    "time_unreadable": Code(
        "not ISO 8601, nor as declared: the row ranks lowest", "export it so, or declare time_format"
    ),
    "time_ambiguous": Code("a day or a month first? The row ranks lowest", "declare time_format, such as %d/%m/%Y"),
    "time_truncated": Code("finer than a microsecond; cut", "none needed"),
    "not_finite": Code("NaN or Infinity, which is no value; left out", "export a blank instead"),
}

# Why a row may have been set aside: a branch may reject on any issue.
REASONS = {**REJECTS, **ISSUES}
# Rejects because of another row with the same key: a replay leaves them out.
GAVE_WAY = ("key_superseded", "duplicate_key")

# The limit of a gate is the setting `limits.max_CODE` of its branch; of the first two `limits.max_age` and `contract`.
GATES: dict[str, Code] = {
    "freshness": Code("the source was last written too long ago", "deliver it anew, or raise `limits.max_age`"),
    "contract": Code("not the columns of the last time, and `contract` is `freeze`", "mend the source or the mapping"),
    "reject_ratio": Code("too many rows are rejects", "`ingest rejects NAME` says why; mend the source or the mapping"),
    "duplicate_ratio": Code("too many rows share their key with another", "name the column that is the key"),
    "null_ratio": Code(
        "a field is null in too many items", "see that its column is there; look at its issues in `ingest profile NAME`"
    ),
    "shrink_ratio": Code("much smaller than the activation before", "check that the export is whole"),
    "rekeyed_ratio": Code("most keys are new and most old ones missing", "check that the key column is what it was"),
    "change_ratio": Code("too many items would be updated", "`ingest plan NAME` shows which columns differ"),
}

ALL: dict[str, dict[str, Code]] = {"reject": REJECTS, "issue": ISSUES, "gate": GATES}
_HEADINGS = {
    "reject": "Rejects: rows that are no items. `ingest rejects NAME` shows them.",
    "issue": "Issues: what normalization changed or set aside in an item. `issues` of `core.items` and `ingest profile "
    "NAME` show them; a branch may reject on them (`reject_on`).",
    "gate": "Gates: what blocks an activation. `ingest accept ACTIVATION CODE --why ...` takes it all the same.",
}


def as_markdown() -> str:
    """All codes as a page of Markdown: `.docs/codes.md` is this text."""
    lines = ["# Codes", "", "Made by `ingest codes --markdown`.", ""]
    for kind, table in ALL.items():
        lines += ["## " + _HEADINGS[kind].partition(":")[0], "", _HEADINGS[kind].partition(": ")[2], ""]
        lines += ["| code | what happened | what to do |", "| --- | --- | --- |"]
        lines += [f"| `{code}` | {entry.meaning} | {entry.remedy} |" for code, entry in table.items()]
        lines.append("")
    return "\n".join(lines)
