"""
UVP6: the images of a sequence as the instrument or UVPapp stored them, with its raw files.

Read are ``<sample>_Particule.zip`` (``metadata.ini``, ``particules.csv``) with ``<sample>_Images.zip``, and downloaded
sequences (``<sequence>_data.txt`` with its images); images are named by their frame, ``20220518-042127-284_3.png``. A
tree with tables ``ecotaxa*.tsv`` is left to `ecotaxa`, since they tell more. From the files:

* time: of the frame, UTC; depth: of its pressure plus ``Pressure_offset``, converted by UNESCO's formula of 1983;
* volume: of one frame, which is the acquisition. Most frames have no image: an effort is summed over all frames, which
  `ecopart.read_particles` does;
* pixel size: ``Pixel_Size``. Images are stored as they were cut. The ``gamma``, ``invert`` and ``scale`` of
  ``compute_vignette.txt`` are what EcoTaxa is to do with them; a vignette that came out of EcoTaxa has pixels of
  ``Pixel_Size / scale``, and its table must say so;
* position: where the sample began.
"""

import re
from collections import defaultdict
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from aqqua_science.sources.ecotaxa_tables import MAX_ROWS, table_names
from aqqua_science.sources.pictures import SUFFIXES, decode
from aqqua_science.sources.record import Part, PictureError, Record
from aqqua_science.sources.tables import is_missing
from aqqua_science.sources.uvp_frames import MAX_BYTES, frame_key, frame_time, read_frames
from aqqua_science.sources.uvp_settings import angle, calibration, read_settings
from aqqua_science.sources.uvp_sizes import depth_from_pressure, esd_from_pixels, pixels_from_esd

__all__ = ["depth_from_pressure", "esd_from_pixels", "parts", "pixels_from_esd", "read", "recognise"]

_DATA = re.compile(r"(?:.*/)?(?:particules\.csv|(?:[^/]*_)?data\.txt)", re.IGNORECASE)
_INI = re.compile(r"(?:.*/)?metadata\.ini", re.IGNORECASE)
_BUNDLE = re.compile(r"_(?:particule|images)(?:\.zip)?$", re.IGNORECASE)
_LOOKED_AT = 3
_HEAD = ("frame", "depth", "temperature", "light")
_MAX_DBAR = 12_000


def recognise(tree):
    """
    Tell by what a tree is known to be a UVP6's.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    str
        Evidence in words; empty when it is not, when it has no images, or when it has tables of EcoTaxa.
    """
    raw = [name for name in tree.names if _DATA.fullmatch(name) or _INI.fullmatch(name)]
    n_images = sum(bool(frame_key(PurePosixPath(name).name)) for name in tree.matching(*SUFFIXES)) if raw else 0
    if not n_images or table_names(tree):
        return ""
    named = next((name for name in raw[:_LOOKED_AT] if _says_uvp6(tree, name)), None)
    return f"{n_images} images named by their frame, and the hardware of a UVP6 in {named}" if named else ""


def _says_uvp6(tree, name):
    """Whether a raw file has the hardware line or section of a UVP6."""
    is_ini = _INI.fullmatch(name)
    settings = read_settings(tree, name if is_ini else None, None if is_ini else name)
    return "hw_conf.aa" in settings


def parts(tree):
    """
    List the sequences, in pieces that can be read one by one.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    list of Part
        A sequence of over 50,000 images makes several.
    """
    found = []
    for home, names in sorted(_images_by_home(tree).items()):
        for start in range(0, len(names), MAX_ROWS):
            stop = min(start + MAX_ROWS, len(names))
            found.append(Part(home or ".", stop - start, {"home": home, "start": start, "stop": stop}))
    return found


