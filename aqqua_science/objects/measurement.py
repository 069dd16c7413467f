"""Traits measured off images: size, shape, volume, transparency and cells, in micrometres and with intervals."""

import numpy as np
import pandas as pd

from aqqua_science.images.measurements import shape_of
from aqqua_science.objects import volumes
from aqqua_science.objects.chains import count_cells
from aqqua_science.objects.masks import at_edge, mask_of, reason_of
from aqqua_science.objects.thresholding import contrast, main_mask
from aqqua_science.progress import progress_bar
from aqqua_science.schema import SchemaError

BOUNDARY_PX = 1.0
"""How far the outline may be from where the mask has it, pixels, either way."""

DEPTH_FACTOR = 1.5
"""What the depth of a body, which no projection shows, may change in its volume, either way."""

UPRIGHT = ("UVP5", "UVP6", "ISIIS")
"""Instruments whose images have the surface of the sea above."""

_SIZES = ("area_um2", "esd_um", "esd_um_low", "esd_um_high", "feret_max_um", "feret_min_um", "major_um", "minor_um")
_SIZES += ("perimeter_um", "body_area_um2", "body_esd_um", "body_length_um", "chain_length_um")
_SHAPES = ("elongation", "circularity", "solidity", "transparency", "orientation_deg")
_VOLUMES = ("biovolume_um3", "biovolume_um3_low", "biovolume_um3_high", "biovolume_sphere_um3")
_VOLUMES += ("biovolume_ellipsoid_um3", "biovolume_revolved_um3")
_CELLS = ("n_cells", "n_cells_low", "n_cells_high", "periodicity")
_MEASURED = (*_SIZES, *_SHAPES, *_VOLUMES, *_CELLS)
_POWERS = {"_um": 1, "_um_low": 1, "_um_high": 1, "_um2": 2, "_um3": 3, "_um3_low": 3, "_um3_high": 3}
_ROUND = 1.2


def measure(store, masks=None, *, rows=None, pixel_size_error=0.02):
    """
    Measure the main object of each image.

    Parameters
    ----------
    store : ImageStore
    masks : pandas.DataFrame, optional
        As `segment` gives them; the classical ones are found on the way by default.
    rows : optional
        As for `ImageStore.rows`; those of `masks` by default, else all.
    pixel_size_error : float
        How far the pixel size may be off, as a share of it, either way.

    Returns
    -------
    pandas.DataFrame
        Indexed by row number, in the order of `rows`; NaN where something cannot be measured, and then `reason` says
        why: nothing stands out, the object fills the frame, there is no mask or no pixel size (what needs none is
        measured all the same).

        Of the mask: `area_um2`, `esd_um` (of the disc of that area), `feret_max_um` and `feret_min_um` (calipers),
        `major_um` and `minor_um` (axes of the ellipse of the same moments), `perimeter_um` (Cauchy-Crofton),
        `elongation` (major / minor), `circularity` (4 pi area / perimeter^2), `solidity` (of the convex hull), and
        `at_edge`, whether it touches the border, so that all of this is too small.

        `transparency`, 0 to 1: share of the light that passes, mean over the mask, before a bright ground. Before a
        dark ground, 1 less the share of the brightest possible level that the object sends back: no transmission, to
        be compared within one instrument only.

        `orientation_deg`: of the long axis from the horizontal, -90 to 90, positive where the right end is up; only
        of images that have the surface above (UVP5, UVP6, ISIIS), of bodies that are longer than wide.

        Without appendages, that is, what is thinner than a quarter of the thickest part: `body_area_um2`,
        `body_esd_um` and `body_length_um` (largest caliper).

        Three volumes: `biovolume_sphere_um3`, pi/6 ESD^3; `biovolume_ellipsoid_um3`, pi/6 major minor^2; and
        `biovolume_revolved_um3`, of the body without appendages, round at each place (Moberg & Sosik 2012; of chains,
        along the bent middle line). `biovolume_um3` is the last of them.

        Of chains: `n_cells`, with the least and most that the image allows (`n_cells_low`, `n_cells_high`),
        `chain_length_um` along the middle, and `periodicity`. 1 where nothing repeats; of taxa that form no chains
        these columns mean nothing.

    Raises
    ------
    ValueError
        If `pixel_size_error` is not a share.
    SchemaError
        If masks are of other objects than the store's, or of images of other shapes.

    Notes
    -----
    The interval of `esd_um` takes the outline to be off by up to one pixel all around and the pixel size by
    `pixel_size_error`, in quadrature; its lower end is 0 where nothing is left one pixel further in. That of
    `biovolume_um3` has both, and a factor of 1.5 for the depth that no projection shows. Neither holds what
    segmentation misses outright, such as a pale tail. Of virtual plankton, about 90 % of the true values lie within; of
    bodies with flat fins (measured too large) or a hollow bell (too small), fewer volumes do.

    The perimeter of few pixels comes out short, so that `circularity` may exceed 1: up to 1.2 for discs of up to 3
    pixels across, 1.06 at 10 (and 1.7 for a single pixel).

    A UVP's own areas are of the pixels above a fixed threshold, glare included, and about 1.8 times as large as these;
    its calibration (Aa, Exp) belongs to them, not to these.

    References
    ----------
    Moberg & Sosik 2012, Limnology and Oceanography: Methods 10, doi:10.4319/lom.2012.10.278. Orenstein et al. 2022,
    Machine learning techniques to characterize functional traits of plankton from image data, Limnology and
    Oceanography 67, doi:10.1002/lno.12101.

    Examples
    --------
    >>> import tempfile
    >>> from aqqua_science.images import ingest
    >>> from aqqua_science.synthetic import images
    >>> pictures = list(images(3, rng=1, instruments=["ZooScan"]))
    >>> store = ingest(pictures, tempfile.mkdtemp() + "/store")
    >>> traits = measure(store)
    >>> bool(traits["esd_um_low"][0] < pictures[0].truth["esd_um"] < traits["esd_um_high"][0])
    True
    """
    if not 0 <= pixel_size_error < 1:
        msg = f"pixel_size_error is a share of the pixel size, such as 0.02; got {pixel_size_error}."
        raise ValueError(msg)
    rows = store.rows(masks.index.to_numpy() if rows is None and masks is not None else rows)
    table = store.table
    about = {name: table[name].to_numpy()[rows] for name in ("object_id", "pixel_size_um", "instrument")}
    bits = (
        table["bit_depth"].to_numpy(float, na_value=np.nan)[rows]
        if "bit_depth" in table
        else np.full(len(rows), np.nan)
    )
    _check_objects(masks, rows, about["object_id"])
    found = []
    for k, row in enumerate(progress_bar(rows, desc="traits")):
        pixels = store[int(row)]
        mask, reason = _mask(pixels, masks, int(row))
        traits = traits_of(pixels, mask, bit_depth=bits[k]) if not reason else {}
        found.append(traits | {"reason": reason})
    traits = pd.DataFrame(found, index=pd.Index(rows, name="row"), columns=[*_MEASURED, "at_edge", "reason"])
    traits = traits.astype(dict.fromkeys(_MEASURED, float) | {"reason": str})
    traits["at_edge"] = traits["at_edge"].eq(True)
    return _scaled(traits, about, pixel_size_error)


