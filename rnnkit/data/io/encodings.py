"""Detection of the encoding of text."""

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ALPHABETS = (
    "äöüßÄÖÜ",  # German
    "àâæçéèêëîïôœùûüÿÀÂÆÇÉÈÊËÎÏÔŒÙÛÜŸ",  # French
    "áéíóúüñÁÉÍÓÚÜÑ",  # Spanish
    "àáâãçéêíóôõúüÀÁÂÃÇÉÊÍÓÔÕÚÜ",  # Portuguese
    "àèéìíòóùúÀÈÉÌÒÙ",  # Italian
    "åäöæøéÅÄÖÆØÉ",  # Danish, Norwegian, Swedish
    "áéëíïóöúüèÁÉËÍÏÓÖÚÜ",  # Dutch
)
_SYMBOLS = "°µ§€£²³±«»‘’“”–—…•·½¼¾¿¡ªº©®™×\xa0"
_INSIDE_WORDS = re.compile(rf"[^\W\d_][{_SYMBOLS.replace('’', '').replace('·', '')}][^\W\d_]")

WESTERN = "windows-1252"


def marked_encoding(start: bytes) -> str | None:
    """The encoding that a byte order mark states, or None."""
    return next((name for mark, name in _MARKS if start.startswith(mark)), None)


def guessed_encoding(block: bytes) -> str | None:
    """Windows-1252 if text that is not UTF-8 is certain to have it, or None.

    All letters beyond ASCII must be in the alphabet of one western European language. All other characters beyond ASCII
    must be common symbols outside of words.

    >>> guessed_encoding("un café".encode("latin-1")), guessed_encoding("здесь".encode("cp1251"))
    ('windows-1252', None)
    """
    try:
        text = block.decode(WESTERN)
    except UnicodeDecodeError:
        return None
    beyond = {character for character in set(text) if ord(character) > 127}
    letters = {character for character in beyond if character not in _SYMBOLS}
    is_language = any(letters <= set(alphabet) for alphabet in _ALPHABETS)
    return WESTERN if is_language and not _INSIDE_WORDS.search(text) else None
