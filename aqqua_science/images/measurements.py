"""Classical features measured off ROI images: shape, grey levels and texture of the main object, in micrometres."""

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull

from aqqua_science.images.sizes import main_object

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_DIRECTIONS = np.exp(1j * np.pi * np.arange(32) / 32)
_CORNERS = np.array([0, 1, 1j, 1 + 1j]) - 0.5 - 0.5j
_LEVELS = 16
_SHARE = 0.5
_RINGS = 5
_SLICES = 6


def measure(pixels, *, pixel_size_um, bit_depth):
    """
    Measure the main object of an image.

    Parameters
    ----------
    pixels : numpy.ndarray of uint8 or uint16, shape (height, width) or (height, width, channel)
    pixel_size_um : float
    bit_depth : int
        Bits that the instrument used: grey levels are shares of its brightest.

    Returns
    -------
    dict
        Sizes in micrometres (as logarithms), shape, grey levels of object and background, texture, symmetry, Hu
        moments. Finite whatever the image.
    """
    planes = np.asarray(pixels, np.float32)
    planes = planes[..., None] if planes.ndim == 2 else planes[..., :3]
    planes = planes / np.float32(2**bit_depth - 1)
    mask = main_object(pixels, share=_SHARE)
    if not mask.any():
        mask = np.ones_like(mask)
    grey = planes.mean(axis=2)
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    inside, piece = mask[box], grey[box]
    found = shape_of(inside, pixel_size_um) | _levels(grey, mask, planes) | _texture(piece, inside)
    found |= _symmetry(inside, piece) | _profiles(inside, piece) | _frame(grey, mask, pixel_size_um)
    values = np.nan_to_num(np.array(list(found.values()), float), posinf=0, neginf=0)
    return dict(zip(found, values.tolist(), strict=True))


def shape_of(mask, pixel_size_um):
    """
    Measure sizes and shape of a mask, and Hu's moments of it.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (height, width)
        Not empty.
    pixel_size_um : float

    Returns
    -------
    dict of str to float
        Sizes in micrometres, as natural logarithms; ratios; moments.
    """
    y, x = np.nonzero(mask)
    z = x + 1j * y
    area, perimeter = len(z), _perimeter(mask)
    centre = z.mean()
    d = z - centre
    xx, yy, xy = (d.real**2).mean() + 1 / 12, (d.imag**2).mean() + 1 / 12, (d.real * d.imag).mean()
    root = np.hypot((xx - yy) / 2, xy)
    major, minor = (4 * np.sqrt(np.maximum((xx + yy) / 2 + s * root, 1e-9)) for s in (1, -1))
    ends = _ends(mask)
    hull_area, hull_perimeter = _hull(ends)
    widths = np.ptp((ends[:, None] * _DIRECTIONS.conj()).real, axis=0)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1][mask]
    radii = np.abs(d[depth <= 1]) + 1e-6
    log = np.log(pixel_size_um)
    return {
        "log_area": np.log(area) + 2 * log,
        "log_esd": np.log(2 * np.sqrt(area / np.pi)) + log,
        "log_feret_max": np.log(widths.max()) + log,
        "log_feret_min": np.log(widths.min()) + log,
        "log_major": np.log(major) + log,
        "log_minor": np.log(minor) + log,
        "log_perimeter": np.log(perimeter) + log,
        "feret_ratio": widths.min() / widths.max(),
        "eccentricity": np.sqrt(1 - (minor / major) ** 2),
        "elongation": minor / major,
        "solidity": area / hull_area,
        "convexity": hull_perimeter / perimeter,
        "circularity": 4 * np.pi * area / perimeter**2,
        "roundness": 4 * area / (np.pi * widths.max() ** 2),
        "extent": mask.mean(),
        "filling": area / (np.pi / 4 * major * minor),
        "radius_spread": radii.std() / radii.mean(),
        "radius_min": radii.min() / radii.mean(),
        "radius_max": radii.max() / radii.mean(),
        "log_depth": np.log(depth.max()) + log,
        "depth_share": depth.max() / np.sqrt(area / np.pi),
        "depth_mean": depth.mean() / depth.max(),
        "thin_share": (depth <= 0.25 * depth.max()).mean(),
    } | {f"hu_{i}": value for i, value in enumerate(_hu(d))}


