"""Names of files and columns that every system and EcoTaxa can hold."""

import re
import unicodedata
from hashlib import sha256

from aqqua_science.sources.ecotaxa_values import PREDEFINED

PREFIXES = ("object", "acq", "process", "sample")
"""What the name of a free column begins with."""

_LONGEST = 80
_SAFE_PIECE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.()+=@,# -]*", re.ASCII)
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?|.*images", re.IGNORECASE)


class Names:
    """Names within one folder, told apart whatever their case."""

    def __init__(self):
        self._taken = set()

    def take(self, stem, suffix):
        """
        Take the first name that is free.

        Parameters
        ----------
        stem : str
        suffix : str

        Returns
        -------
        str
            Stem and suffix, with a number between them where another has that name.

        Examples
        --------
        >>> names = Names()
        >>> names.take("a", ".png"), names.take("A", ".png")
        ('a.png', 'A_1.png')
        """
        name, number = stem + suffix, 0
        while name.lower() in self._taken:
            number += 1
            name = f"{stem}_{number}{suffix}"
        self._taken.add(name.lower())
        return name


def plain_name(text):
    """
    Write a text with letters, digits, ``-`` and ``_`` alone.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        At most 80 characters; longer ones end in a hash of the text. Empty when nothing is left.

    Examples
    --------
    >>> plain_name("Sète, net 2/3"), plain_name("../..")
    ('Sete_net_2_3', '')
    """
    decomposed = unicodedata.normalize("NFKD", text)
    ascii_only = "".join(c for c in decomposed if not unicodedata.combining(c))
    name = re.sub(r"[^A-Za-z0-9-]+", "_", ascii_only, flags=re.ASCII).strip("_-")
    return shortened(name, _LONGEST)


def shortened(text, limit):
    """
    Cut a text that is too long, and keep it apart from others by a hash.

    Parameters
    ----------
    text : str
    limit : int

    Returns
    -------
    str

    Examples
    --------
    >>> shortened("abc", 3), shortened("a" * 30, 12)
    ('abc', 'aaa-3a54fc0c')
    """
    return text if len(text) <= limit else f"{text[: limit - 9]}-{sha256(text.encode()).hexdigest()[:8]}"


def image_stem(name):
    """
    Name the PNG that stands for an image, without its suffix.

    Parameters
    ----------
    name : str
        As a table has it.

    Returns
    -------
    str
        The name itself, as far as it is safe in every system: relative, in letters, digits and common signs.

    Examples
    --------
    >>> image_stem("run 1/a.png"), image_stem("../Œuf.jpg"), image_stem("C:\\\\x.bmp")
    ('run 1/a', 'uf', 'C_x')
    """
    stem = re.sub(r"\.(?:png|jpe?g|gif|tiff?|bmp)$", "", name.strip(), flags=re.IGNORECASE)
    pieces = stem.split("/")
    is_deep = len(pieces) > 3 or "." in "".join(pieces[:-1])
    if len(stem) <= 2 * _LONGEST and not is_deep and all(map(_is_safe, pieces)):
        return stem
    return plain_name(stem) or "image"


def _is_safe(piece):
    """Whether a name makes no trouble anywhere; EcoTaxa takes folders that end in Images, and zips, for bundles."""
    return (
        bool(_SAFE_PIECE.fullmatch(piece))
        and len(piece) <= _LONGEST
        and not piece.endswith((" ", "."))
        and not piece.lower().endswith(".zip")
        and not _RESERVED.fullmatch(piece)
    )


def is_bundle_column(name):
    """
    Tell whether EcoTaxa's import knows a column, or takes it as a free one.

    Parameters
    ----------
    name : str

    Returns
    -------
    bool

    Examples
    --------
    >>> is_bundle_column("Object_area"), is_bundle_column("area"), is_bundle_column("img_area")
    (True, False, False)
    """
    name = name.strip().lower()
    prefix, underscore, _ = name.partition("_")
    return name in PREDEFINED or bool(underscore and prefix in PREFIXES)


def free_name(name, taken):
    """
    Name the free column that a column of another source becomes.

    Parameters
    ----------
    name : str
    taken : set of str
        Names in use; the new one is added.

    Returns
    -------
    str

    Examples
    --------
    >>> free_name("PMT A", set()), free_name("object_id", {"object_id"}), free_name("acq_gain", set())
    ('object_pmt_a', 'object_raw_object_id', 'acq_gain')
    """
    plain = plain_name(name).lower().replace("-", "_") or "column"
    is_free = plain.partition("_")[0] in PREFIXES and "_" in plain
    found = plain if is_free else f"object_{plain}"
    if found in taken or found in PREDEFINED or found.startswith("object_aqqua_"):
        found, number = f"object_raw_{plain}", 1
        while found in taken:
            number += 1
            found = f"object_raw_{plain}_{number}"
    taken.add(found)
    return found
