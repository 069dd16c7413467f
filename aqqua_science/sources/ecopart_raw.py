"""Raw exports of EcoPart: particles by pixels or class in every image, brought to EcoPart's layers and classes."""

import numpy as np
import pandas as pd

from aqqua_science.schema import SchemaError, require_columns
from aqqua_science.sources.ecopart_bins import Bins
from aqqua_science.sources.ecopart_metadata import find_profile
from aqqua_science.sources.ecopart_spectra import imaged_depth, sum_images
from aqqua_science.sources.ecopart_tables import MAX_BYTES, to_numbers
from aqqua_science.sources.tables import decode_text
from aqqua_science.sources.uvp_frames import count_objects, frame_time, read_frames
from aqqua_science.sources.uvp_settings import angle, calibration, parse_ini, positive_number
from aqqua_science.sources.uvp_sizes import esd_from_pixels

COLUMNS = ("depth", "imgcount", "area", "nbr")
"""Of a table ``*_PAR_raw_*.tsv``."""

_LPM = ("DATE_TIME", "PRES_decibar", "LATITUDE_decimal_degree", "LONGITUDE_decimal_degree", "IMAGE_NUMBER_PARTICLES")


def bins_of_raw_table(table, profiles, *, name):
    """
    Make bins of a table of particles per metre of depth and area in pixels.

    Parameters
    ----------
    table : pandas.DataFrame of str
        With the columns ``depth`` (m), ``imgcount``, ``area``, ``nbr`` and, in newer exports, ``datetime``.
    profiles : pandas.DataFrame
        As `read_profiles` gives them: names the file, and has its calibration and the volume of an image.
    name : str
        Of the file.

    Returns
    -------
    Bins

    Raises
    ------
    SchemaError
        If the metadata do not name the file or lack its calibration, or a number cannot be read.
    """
    about = _entry(profiles[profiles["particles"] == name.rpartition("/")[2]], name)
    numbers = {column: to_numbers(table[column]).to_numpy() for column in COLUMNS}
    if not all(np.isfinite(values).all() and (values >= 0).all() for values in numbers.values()):
        msg = f"{name} has lines whose depth, images, area or number is none. Export it again."
        raise SchemaError(msg)
    stamps = table["datetime"] if "datetime" in table else pd.Series("", index=table.index)
    times = pd.to_datetime(stamps, format="%Y%m%d%H%M%S", errors="coerce").astype("datetime64[ns]")
    step = numbers["depth"] if about["by_depth"] else times.to_numpy().astype("int64")
    _, first, frame = np.unique(step, return_index=True, return_inverse=True)
    frames = pd.DataFrame({"depth": numbers["depth"][first], "time": times.to_numpy()[first]})
    frames["images"] = numbers["imgcount"][first]
    esd_um = esd_from_pixels(numbers["area"], aa=about["aa"], exp=about["exp"])
    return sum_images(frames, (frame, esd_um, numbers["nbr"]), about | _source(name))


def _entry(found, name):
    """What the metadata say of a raw file, complete."""
    about = {} if found.empty else dict(found.iloc[0])
    if not all(about.get(key, np.nan) > 0 for key in ("aa", "exp", "volume_l")):
        msg = f"{name} needs its calibration (aa, exp) and volume of an image: the metadata summary does not have them"
        raise SchemaError(msg)
    return about | {"by_depth": _is_by_depth(about["by_depth"])}


def _is_by_depth(text):
    """Whether a sample is a profile, and not a time series."""
    return str(text).strip().lower() not in {"false", "f", "t", "h", "time"}


def _source(name):
    return {"file": name, "folder": name.rpartition("/")[0], "line": 0}


def bins_of_frames(tree, name, profiles):
    """
    Make bins of the frames of a UVP6, without the black and the over-exposed ones.

    Parameters
    ----------
    tree : Tree
    name : str
        Its ``particules.csv``, with ``metadata.ini`` beside it.
    profiles : pandas.DataFrame
        As `read_profiles` gives them; where it names the sample, its values win over those of metadata.ini.

    Returns
    -------
    Bins

    Raises
    ------
    SchemaError
        If its calibration is not known, a frame is damaged or none was taken with light.
    """
    settings = parse_ini(_read_beside(tree, name, "metadata.ini"))
    about = _about_sample(settings, profiles, name)
    lit = [f for f in read_frames(tree.read(name, limit=MAX_BYTES)) if f.is_lit and not f.is_blind]
    if not lit:
        msg = f"{name} has no frame that was taken with light"
        raise SchemaError(msg)
    times = pd.to_datetime([frame_time(f.key) for f in lit], format="ISO8601", errors="coerce")
    images = pd.DataFrame({"time": times.astype("datetime64[ns]"), "images": 1.0})
    images["depth"] = imaged_depth(to_numbers(pd.Series([f.head[1].strip() for f in lit])), about)
    counts = [np.array(_objects(f, name), dtype=float).reshape(-1, 2) for f in lit]
    image = np.repeat(np.arange(len(lit)), [len(one) for one in counts])
    areas, numbers = np.concatenate(counts).T
    return sum_images(images, (image, esd_from_pixels(areas, aa=about["aa"], exp=about["exp"]), numbers), about)


