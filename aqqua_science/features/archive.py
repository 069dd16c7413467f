"""Features on disk: a Zarr archive that is read lazily."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from xarray.backends import BackendArray
from xarray.core.indexing import IndexingSupport, LazilyIndexedArray, MemoryCachedArray, explicit_indexing_adapter

from aqqua_science.images.shards import StoreError

FORMAT = "aqqua_features"
FORMAT_VERSION = 1

TEXTS = ("object_id", "sample_id", "taxon", "taxon_status", "instrument", "source", "licence", "fault")
"""Coordinates of text, empty where nothing is known; `fault` tells why a row has no features."""

NUMBERS = ("latitude", "longitude", "depth", "pixel_size_um")


def open_features(path):
    """
    Open features without reading them.

    Parameters
    ----------
    path : str or pathlib.Path
        As `embed` wrote them.

    Returns
    -------
    xarray.DataArray
        Of dimensions (object, feature), read chunk by chunk when values are asked for; coordinates are read, each as a
        whole, when they are first used. These are `object`, the row number of the store; `feature`, its name;
        `object_id`, `sample_id`, `taxon`, `taxon_status`, `instrument`, `source` and `licence`, empty where the store
        tells none; `fault`, why the row of an image that could not be read is NaN; `time`, `latitude`, `longitude`,
        `depth` and `pixel_size_um`. Attributes: `encoder`, `fingerprint`, `store`, `store_fingerprint`,
        `licence`, `citation`, `contributors`, `aqqua_science`, `unreadable` (how many images had a fault).

    Raises
    ------
    StoreError
        If there are none, they are not complete, or this version cannot read them.

    Examples
    --------
    >>> open_features("nowhere.zarr")
    Traceback (most recent call last):
    ...
    aqqua_science.images.shards.StoreError: nowhere.zarr holds no features. Write them with features.embed(...).
    """
    about = read_about(path)
    if about is None:
        msg = f"{path} holds no features. Write them with features.embed(...)."
        raise StoreError(msg)
    if not about["complete"]:
        waiting = len(missing_chunks(path))
        msg = f"the features in {path} are not complete: {waiting} chunks are missing. Run the same embed(...) again."
        raise StoreError(msg)
    return open_unfinished(path)


def open_unfinished(path):
    """
    Open features as far as they are written.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    xarray.DataArray
        As of `open_features`; NaN where a chunk is missing when it is read.
    """
    about = read_about(path)
    dataset = xr.open_zarr(path, consolidated=False, chunks=None)
    if about["first_row"] is not None:  # takes no memory, where the numbers of a billion rows would
        first = about["first_row"]
        rows = pd.RangeIndex(first, first + dataset.sizes["object"], name="object")
        dataset = dataset.drop_vars("object").assign_coords(object=rows)
    lazy = {name: LazilyIndexedArray(_Text(path, name, dataset[name].shape)) for name in TEXTS}
    texts = {name: ("object", MemoryCachedArray(column)) for name, column in lazy.items()}
    known = dataset[[*NUMBERS, "time"]].assign_coords(**texts, feature=dataset["feature"].astype(object))
    hidden = ("format", "format_version", "first_row", "rows", "dtype", "complete")
    attrs = {name: value for name, value in about.items() if name not in hidden}
    features = xr.open_zarr(path, consolidated=False, chunks={})["features"]
    return features.assign_coords(known.set_coords(known.data_vars).coords).assign_attrs(attrs)


class _Text(BackendArray):
    """A column of text that is read when it is asked for, as the Python objects that scikit-learn knows."""

    dtype = np.dtype(object)

    def __init__(self, path, name, shape):
        self.path, self.name, self.shape = str(path), name, shape

    def __getitem__(self, key):
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.OUTER, self._read)

    def _read(self, key):
        """Some of the rows."""
        import zarr

        array = zarr.open_array(f"{self.path}/{self.name}", mode="r", zarr_format=3)
        return array.oindex[key].astype(object)


def read_about(path):
    """
    Read what an archive says of itself.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    dict or None
        None if there is no archive of features.

    Raises
    ------
    StoreError
        If it is newer than this package.
    """
    file = Path(path) / "zarr.json"
    try:
        about = json.loads(file.read_text(encoding="utf-8"))["attributes"]
    except (OSError, ValueError, KeyError):
        return None
    if about.get("format") != FORMAT:
        return None
    if about["format_version"] > FORMAT_VERSION:
        msg = f"{path} has format version {about['format_version']}; this package reads {FORMAT_VERSION}. Update it."
        raise StoreError(msg)
    return about


def chunk_rows(path):
    """
    Tell which objects each chunk holds.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    list of slice
    """
    told = json.loads(Path(path, "features", "zarr.json").read_text(encoding="utf-8"))
    n, size = told["shape"][0], told["chunk_grid"]["configuration"]["chunk_shape"][0]
    return [slice(first, min(first + size, n)) for first in range(0, n, size)]


def missing_chunks(path):
    """
    Find the chunks that are still to be written.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    list of int
    """
    folder = Path(path, "features", "c")
    return [chunk for chunk in range(len(chunk_rows(path))) if not (folder / str(chunk) / "0").exists()]


def refuse_foreign(features, fingerprint):
    """
    Refuse features of another encoder than a model was fitted on.

    Parameters
    ----------
    features : array_like or xarray.DataArray
        Bare arrays do not tell their encoder and pass.
    fingerprint : str or None
        Of the encoder of what the model was fitted on, if that was told.

    Raises
    ------
    ValueError
        If both are known and differ.
    """
    own = getattr(features, "attrs", {}).get("fingerprint")
    if own and fingerprint and own != fingerprint:
        msg = (
            f"these features are of another encoder: {features.attrs.get('encoder')} with fingerprint {own}, where "
            f"{fingerprint} was fitted. Embed the images with that encoder, or fit anew."
        )
        raise ValueError(msg)
