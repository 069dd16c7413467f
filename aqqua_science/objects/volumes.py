"""Volumes of bodies of which one projection was seen, by three models, and bodies without their appendages."""

import numpy as np
from scipy import ndimage

_THIN = 0.25
_PARTS = 3
_NEARLY_CONVEX = 1.2
_ROUND = 0.8
_BEFORE = 0.35


def sphere_volume(esd):
    """
    Volume of the sphere of a diameter, pi/6 ESD^3.

    Parameters
    ----------
    esd : float or array of float
        Equivalent spherical diameter, not radius.

    Returns
    -------
    float or array of float
        In the cube of its unit.
    """
    return np.pi / 6 * np.asarray(esd) ** 3


def ellipsoid_volume(major, minor):
    """
    Volume of the prolate spheroid of two axes, pi/6 L W^2: as deep as it is wide.

    Parameters
    ----------
    major, minor : float or array of float
        Whole axes, of the ellipse of the same moments.

    Returns
    -------
    float or array of float
        In the cube of their unit.
    """
    return np.pi / 6 * np.asarray(major) * np.asarray(minor) ** 2


def revolved_volume(mask, *, major, minor, hull_area):
    """
    Volume of a body that is as deep as it is wide at each place, in cubes of pixels.

    A nearly convex or round body is turned about its long axis: a disc for each slice across. Any other, such as a
    bent chain or a body with a tail, is piled up over its distance map: at each pixel the distance to the outline, the
    cross-section being a diamond whose area is brought to that of a circle. The latter is exact for a long tube,
    however it winds, and pi/4 of a sphere.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (height, width)
    major, minor : float
        Axes of the ellipse of the same moments, pixels.
    hull_area : float
        Of the convex hull, pixels.

    Returns
    -------
    float

    References
    ----------
    Moberg & Sosik 2012, Distance maps to estimate cell volume from two-dimensional plankton images, Limnology and
    Oceanography: Methods 10, doi:10.4319/lom.2012.10.278. Sosik & Olson 2007, doi:10.4319/lom.2007.5.204.

    Notes
    -----
    The paper's rule tells the two apart: turned if hull / area < 1.2, or if eccentricity < 0.8 and ESD / major axis
    > 0.8. Its correction for the steps of the distance map is not needed here: a distance is to the outline, which is
    0.35 pixels before the nearest pixel without object, on average over all directions.
    """
    area = np.count_nonzero(mask)
    eccentricity = np.sqrt(max(0.0, 1 - (minor / major) ** 2))
    esd = 2 * np.sqrt(area / np.pi)
    if hull_area / area < _NEARLY_CONVEX or (eccentricity < _ROUND and esd / major > _ROUND):
        return turned_volume(mask)
    return distance_map_volume(mask)


def turned_volume(mask):
    """
    Volume of a body turned about its long axis, in cubes of pixels.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (height, width)

    Returns
    -------
    float
        Sum over slices one pixel thick of the disc of their width.
    """
    y, x = np.nonzero(mask)
    z = x - x.mean() + 1j * (y - y.mean())
    turn = np.exp(-0.5j * np.angle((z * z).mean()))
    # A pixel is spread over its parts, or its corners would fall into slices by chance.
    parts = (np.arange(_PARTS) + 0.5) / _PARTS - 0.5
    along = (z * turn).real[:, None] + (turn * (parts[:, None] + 1j * parts)).real.ravel()
    slices = np.floor(along - along.min()).astype(int).ravel()
    widths = np.bincount(slices) / _PARTS**2
    return float(np.pi / 4 * (widths**2).sum())


def distance_map_volume(mask):
    """
    Volume of a body over its distance map, in cubes of pixels.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (height, width)

    Returns
    -------
    float
        pi times the sum of the distances to the outline.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))
    return float(np.pi * (depth[depth > 0] - _BEFORE).sum())


def body_mask(mask):
    """
    Take the appendages off a body: what is thinner than a quarter of its thickest part.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (height, width)

    Returns
    -------
    numpy.ndarray of bool, shape (height, width)
        The mask opened with a disc of a quarter of its greatest distance to the outline, at least of 1 pixel; the mask
        itself where that leaves nothing.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    radius = max(1.0, _THIN * (depth.max() - 0.5))
    core = depth > radius
    if not core.any():
        return mask
    return mask & (ndimage.distance_transform_edt(~core) <= radius)
