"""Text encodings: any name of one to the name that Python knows it by."""

import codecs

# Supersets to read these encodings with, as browsers do: under the name on the left Windows writes the encoding on the
# right. 髙 and ①, for example, are not in the standard of Shift JIS.
_SUPERSETS = {"shift_jis": "cp932", "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949"}


def python_encoding(name: str) -> str:
    """The name of Python's codec to read it with. Raises ValueError."""
    try:
        codec = codecs.lookup(name)
        "".encode(codec.name)  # fails for codecs that are not text encodings, such as base64
    except LookupError as error:
        raise ValueError("must be an encoding of text such as utf-8, windows-1252 or utf-16") from error
    return _SUPERSETS.get(codec.name, codec.name)
