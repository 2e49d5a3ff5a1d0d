"""Mojibake of each kind that ftfy knows, and the characters that it is made of."""

import re

from ftfy.badness import MOJIBAKE_CATEGORIES

_OF_FTFY = re.compile(f"[{''.join(MOJIBAKE_CATEGORIES.values())}]")
# All that ftfy tells apart, and the neighbours it asks for.
TOLD = [*_OF_FTFY.findall("".join(map(chr, range(0x110000)))), *" .,?\nAaz0_é\u0405Ђ東"]
KNOWN = [
    *("ØŸØŸ", "ГўВЂВ. ", "вЂ”", "à²¾", "√±", "≈°", "‚Ä†", "‚âà", "a Â ", "Ã ", "β€™", "ā€”"),
    *("œ é", "В°С", "Â°", "×²", "\x80"),
    *("cafÃ©", "MÃ¼ller", "â€™", "Ñ‚ÐµÑÑ‚", "é”x", "é”ж", "Å¡koda", "\ufffdé", "aÉ€"),
]