def read(tree, part):
    """
    Read the images of a part.

    Parameters
    ----------
    tree : Tree
    part : Part

    Yields
    ------
    Record
        Faulty where the image was cut from a black frame, or its name is not that of a frame.
    """
    home = part.detail["home"]
    names = _images_by_home(tree)[home][part.detail["start"] : part.detail["stop"]]
    settings, heads = _read_home(tree, home)
    metadata = _common(settings)
    keys = [frame_key(name.rpartition("/")[2]) for name in names]
    depths = _depths({key: heads[key] for key in keys if key in heads}, settings, metadata)
    for name, key in zip(names, keys, strict=True):
        head = heads.get(key, [])
        own = _own(name, key, depths.get(key))
        raw = settings | dict(zip(_HEAD, head, strict=False))
        yield Record(name, partial(_decode, tree, name), metadata | own, raw, _fault(name, key, head))


def _images_by_home(tree):
    """Images of each sequence: those in or below the folder of its raw files."""
    homes = {_folder(name) for name in tree.names if _DATA.fullmatch(name) or _INI.fullmatch(name)}
    found, known = defaultdict(list), {}
    for name in tree.matching(*SUFFIXES):
        folder = name.rpartition("/")[0]
        if folder not in known:
            known[folder] = _nearest(_folder(name), homes)
        found[known[folder]].append(name)
    return found


def _folder(name):
    """Folder of a file; the two bundles of one sample count as one folder."""
    return "/".join(_BUNDLE.sub("", part) for part in PurePosixPath(name).parent.parts)


def _nearest(folder, homes):
    """The innermost folder with raw files that holds another; the root when none does."""
    while folder and folder not in homes:
        folder = folder.rpartition("/")[0]
    return folder


def _read_home(tree, home):
    """Settings of a sequence, and its frames by their keys, the lit ones before black ones of the same name."""
    names = [name for name in tree.names if _folder(name) == home]
    data = [name for name in names if _DATA.fullmatch(name)]
    ini = next((name for name in names if _INI.fullmatch(name)), None)
    settings, frames = read_settings(tree, ini) if ini else {}, {}
    for name in data:
        try:
            content = tree.read(name, limit=MAX_BYTES)
        except PictureError:
            continue
        settings = settings or read_settings(tree, None, name, head=content[:4096])
        for frame in read_frames(content):
            if frame.key not in frames or (frame.is_lit and frames[frame.key][3].strip() != "1"):
                frames[frame.key] = frame.head
    return settings, frames


def _common(settings):
    """What all images of a sequence share."""
    found, sample = calibration(settings), settings.get("sample_metadata.profileid")
    metadata = {
        "instrument": "UVP6",
        "image_rank": 0,
        "sample_id": None if is_missing(sample) else sample,
        "latitude": angle(settings.get("sample_metadata.latitude")),
        "longitude": angle(settings.get("sample_metadata.longitude")),
        "pixel_size_um": found.get("pixel_size_um"),
        "volume_m3": found.get("image_volume_m3"),
    }
    return {name: value for name, value in metadata.items() if value is not None}


def _own(name, key, depth):
    """What an image has to itself."""
    found = {"object_id": name} | ({"acquisition_id": key, "time": frame_time(key)} if key else {})
    return found if depth is None else found | {"depth": depth}


def _fault(name, key, head):
    """Why an image cannot be used."""
    if not key:
        return f"its name is not that of a frame: {name}"
    if head and head[3].strip() == "0":
        return f"cut from a black frame: {name} was taken without light"
    return ""


def _depths(heads, settings, metadata):
    """Depth of each frame whose sensor gave a pressure, m, by the frame's key."""
    pressure = np.array([_pressure(head[1]) for head in heads.values()], dtype=float)
    depth = depth_from_pressure(pressure, metadata.get("latitude", 45.0)) + calibration(settings).get("offset_m", 0.0)
    # A sensor may read a little below zero in the air; such a frame was taken at the surface.
    return {key: max(value, 0.0) for key, value in zip(heads, depth.tolist(), strict=True) if value == value}


def _pressure(text):
    """A pressure that the sea has, dbar; NaN for all else."""
    try:
        value = float(text)
    except ValueError:
        return np.nan
    return value if abs(value) <= _MAX_DBAR else np.nan


def _decode(tree, name):
    """The pixels of an image."""
    return decode(tree.read(name))