def traits_of(pixels, mask, *, bit_depth=np.nan):
    """
    Measure one object, in pixels.

    Parameters
    ----------
    pixels : numpy.ndarray, shape (height, width) or (height, width, channel)
    mask : numpy.ndarray of bool, shape (height, width)
        Not empty.
    bit_depth : float
        Of the values; as many as their type holds by default.

    Returns
    -------
    dict
        As the columns of `measure`, but lengths, areas and volumes are in pixels, whatever their names, and intervals
        hold no error of the pixel size.
    """
    edge = at_edge(mask)
    box = tuple(slice(line.min(), line.max() + 1) for line in np.nonzero(mask))
    brightest = _brightest(pixels, bit_depth)
    difference, water, pixels, mask = (layer[box] for layer in (*contrast(pixels), np.asarray(pixels), mask))
    body = volumes.body_mask(mask)
    whole = _sizes(mask)
    trunk = whole if body.sum() == mask.sum() else _sizes(body)
    chain = count_cells(difference, body)
    volume = chain.volume
    if chain.n_cells == 1:
        axes = {name: trunk[name] for name in ("major", "minor", "hull_area")}
        volume = volumes.revolved_volume(body, **axes)
    low, high = _boundary_area(whole)
    shell = 4 * trunk["area"] * BOUNDARY_PX / (3 * volume)
    return {
        "area_um2": whole["area"],
        "esd_um": _diameter(whole["area"]),
        "esd_um_low": _diameter(low),
        "esd_um_high": _diameter(high),
        "feret_max_um": whole["feret_max"],
        "feret_min_um": whole["feret_min"],
        "major_um": whole["major"],
        "minor_um": whole["minor"],
        "perimeter_um": whole["perimeter"],
        "elongation": whole["major"] / whole["minor"],
        "circularity": whole["circularity"],
        "solidity": whole["solidity"],
        "transparency": _transparency(pixels, water, mask, brightest),
        "orientation_deg": _angle(mask) if whole["major"] > _ROUND * whole["minor"] else np.nan,
        "body_area_um2": trunk["area"],
        "body_esd_um": _diameter(trunk["area"]),
        "body_length_um": trunk["feret_max"],
        "biovolume_sphere_um3": float(volumes.sphere_volume(_diameter(whole["area"]))),
        "biovolume_ellipsoid_um3": float(volumes.ellipsoid_volume(whole["major"], whole["minor"])),
        "biovolume_revolved_um3": volume,
        "biovolume_um3": volume,
        "biovolume_um3_low": volume * max(0.0, 1 - shell) ** 3,
        "biovolume_um3_high": volume * (1 + shell) ** 3,
        "chain_length_um": chain.length,
        "n_cells": chain.n_cells,
        "n_cells_low": chain.n_cells_low,
        "n_cells_high": chain.n_cells_high,
        "periodicity": chain.periodicity,
        "at_edge": edge,
    }


