"""
The frames of a UVP6: the lines of ``particules.csv`` and of ``<sequence>_data.txt``, which are alike.

A line is ``time,depth,temperature,light:area,count,grey,spread;area,count,...``: when (UTC, ``yyyyMMdd-HHmmss`` and,
from the HF model, ``-mmm``), the depth of the pressure sensor in dbar (``nan`` without a sensor), the temperature
inside, 1 with light and 0 for a black frame, and how many objects had how many pixels. ``OVER_EXPOSED`` stands for a
frame that the sun blinded, ``EMPTY_IMAGE`` for one without any object. Other lines (HW_CONF, ACQ_CONF, TAXO) are no
frames.
"""

import re
from dataclasses import dataclass

from aqqua_science.sources.tables import decode_text

MAX_BYTES = 2**30
"""Of a data file; a dive of hours at 20 images per second has some 10**8."""

FRAME_NAME = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)(?:-(\d{1,3}))?")
"""How a frame, and the images cut from it, are named."""


@dataclass(frozen=True, slots=True)
class Frame:
    """
    One image that a UVP6 took.

    Attributes
    ----------
    key : str
        Names it, as `frame_key` does.
    head : list of str
        Time, depth, temperature and light, as written.
    objects : str
        What was found, as written.
    """

    key: str
    head: list
    objects: str

    @property
    def is_lit(self):
        """Whether the light was on; a black frame shows noise."""
        return self.head[3].strip() == "1"

    @property
    def is_blind(self):
        """Whether it was over-exposed: it has no counts, and has looked at no water."""
        return "OVER" in self.objects


def frame_key(name):
    """
    Name a frame in one way, however many digits its milliseconds have.

    Parameters
    ----------
    name : str
        Of a frame, or of an image of it.

    Returns
    -------
    str
        Empty when it is no name of a frame.

    Examples
    --------
    >>> frame_key("20220518-042127-284_3.png"), frame_key("20190430-142010_2.png"), frame_key("graph.png")
    ('20220518-042127-284', '20190430-142010', '')
    """
    match = FRAME_NAME.match(name)
    if match is None:
        return ""
    return match[0] if match[7] is None else f"{match[0][:15]}-{match[7]:0>3}"


def frame_time(key):
    """
    Tell when a frame was taken.

    Parameters
    ----------
    key : str
        As `frame_key` gives it.

    Returns
    -------
    str
        UTC, ISO 8601.

    Examples
    --------
    >>> frame_time("20220518-042127-284")
    '2022-05-18T04:21:27.284'
    """
    year, month, day, hour, minute, second, thousandths = FRAME_NAME.match(key).groups()
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}{'.' + thousandths if thousandths else ''}"


def read_frames(content):
    """
    Read the frames of a data file.

    Parameters
    ----------
    content : bytes

    Yields
    ------
    Frame

    Examples
    --------
    >>> [frame.key for frame in read_frames(b"HW_CONF,1\\n20220518-042127-284,1.67,31.75,0:1,2005,31.0,9.6;\\n")]
    ['20220518-042127-284']
    """
    for line in decode_text(content).split("\n"):
        head, colon, objects = line.partition(":")
        fields = head.split(",")
        if colon and len(fields) == 4 and (key := frame_key(fields[0])):
            yield Frame(key, fields, objects.strip())


def count_objects(frame):
    """
    List what was found in a frame.

    Parameters
    ----------
    frame : Frame

    Returns
    -------
    list of tuple of int
        Pixels and number of objects; empty for an empty or blind frame.

    Raises
    ------
    ValueError
        If the line is damaged.

    Examples
    --------
    >>> count_objects(next(read_frames(b"20220518-042127,1.67,31.75,1:1,2005,31.0,9.6;2,65,31.8,8.1;")))
    [(1, 2005), (2, 65)]
    """
    if "OVER" in frame.objects or "EMPTY" in frame.objects:
        return []
    found = []
    for block in filter(None, frame.objects.split(";")):
        area, count, *_ = block.split(",")
        found.append((int(area), int(count)))
    if any(area < 0 or count < 0 for area, count in found):
        msg = f"negative numbers of objects: {frame.objects[:60]}"
        raise ValueError(msg)
    return [(area, count) for area, count in found if area]
