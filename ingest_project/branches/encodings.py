"""Encodings of text, by any of their names."""

import codecs

# What calls itself the first is written by Windows as the second, which has all of it and more: 髙 and ① are not in the
# standard of Shift JIS. Browsers read them so too.
_AS_WRITTEN = {"shift_jis": "cp932", "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949"}


def encoding_of_text(name: str) -> str:
    """The one name under which Python knows it. Raises ValueError."""
    try:
        found = codecs.lookup(name)
        "".encode(found.name)  # not every codec is one of text
    except LookupError as error:
        raise ValueError("must be an encoding of text such as utf-8, windows-1252 or utf-16") from error
    return _AS_WRITTEN.get(found.name, found.name)
