"""
What a Plankton Imager (Pi-10) writes into its image files.

Their names begin with the number of the instrument and the date (``Pia1.2016-10-04...``); the position of the ship is
in the file's EXIF, as degrees or as degrees, minutes and seconds. The time there does not say its zone: it is kept as
written, as ``EXIF.DateTime``, and is no ``time``.
"""

import io
import math
import re
import warnings

from PIL import Image

from aqqua_science.sources.record import PictureError

_NAME = re.compile(r"pia\d+\.\d{4}-\d\d-\d\d\.", re.IGNORECASE)
_GPS, _DATE_TIME = 0x8825, 306
_MAX_BYTES = 2**26


def imager_metadata(tree, name):
    """
    Read what is known of an image by a Plankton Imager.

    Parameters
    ----------
    tree : Tree
    name : str
        File of the image.

    Returns
    -------
    metadata : dict
        ``instrument``, ``latitude`` and ``longitude``; empty when the name is not one of a Plankton Imager's.
    raw : dict of str to str
    """
    if not _NAME.match(name.rpartition("/")[2]):
        return {}, {}
    try:
        tags, position = _read_tags(tree.read(name, limit=_MAX_BYTES))
    except PictureError:
        return {"instrument": "PlanktonImager"}, {}
    found = {"latitude": _degrees(position, 2, 1, "S"), "longitude": _degrees(position, 4, 3, "W")}
    known = {key: value for key, value in found.items() if value is not None}
    moment = tags.get(_DATE_TIME)
    return {"instrument": "PlanktonImager", **known}, {"EXIF.DateTime": moment} if isinstance(moment, str) else {}


def _read_tags(content):
    """EXIF tags of an image file, and those of its position."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=("TIFF", "JPEG", "PNG")) as image:
                tags = image.getexif()
                return dict(tags), dict(tags.get_ifd(_GPS))
    except Exception as error:
        msg = f"the tags of the image are damaged: {type(error).__name__}, {error}"
        raise PictureError(msg) from error


def _degrees(position, tag, side_tag, negative):
    """A coordinate of EXIF; None where it or its side is not known."""
    values, side = position.get(tag), str(position.get(side_tag, "")).strip("\0 ").upper()
    if side not in ("N", "S", "E", "W") or values is None:
        return None
    try:
        parts = [float(value) for value in (values if isinstance(values, tuple) else (values,))]
        degrees = sum(part / 60**power for power, part in enumerate(parts[:3]))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return (-degrees if side == negative else degrees) if math.isfinite(degrees) else None