def measure_all(store, rows=None):
    """
    Measure images of a store.

    Parameters
    ----------
    store : ImageStore
    rows : optional
        As for `ImageStore.rows`; all by default.

    Returns
    -------
    numpy.ndarray of float, shape (image, feature)
        In the order of `rows`.
    """
    rows = store.rows(rows)
    facts = store.metadata(rows)[["pixel_size_um", "bit_depth"]].astype(float).to_dict("records")
    return np.array([list(measure(store[int(r)], **of).values()) for r, of in zip(rows, facts, strict=True)])


def _perimeter(mask):
    """Length of the outline by the Cauchy-Crofton count of crossings along four directions."""
    m = np.pad(mask, 1).astype(np.int8)
    straight = np.count_nonzero(np.diff(m, axis=0)) + np.count_nonzero(np.diff(m, axis=1))
    slanted = np.count_nonzero(m[1:, 1:] != m[:-1, :-1]) + np.count_nonzero(m[1:, :-1] != m[:-1, 1:])
    return np.pi / 8 * (straight + slanted / np.sqrt(2))


def _ends(mask):
    """Corners of the first and last pixel of every row, complex; the convex hull is theirs."""
    rows = np.flatnonzero(mask.any(axis=1))
    first, last = mask[rows].argmax(axis=1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    pixels = np.concatenate([first, last]) + 1j * np.tile(rows, 2)
    return (pixels[:, None] + _CORNERS).ravel()


def _hull(points):
    """Area and perimeter of the convex hull."""
    hull = ConvexHull(np.column_stack([points.real, points.imag]))
    return hull.volume, hull.area


def _hu(d):
    """The first four of Hu's moments, by complex moments (Flusser 2000), as logarithms."""
    square, far = d * d, (d * d.conj()).real
    c11, c20, c21, c30 = (v.sum() for v in (far, square, far * d, square * d))
    values = (c11 / len(d) ** 2, abs(c20 / len(d) ** 2) ** 2, *(abs(c / len(d) ** 2.5) ** 2 for c in (c30, c21)))
    return [np.log1p(1e6 * v) for v in values]


def _levels(grey, mask, planes):
    """Grey levels of object and background, and colours."""
    inner, outer = grey[mask], grey[~mask] if not mask.all() else grey.ravel()
    found = _moments("object", inner) | _quantiles("object", inner)
    found |= {"ground_mean": outer.mean(), "ground_sd": outer.std()}
    found["contrast"] = inner.mean() - outer.mean()
    found["contrast_share"] = (inner.mean() - outer.mean()) / (inner.mean() + outer.mean() + 1e-3)
    colour = planes[mask].mean(axis=0) if planes.shape[2] == 3 else np.repeat(inner.mean(), 3)
    spread = planes[mask].std(axis=0) if planes.shape[2] == 3 else np.repeat(inner.std(), 3)
    found |= {"red": colour[0] - colour.mean(), "blue": colour[2] - colour.mean()}
    return found | {"red_sd": spread[0] - spread.mean(), "blue_sd": spread[2] - spread.mean()}


def _moments(name, values):
    mean, sd = values.mean(), values.std()
    scaled = (values - mean) / max(sd, 1e-6)
    square = scaled * scaled
    found = {f"{name}_mean": mean, f"{name}_sd": sd, f"{name}_skew": (square * scaled).mean()}
    return found | {f"{name}_kurtosis": (square * square).mean()}


def _quantiles(name, values):
    found = np.quantile(values, _QUANTILES)
    return {f"{name}_q{round(100 * q)}": v for q, v in zip(_QUANTILES, found, strict=True)}


def _texture(grey, mask):
    """Gradients, entropy, and co-occurrence of grey levels one and three pixels apart."""
    inner = grey[mask]
    low, high = inner.min(), inner.max()
    steps = np.array(grey.shape) > 1
    slopes = [np.diff(grey, axis=a, append=np.take(grey, [-1], axis=a)) for a in (0, 1) if steps[a]] or [0 * grey]
    gradient = np.sqrt(sum(s**2 for s in slopes))[mask]
    fine = (grey - ndimage.uniform_filter(grey, 3))[mask]
    coarse = (ndimage.uniform_filter(grey, 3) - ndimage.uniform_filter(grey, 7))[mask]
    p = np.bincount((inner * 63.99).clip(0, 63).astype(int), minlength=64) / len(inner)
    found = {
        "gradient": gradient.mean(),
        "gradient_energy": np.sqrt((gradient**2).mean()),
        "fine": fine.std(),
        "coarse": coarse.std(),
        "entropy": -(p[p > 0] * np.log(p[p > 0])).sum(),
    }
    levels = ((grey - low) / max(high - low, 1e-6) * (_LEVELS - 0.01)).clip(0, _LEVELS - 1).astype(int)
    for distance in (1, 3):
        found |= {f"{k}_{distance}": v for k, v in _cooccurrence(levels, mask, distance).items()}
    return found


def _cooccurrence(levels, mask, distance):
    """Haralick's contrast, homogeneity, energy, correlation and entropy of pairs within the object."""
    table = np.zeros(_LEVELS**2)
    for step in ((distance, 0), (0, distance)):
        first, second = tuple(slice(s, None) for s in step), tuple(slice(None, -s or None) for s in step)
        both = mask[first] & mask[second]
        pairs = levels[first][both] * _LEVELS + levels[second][both]
        table += np.bincount(pairs, minlength=_LEVELS**2)
    p = table.reshape(_LEVELS, _LEVELS)
    p = (p + p.T) / max(2 * p.sum(), 1)
    i, j = np.indices(p.shape)
    mean = (i * p).sum()
    variance = ((i - mean) ** 2 * p).sum()
    return {
        "pair_contrast": ((i - j) ** 2 * p).sum(),
        "pair_homogeneity": (p / (1 + np.abs(i - j))).sum(),
        "pair_correlation": ((i - mean) * (j - mean) * p).sum() / variance if variance > 0 else 0.0,
    }


def _symmetry(mask, grey):
    """How alike the object is to itself turned by half, and mirrored along its longest axis."""
    weights = np.pad(np.where(mask, np.abs(grey - grey[~mask].mean()) if not mask.all() else 1.0, 0.0), 1)
    inside = np.pad(mask, 1)
    y, x = np.nonzero(inside)
    d = (x - x.mean()) + 1j * (y - y.mean())
    turn = np.exp(0.5j * np.angle((d * d).mean()))
    own, found = weights[y, x], {}
    for name, image in (("half_turn", -d), ("mirror", d.conj() * turn**2)):
        rows = np.rint(image.imag + y.mean()).astype(int).clip(0, inside.shape[0] - 1)
        columns = np.rint(image.real + x.mean()).astype(int).clip(0, inside.shape[1] - 1)
        other = weights[rows, columns]
        found[name] = inside[rows, columns].mean()
        found[f"{name}_grey"] = np.abs(own - other).sum() / max((own + other).sum(), 1e-6)
    along = (d * turn.conj()).real
    found["mass_offset"] = np.abs((d * own).sum()) / max(own.sum(), 1e-6) / np.sqrt(len(d))
    found["axis_skew"] = np.abs((along * along * along).mean()) / max((along * along).mean(), 1e-6) ** 1.5
    return found


def _profiles(mask, grey):
    """Grey levels from the centre outwards; width and grey level along the longest axis, from the thick end."""
    y, x = np.nonzero(mask)
    d = (x - x.mean()) + 1j * (y - y.mean())
    values = grey[mask] - grey[mask].mean()
    radius = np.abs(d)
    ring = np.minimum((radius / max(radius.max(), 1e-6) * _RINGS).astype(int), _RINGS - 1)
    along = (d * np.exp(-0.5j * np.angle((d**2).mean()))).real
    along = along if (along * along * along).sum() <= 0 else -along
    low, high = along.min(), along.max()
    place = np.minimum(((along - low) / max(high - low, 1e-6) * _SLICES).astype(int), _SLICES - 1)
    found = _means("ring", ring, values, _RINGS) | _means("slice", place, values, _SLICES)
    shares = np.bincount(place, minlength=_SLICES) / len(place)
    return (
        found
        | {f"ring_share_{i}": v for i, v in enumerate(np.bincount(ring, minlength=_RINGS) / len(ring))}
        | {f"slice_share_{i}": v for i, v in enumerate(shares)}
    )


def _means(name, group, values, n):
    """Mean of the values of each group; 0 if it is empty."""
    counts = np.bincount(group, minlength=n)
    means = np.bincount(group, values, n) / np.maximum(counts, 1)
    return {f"{name}_{i}": v for i, v in enumerate(means)}


def _frame(grey, mask, pixel_size_um):
    """The frame around the object."""
    height, width = mask.shape
    found = {
        "log_height": np.log(height * pixel_size_um),
        "log_width": np.log(width * pixel_size_um),
        "frame_share": mask.mean(),
        "at_edge": np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean(),
    }
    return found | _moments("frame", grey.ravel()) | {"frame_q5": np.quantile(grey, 0.05)}