def _check_objects(masks, rows, object_id):
    """Refuse masks that name other objects than the store, where both name them."""
    if masks is None or "object_id" not in masks.columns:
        return
    theirs = masks.loc[~masks.index.duplicated(), "object_id"].reindex(rows)
    ours = pd.Series(object_id, index=theirs.index)
    other = theirs.notna() & ours.notna() & (theirs.astype(str) != ours.astype(str))
    if other.any():
        row = other.idxmax()
        msg = (
            f"{other.sum()} of {len(rows)} masks are of other objects: that of row {row} is of "
            f"{theirs[other].iloc[0]!r}, but the store has {ours[other].iloc[0]!r} there. Segment this store."
        )
        raise SchemaError(msg)


def _mask(pixels, masks, row):
    """The mask of an image, or why there is none that can be measured."""
    if masks is not None and row not in masks.index:
        return None, "no mask"
    mask = main_mask(pixels) if masks is None else mask_of(masks, row)
    if mask.shape != pixels.shape[:2]:
        msg = f"the mask of row {row} is of {mask.shape}, its image of {pixels.shape[:2]}. Segment this store again."
        raise SchemaError(msg)
    return mask, reason_of(mask)


def _sizes(mask):
    """Sizes and shape of a mask, pixels."""
    found = shape_of(mask, 1.0)
    sizes = {name: float(np.exp(found[f"log_{name}"])) for name in ("feret_max", "feret_min", "major", "minor")}
    sizes |= {"area": float(np.count_nonzero(mask)), "perimeter": float(np.exp(found["log_perimeter"]))}
    sizes |= {name: float(found[name]) for name in ("circularity", "solidity")}
    return sizes | {"hull_area": sizes["area"] / sizes["solidity"]}


def _boundary_area(sizes):
    """Area within outlines one pixel further in and out, by Steiner's formula."""
    ring, corner = sizes["perimeter"] * BOUNDARY_PX, np.pi * BOUNDARY_PX**2
    return max(0.0, sizes["area"] - ring + corner) if ring > 2 * corner else 0.0, sizes["area"] + ring + corner


def _diameter(area):
    return 2 * float(np.sqrt(area / np.pi))


def _brightest(pixels, bit_depth):
    """The highest value that the camera can give."""
    kind = np.asarray(pixels).dtype
    full = np.iinfo(kind).max if kind.kind in "iu" else 1.0
    return float(min(full, 2**bit_depth - 1)) if np.isfinite(bit_depth) else float(full)


def _transparency(pixels, water, mask, full):
    """Share of the light that passes, or that is not sent back before a dark ground."""
    grey = np.asarray(pixels, np.float32)
    seen, ground = (grey.mean(axis=2) if grey.ndim == 3 else grey)[mask], water[mask]
    share = seen / np.maximum(ground, 1e-6)
    if (seen - ground).sum() > 0:
        share = 1 - (seen - ground) / np.maximum(full - ground, 1e-6)
    return float(np.clip(share, 0, 1).mean())


def _angle(mask):
    """Of the long axis from the horizontal, degrees; images count rows downwards."""
    y, x = np.nonzero(mask)
    z = x - x.mean() - 1j * (y - y.mean())
    return float(np.degrees(np.angle((z * z).mean())) / 2)


def _scaled(traits, about, pixel_size_error):
    """Pixels turned into micrometres, with what the pixel size may be off."""
    scale = pd.to_numeric(pd.Series(about["pixel_size_um"], index=traits.index), errors="coerce").astype(float)
    scale = scale.where((scale > 0) & np.isfinite(scale))
    traits = traits.copy()
    for name, power in (("esd_um", 1), ("biovolume_um3", 3)):
        depth = np.log(DEPTH_FACTOR) if power == 3 else 0.0
        for side, sign in (("low", -1), ("high", 1)):
            with np.errstate(divide="ignore"):
                edge = np.log(traits[f"{name}_{side}"] / traits[name])
            spread = np.sqrt(edge**2 + (power * np.log1p(pixel_size_error)) ** 2 + depth**2)
            traits[f"{name}_{side}"] = traits[name] * np.exp(sign * spread)
    for name in _MEASURED:
        power = next((p for ending, p in _POWERS.items() if name.endswith(ending)), 0)
        traits[name] = traits[name] * scale**power if power else traits[name]
    traits.loc[~np.isin(about["instrument"], UPRIGHT), "orientation_deg"] = np.nan
    traits.loc[scale.isna() & traits["reason"].eq(""), "reason"] = "no pixel size"
    traits.insert(0, "object_id", about["object_id"])
    return traits
