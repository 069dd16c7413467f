"""What can be seen to be wrong with the metadata of a store: positions, depths, times, sizes and identifiers."""

import numpy as np
import pandas as pd

OUTLIER_Z = 6.0
"""Robust standard deviations of the logarithm of the longest side, beyond which a size is an outlier."""

MIN_IMAGES = 50
"""Images of an instrument that it takes to say what its sizes are."""

MIN_SPREAD = 0.35
"""Least standard deviation of the logarithm that sizes are granted: organisms differ by some 40 %."""

DEEPEST_LAKE = 1700
"""Metres; Lake Baikal has 1,642."""

FIRST_YEAR = 1980
"""No camera took images of plankton in the water before."""

FIRST_YEARS = {
    "VPR": 1990,
    "IFCB": 2003,
    "ISIIS": 2005,
    "LOKI": 2005,
    "UVP5": 2008,
    "CPICS": 2008,
    "PlanktonImager": 2008,
    "DSPC": 2010,
    "UVP6": 2016,
}
"""Year of the first instrument of a kind that images in the water, on the generous side."""

BENCH = ("ZooScan", "ZooCam", "FlowCam", "PlanktoScope", "CytoSense")
"""Instruments that also image preserved samples, whose time may be that of an old catch."""

_INLAND = ("lake", "river")
_SLACK = 1e-6


def find_odd(table, *, land=None, now=None):
    """
    Find what is odd in the metadata.

    Parameters
    ----------
    table : pandas.DataFrame
        `ImageStore.table`.
    land : callable, optional
        (longitudes, latitudes) -> whether on land.
    now : pandas.Timestamp, optional
        UTC, the present by default.

    Yields
    ------
    kind : str
    row : int or None
        None for what is said of a whole source.
    source : str or None
        None for what is said of one image.
    detail : str
    other : None
        No image is compared with another here.
    """
    now = pd.Timestamp.now("UTC").tz_localize(None) if now is None else pd.Timestamp(now)
    checks = [_repeated_ids(table), _zero_positions(table), _on_land(table, land), _depths(table)]
    checks += [_times(table, now), _sizes(table)]
    for row, kind, detail in (finding for check in checks for finding in check):
        yield kind, row, None, detail, None
    yield from _midnights(table)


def _repeated_ids(table):
    """Objects of the same name in two sources, and images of the same rank of one object."""
    ids = table["object_id"]
    first = ids.drop_duplicates().reset_index().set_index("object_id")["row"]
    for row in table.index[ids.duplicated() & ~table.duplicated(["source", "object_id"])]:
        other = first[ids[row]]
        yield (
            row,
            "repeated-id",
            f"object_id {ids[row]!r} is also that of image {other} of source {table['source'][other]!r}",
        )
    for row in table.index[table.duplicated(["source", "object_id", "image_rank"])]:
        rank = table["image_rank"][row]
        yield row, "repeated-id", f"its source has object_id {ids[row]!r} with image_rank {rank} more than once"


def _zero_positions(table):
    zero = (table["latitude"] == 0) & (table["longitude"] == 0)
    return (
        (row, "zero-position", "it lies at exactly 0° N, 0° E, which often stands for nothing")
        for row in table.index[zero]
    )


def _on_land(table, land):
    """Images of the sea on land; each position is looked up once."""
    if land is None:
        return
    places = table.loc[~table["water"].isin(_INLAND), ["longitude", "latitude"]]
    unique = places.drop_duplicates()
    is_land = np.asarray(land(unique["longitude"].to_numpy(), unique["latitude"].to_numpy()), dtype=bool)
    dry = places.reset_index().merge(unique[is_land], on=["longitude", "latitude"])
    for row, longitude, latitude in dry.sort_values("row").itertuples(index=False):
        yield (
            row,
            "on-land",
            f"latitude {latitude:g}, longitude {longitude:g} is on land, and water is no lake or river",
        )


def _depths(table):
    depth, top, bottom = table["depth"], table["depth_min"], table["depth_max"]
    for row in table.index[top > bottom]:
        yield row, "impossible-depth", f"depth_min {top[row]:g} m is below depth_max {bottom[row]:g} m"
    outside = ((depth < top - _SLACK) | (depth > bottom + _SLACK)) & ~(top > bottom)
    for row in table.index[outside]:
        yield row, "impossible-depth", f"depth {depth[row]:g} m is outside its layer, {top[row]:g} to {bottom[row]:g} m"
    for row in table.index[table["water"].isin(_INLAND) & (depth > DEEPEST_LAKE)]:
        yield (
            row,
            "impossible-depth",
            f"depth {depth[row]:g} m in a {table['water'][row]}; none is below {DEEPEST_LAKE} m",
        )


def _times(table, now):
    """Times that have not come yet, or when there was no such instrument."""
    time, instrument = table["time"], table["instrument"]
    for row in table.index[time > now]:
        yield row, "impossible-time", f"{time[row]} UTC has not come yet"
    first = instrument.map(FIRST_YEARS).astype(float).fillna(FIRST_YEAR)
    for row in table.index[(time.dt.year < first) & ~instrument.isin(BENCH)]:
        yield row, "impossible-time", f"{time[row]} UTC, and no {instrument[row]} before {first[row]:.0f}"


def _midnights(table):
    """Sources whose times all are midnight: it is the day that is known, not the hour."""
    at_midnight = table["time"] == table["time"].dt.normalize()
    detail = "all its times are exactly midnight: they are days, and the hour is not known"
    for source, every in at_midnight.groupby(table["source"], sort=False).all().items():
        if every:
            yield "midnight", None, source, detail, None


def _sizes(table):
    """Images far from the log-normal bulk of their instrument's sizes."""
    side = table["pixel_size_um"] * table[["height", "width"]].max(axis=1)
    for instrument, sides in side.groupby(table["instrument"]):
        log = np.log(sides)
        centre = log.median()
        spread = max(1.4826 * (log - centre).abs().median(), MIN_SPREAD)
        far = (log - centre).abs() > OUTLIER_Z * spread
        for row in sides.index[far] if len(sides) >= MIN_IMAGES else ():
            ratio = np.exp(abs(log[row] - centre))
            which = "longer" if log[row] > centre else "shorter"
            detail = (
                f"its longest side, {sides[row]:.4g} µm, is {ratio:.3g} times {which} than the median of {instrument}"
            )
            yield row, "size-outlier", f"{detail}; {np.exp(OUTLIER_Z * spread):.3g} times is the limit"


def measure_completeness(table):
    """
    Tell how complete each column is.

    Parameters
    ----------
    table : pandas.DataFrame
        `ImageStore.table`.

    Returns
    -------
    pandas.DataFrame
        Share of the images with a value: one row per source, one column per field, and ``images``, their number.
    """
    fields = table.drop(columns="source").columns
    shares = table[fields].notna().groupby(table["source"], sort=False).mean()
    shares.insert(0, "images", table.groupby("source", sort=False).size())
    return shares
