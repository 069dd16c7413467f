"""
The ``.adc`` of an IFCB bin: which lines are of an image, where its pixels lie in the ``.roi``, and what is wrong.

The target's number is its line, counted from 1, lines without image and empty ones included. A width or height of 0
says that the trigger left no image.
"""

from collections import Counter
from dataclasses import dataclass, replace

from aqqua_science.sources.ifcb_header import finite, plain_name
from aqqua_science.sources.pictures import MAX_SIDE
from aqqua_science.sources.record import PictureError
from aqqua_science.sources.tables import decode_text

MAX_LINES = 1_000_000
"""Targets have five digits; a file of more lines is something else."""

SLACK_BYTES = 64
"""Whole bins have a byte or two in their .roi that belong to no image; more than this has lost its .adc lines."""


@dataclass(frozen=True, slots=True)
class Target:
    """
    One line of an ``.adc`` that is of an image.

    Attributes
    ----------
    number : int
        The line, from 1.
    fields : list of str
    x, y : float or None
        Corner of the image in the camera's frame.
    width, height, start : int
        Size, and first byte in the ``.roi``, from 0.
    fault : str
        Why it cannot be used; empty when all is well.
    """

    number: int
    fields: list
    x: float | None = None
    y: float | None = None
    width: int = 0
    height: int = 0
    start: int = 0
    fault: str = ""

    @property
    def stop(self):
        """Byte after its last."""
        return self.start + self.width * self.height


def adc_lines(content):
    r"""
    Split an ``.adc``.

    Parameters
    ----------
    content : bytes

    Returns
    -------
    dict of int to list of str
        Fields by line, lines without any left out; the comma that ends the lines of the prototypes adds no field.

    Raises
    ------
    PictureError
        If it has more lines than any bin.

    Examples
    --------
    >>> adc_lines(b"1,2,\r\n\r\n2,3,\r\n")
    {1: ['1', '2'], 3: ['2', '3']}
    """
    if content.count(b"\n") > MAX_LINES:
        msg = f"the .adc is too long: over {MAX_LINES:,} lines, where a bin has some thousands"
        raise PictureError(msg)
    lines = enumerate(decode_text(content).split("\n"), start=1)
    return {number: line.strip().removesuffix(",").split(",") for number, line in lines if line.strip()}


def find_targets(lines, names, roi_size):
    """
    Find the images that an ``.adc`` tells of.

    Parameters
    ----------
    lines : dict of int to list of str
        From `adc_lines`.
    names : list of str
        Of the columns.
    roi_size : int
        Bytes of the ``.roi``.

    Returns
    -------
    list of Target
        Those with a fault included; a line of another length than the others may have been of an image, so it is one.
    """
    counts = Counter(map(len, lines.values()))
    usual = max(counts, key=lambda n: (counts[n], n == len(names), n), default=0)
    plain = [plain_name(name) for name in names]
    places = [plain.index(name) for name in ("roix", "roiy", "roiwidth", "roiheight", "startbyte")]
    found = (_target(number, fields, usual, places) for number, fields in lines.items())
    return _without_overlaps([_inside(target, roi_size) for target in found if target])


def _target(number, fields, usual, places):
    """What one line tells; None where it has no image."""
    if len(fields) != usual or usual <= max(places):
        wanted = usual if len(fields) != usual else f"at least {max(places) + 1}"
        return Target(number, fields, fault=f"a ragged row: {len(fields)} fields where {wanted} are due")
    x, y, width, height, start = (finite(fields[place]) for place in places)
    if width == 0 or height == 0:
        return None
    texts = [fields[place] for place in places]
    if not (_is_whole(width) and _is_whole(height) and _is_whole(start, least=0)):
        particulars = f"width {texts[2]!r:.24}, height {texts[3]!r:.24}, first byte {texts[4]!r:.24}"
        return Target(number, fields, fault=f"the place of the image is not in positive whole numbers: {particulars}")
    if max(width, height) > MAX_SIDE:
        return Target(number, fields, fault=f"the image is too large: {width:g} x {height:g} pixels")
    return Target(number, fields, x, y, int(width), int(height), int(start))


def _is_whole(value, *, least=1):
    return value is not None and value.is_integer() and least <= value < 2**53


def _inside(target, roi_size):
    """The target, at fault when its bytes are not in the .roi."""
    if target.fault or target.stop <= roi_size:
        return target
    particulars = f"bytes {target.start:,} to {target.stop:,} of {roi_size:,}"
    return replace(target, fault=f"the .roi is shorter than the .adc says: {particulars}")


def _without_overlaps(targets):
    """The targets, those at fault that share bytes: at least one of each two is not where the .adc says."""
    sharing, last = {}, None
    for target in sorted((t for t in targets if not t.fault), key=lambda t: (t.start, t.number)):
        if last and target.start < last.stop:
            sharing[target.number] = last.number
            sharing.setdefault(last.number, target.number)
        last = target if last is None or target.stop > last.stop else last
    reason = "the bytes of the image are another's too: those of target"
    return [replace(t, fault=f"{reason} {sharing[t.number]}") if t.number in sharing else t for t in targets]


def unclaimed_bytes(targets, roi_size):
    """
    Count the bytes of a ``.roi`` that no line of the ``.adc`` claims.

    Parameters
    ----------
    targets : list of Target
    roi_size : int

    Returns
    -------
    int
        0 where it is no more than whole bins have, or a target is at fault and tells already that they do not agree.
    """
    spare = roi_size - sum(target.stop - target.start for target in targets)
    return spare if spare > SLACK_BYTES and not any(target.fault for target in targets) else 0