def _read_beside(tree, name, other):
    """A small file in the same folder."""
    path = f"{name.rpartition('/')[0]}/{other}".lstrip("/")
    if path not in tree:
        msg = f"{name} needs {other} beside it, which is not there. Give the folder or zip that holds both."
        raise SchemaError(msg)
    return tree.read(path, limit=2**20)


def _objects(frame, name):
    try:
        return count_objects(frame)
    except ValueError as error:
        msg = f"{name} has a damaged frame {frame.key}: {error}"
        raise SchemaError(msg) from error


def _about_sample(settings, profiles, name):
    """Where, when and with what a sample was taken: by the lists of profiles, else by its own metadata."""
    sample = settings.get("sample_metadata.profileid") or name.split("/")[-2:][0]
    own = calibration(settings)
    about = {
        "latitude": angle(settings.get("sample_metadata.latitude")),
        "longitude": angle(settings.get("sample_metadata.longitude")),
        "cruise": settings.get("sample_metadata.cruise", ""),
        "by_depth": settings.get("sample_metadata.sampletype", ""),
        "instrument": "UVP6",
        "rawfile": settings.get("sample_metadata.filename", ""),
        "volume_l": own.get("image_volume_m3", np.nan) * 1000,
        **{key: own.get(key, np.nan) for key in ("aa", "exp", "offset_m")},
    }
    folder = name.rpartition("/")[0]
    listed, fault = find_profile(profiles, folder=folder, profile=sample, project=_project_of(name))
    about |= {"fault": fault} if len(profiles) else {}
    about |= {key: value for key, value in listed.items() if key != "time"}
    return _entry(pd.DataFrame([about]), name) | _source(name) | {"profile": sample}


def _project_of(name):
    """Number of the project in the path of a raw export, ``lpm/<project>/<sample>/...``."""
    folders = name.split("/")
    return folders[folders.index("lpm") + 1] if "lpm" in folders[:-2] else ""


def bins_of_classes(tree, table, profiles, *, name):
    """
    Make bins of the classes that a UVP6 sent from a float or glider.

    Parameters
    ----------
    tree : Tree
    table : pandas.DataFrame of str
        ``LPM.txt``; its black frames are in another file.
    profiles : pandas.DataFrame
        As `read_profiles` gives them.
    name : str
        Of the file, with ``META.txt`` beside it.

    Returns
    -------
    Bins
        Without biovolume, which classes do not tell.

    Raises
    ------
    SchemaError
        If bounds of classes or the volume of an image are missing, or a number cannot be read.
    """
    require_columns(table, _LPM, what=name)
    lines = decode_text(_read_beside(tree, name, "META.txt")).splitlines()
    meta = dict(line.split("\t", 1) for line in lines if "\t" in line)
    lower, numbers = _classes(table, meta, name)
    about = _about_float(table, meta, profiles, name) | {"volume_l": positive_number(meta["Image_volume"])}
    images = pd.DataFrame({"images": numbers[:, 0], "time": _stamps(table["DATE_TIME"]).to_numpy()})
    images["depth"] = imaged_depth(to_numbers(table["PRES_decibar"]).reset_index(drop=True), about)
    image, column = np.indices(numbers[:, 1:].shape).reshape(2, -1)
    found = sum_images(images, (image, lower[column], numbers[:, 1:].ravel()), about)
    seen = np.isin([key[0] for key in found.keys], lower)
    count = np.where(seen, found.values["count"], np.nan)
    return Bins(found.about, found.keys, {"count": count, "biovolume": np.full_like(count, np.nan)})


def _classes(table, meta, name):
    """Lower bounds of the classes, um, and the number of images and of particles of each class in every record."""
    columns = [c for c in table if c.startswith("NB_SIZE_SPECTRA_PARTICLES_class_")]
    lower = [positive_number(meta.get(f"Lower_limit_size_class_{c.rpartition('_')[2]}")) for c in columns]
    numbers = table[["IMAGE_NUMBER_PARTICLES", *columns]].apply(to_numbers).to_numpy(dtype=float)
    known = columns and None not in lower and positive_number(meta.get("Image_volume"))
    if not known or not np.isfinite(numbers).all() or (numbers < 0).any():
        msg = f"{name} lacks its classes, their bounds, the volume of an image, or numbers"
        raise SchemaError(msg)
    return np.array(lower), numbers


def _stamps(column):
    return pd.to_datetime(column, format="%Y%m%dT%H%M%S", errors="coerce").astype("datetime64[ns]")


def _mean(column):
    """Mean of what can be read of a column."""
    numbers = to_numbers(column)
    return numbers[np.isfinite(numbers)].mean()


def _about_float(table, meta, profiles, name):
    """Where a float was and what it is, by the lists of profiles, else by its own records."""
    sample = name.split("/")[-2:][0].removesuffix(".zip").removesuffix("_rawfiles")
    place = {axis: _mean(table[f"{axis.upper()}_decimal_degree"]) for axis in ("latitude", "longitude")}
    about = {
        "profile": sample,
        "rawfile": "",
        "instrument": "UVP6",
        "offset_m": positive_number(meta.get("Pressure_offset")),
    }
    listed, fault = find_profile(profiles, folder=name.rpartition("/")[0].rpartition("/")[0], profile=sample)
    about |= {"fault": fault} if len(profiles) else {}
    listed = {key: value for key, value in listed.items() if key not in ("time", "instrument")}
    return about | place | listed | _source(name) | {"by_depth": _is_by_depth(listed.get("by_depth", ""))}
