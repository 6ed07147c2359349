# SPDX-License-Identifier: MIT
"""A worker that takes a while to start, as those do that load a model: slugs of file names.

Each line of input is a path; each line of output is what it is called in a link: letters, digits
and dashes, whatever script and accents the name has. At its start it works out what becomes of
every character that Unicode names. It knows of no library and no protocol but lines.
"""

import re
import sys
import unicodedata

LATIN = re.compile(r"LATIN (?:SMALL|CAPITAL) LETTER ([A-Z])\b")


def plain(character):
    """What stands for a character in a slug: small letters and digits, or a dash."""
    decomposed = unicodedata.normalize("NFKD", character)
    kept = "".join(part for part in decomposed if part.isascii() and part.isalnum())
    if kept:
        return kept.lower()
    latin = LATIN.match(unicodedata.name(character, ""))
    return latin.group(1).lower() if latin else "-"


def main():
    """Answer each line before the next is waited for."""
    table = {code: plain(chr(code)) for code in range(0x30000) if not 0xD800 <= code < 0xE000}
    dashes = re.compile("[^a-z0-9]+")
    sys.stdin.reconfigure(encoding="utf-8", errors="replace", newline="\n")
    for line in sys.stdin:
        slug = dashes.sub("-", line.rstrip("\n").translate(table)).strip("-")
        sys.stdout.write(slug + "\n")
        sys.stdout.flush()


main()
