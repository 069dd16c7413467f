"""A small learnt head that tells object from water, pixel by pixel, after a few examples."""

import hashlib
import warnings

import numpy as np
from scipy import ndimage
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from aqqua_science.images.sizes import fill_holes
from aqqua_science.objects.array_files import read_arrays, write_arrays
from aqqua_science.objects.thresholding import contrast, main_group, main_mask

_SCALES = (1.0, 2.0, 4.0, 8.0)
_FAR = 6.0
_MAYBE = 0.2
_KIND = "SegmentationHead"
_WEIGHTS = ("mean", "scale", "inner", "inner_bias", "outer", "outer_bias")


class SegmentationHead(BaseEstimator):
    """
    Learn from a few images which pixels are object.

    A network with one hidden layer looks at what surrounds a pixel at several scales: difference from the water,
    smoothed more and more, gradients, local spread, colours, and the distance from the outline that thresholds find.
    Fitted on masks drawn by hand it learns where people draw the line; without masks it learns from the thresholds,
    and evens them out.

    Parameters
    ----------
    tokens : callable, optional
        From pixels (height, width[, channel]) to features of patches, (rows, columns, feature), such as `patch_tokens`
        of an encoder, laid over the whole image; used besides the others.
    hidden : int
        Units of the hidden layer.
    pixels_per_image : int
        How many of each image to learn from, as many of the object as of the water, and half of both at the outline.
    random_state : int

    Attributes
    ----------
    weights_ : dict of str to numpy.ndarray
        Mean and scale of the features, and the two layers of the network.
    fingerprint : str
        Tells what was learnt from anything else.

    References
    ----------
    Arganda-Carreras et al. 2017, Trainable Weka Segmentation: a machine learning tool for microscopy pixel
    classification, Bioinformatics 33, doi:10.1093/bioinformatics/btx180.

    Examples
    --------
    >>> from aqqua_science.synthetic import images
    >>> pictures = list(images(4, rng=1, instruments=["UVP6"]))
    >>> head = SegmentationHead().fit([p.pixels() for p in pictures], [p.mask() for p in pictures])
    >>> head.predict(pictures[0].pixels()).shape == pictures[0].mask().shape
    True
    """

    def __init__(self, *, tokens=None, hidden=24, pixels_per_image=600, random_state=0):
        self.tokens = tokens
        self.hidden = hidden
        self.pixels_per_image = pixels_per_image
        self.random_state = random_state

    def fit(self, images, masks=None):
        """
        Learn from images and their masks.

        Parameters
        ----------
        images : list of numpy.ndarray
            Of any sizes; all grey or all with as many channels.
        masks : list of numpy.ndarray of bool, optional
            Those that thresholds find by default.

        Returns
        -------
        SegmentationHead
        """
        masks = [main_mask(pixels) for pixels in images] if masks is None else masks
        if len(images) != len(masks):
            msg = f"there are {len(images)} images and {len(masks)} masks. Give one mask for each image."
            raise ValueError(msg)
        rng = np.random.default_rng(self.random_state)
        parts = [self._examples(*pair, rng) for pair in zip(images, masks, strict=True)]
        X, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True)) if parts else ([], [])
        if len(np.unique(y)) < 2:
            msg = "the masks must hold pixels of objects and of water; they hold only one of them. Give other images."
            raise ValueError(msg)
        network = MLPClassifier(
            (self.hidden,),
            alpha=1e-3,
            batch_size=min(256, len(X)),
            max_iter=25,
            random_state=self.random_state,
            tol=1e-3,
        )
        with warnings.catch_warnings():
            # Twenty-five rounds are enough; the last decimal of the loss is of no interest.
            warnings.simplefilter("ignore", ConvergenceWarning)
            scaler, network = (step for _, step in make_pipeline(StandardScaler(), network).fit(X, y).steps)
        arrays = (
            scaler.mean_,
            scaler.scale_,
            *(a for pair in zip(network.coefs_, network.intercepts_, strict=True) for a in pair),
        )
        self.weights_ = dict(zip(_WEIGHTS, arrays, strict=True))
        return self

    def predict_proba(self, image):
        """
        Tell how likely each pixel is object.

        Parameters
        ----------
        image : numpy.ndarray, shape (height, width) or (height, width, channel)

        Returns
        -------
        numpy.ndarray of float, shape (height, width)
        """
        check_is_fitted(self)
        features, weights = self._features(image), self.weights_
        if features.shape[-1] != len(weights["mean"]):
            msg = (
                f"the head was fitted on {len(weights['mean'])} features of each pixel; this image gives "
                f"{features.shape[-1]}. Grey images, colour images and tokens need heads of their own."
            )
            raise ValueError(msg)
        hidden = np.maximum(
            ((features - weights["mean"]) / weights["scale"]) @ weights["inner"] + weights["inner_bias"], 0
        )
        return expit((hidden @ weights["outer"] + weights["outer_bias"])[..., 0])

    def predict(self, image):
        """
        Find the pixels of the main object of an image.

        Parameters
        ----------
        image : numpy.ndarray, shape (height, width) or (height, width, channel)

        Returns
        -------
        numpy.ndarray of bool, shape (height, width)
        """
        chances = self.predict_proba(image)
        return fill_holes(main_group(chances > _MAYBE) & (chances > 0.5))

    @property
    def fingerprint(self):
        """Tells what was learnt from anything else."""
        check_is_fitted(self)
        arrays = [np.ascontiguousarray(self.weights_[name]) for name in _WEIGHTS]
        return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()[:16]

    def save(self, path):
        """
        Write the head to a file of arrays.

        Parameters
        ----------
        path : str or pathlib.Path
            Ending in ``.npz``. `tokens` is not kept.
        """
        check_is_fitted(self)
        parameters = {name: value for name, value in self.get_params().items() if name != "tokens"}
        write_arrays(path, self.weights_, kind=_KIND, about={"parameters": parameters})

    @classmethod
    def load(cls, path, *, tokens=None):
        """
        Read a head that `save` wrote.

        Parameters
        ----------
        path : str or pathlib.Path
        tokens : callable, optional
            That of the fit.

        Returns
        -------
        SegmentationHead

        Raises
        ------
        ValueError
            If the file is none, is damaged or is of a later version.
        """
        about, weights = read_arrays(path, kind=_KIND)
        head = cls(tokens=tokens, **about["parameters"])
        head.weights_ = weights
        return head

    def _examples(self, pixels, mask, rng):
        """Features and labels of some pixels of an image."""
        mask = np.asarray(mask, bool)
        features = self._features(pixels)
        if mask.shape != features.shape[:2]:
            msg = f"a mask of {mask.shape} was given for an image of {features.shape[:2]}. They must be alike."
            raise ValueError(msg)
        near = ndimage.grey_dilation(mask, (5, 5)) & ~ndimage.grey_erosion(mask, (5, 5))
        kinds = [mask & near, mask & ~near, ~mask & near, ~mask & ~near]
        chosen = [_some(np.flatnonzero(kind), self.pixels_per_image // 4, rng) for kind in kinds]
        places = np.concatenate(chosen)
        return features.reshape(-1, features.shape[-1])[places], mask.ravel()[places]

    def _features(self, pixels):
        """All features, (height, width, feature), of float32."""
        pixels = np.asarray(pixels)
        layers = pixel_features(pixels)
        if self.tokens is None:
            return layers
        tokens = np.asarray(self.tokens(pixels), np.float32)
        y, x = (np.arange(n) * tokens.shape[axis] // n for axis, n in enumerate(pixels.shape[:2]))
        return np.concatenate([layers, tokens[y[:, None], x]], axis=-1)


def pixel_features(pixels):
    """
    Describe what surrounds each pixel at several scales.

    Parameters
    ----------
    pixels : numpy.ndarray, shape (height, width) or (height, width, channel)

    Returns
    -------
    numpy.ndarray of float32, shape (height, width, feature)
        In units of the largest differences of the image, so that light and exposure hardly matter.
    """
    difference, water = contrast(pixels)
    sign = 1.0 if difference.sum() > 0 else -1.0
    unit = max(float(np.quantile(np.abs(difference), 0.995)), 1e-6)
    plain = sign * difference / unit
    smooth = [ndimage.gaussian_filter(plain, s, truncate=3.0) for s in _SCALES]
    slopes = [np.hypot(*np.gradient(layer)) if min(layer.shape) > 1 else 0 * layer for layer in (plain, *smooth[:2])]
    square = ndimage.uniform_filter(plain**2, 5) - ndimage.uniform_filter(plain, 5) ** 2
    most = ndimage.maximum_filter(np.abs(plain), 7)
    layers = [plain, *smooth, *slopes, np.sqrt(np.maximum(square, 0)), most, plain / (most + 0.05)]
    layers += [_signed_distance(main_mask(pixels)), np.full_like(plain, sign), *_colours(pixels, water, unit)]
    return np.stack(layers, axis=-1).astype(np.float32)


def _signed_distance(mask):
    """Distance from the outline, positive within, cut off where it is far."""
    inner = ndimage.distance_transform_cdt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1] if mask.any() else 0.0
    outer = ndimage.distance_transform_cdt(~mask) if mask.any() else np.full(mask.shape, _FAR)
    return np.clip(inner, 0, _FAR) - np.clip(outer, 0, _FAR)


def _colours(pixels, water, unit):
    """Each channel's difference from the mean grey of the water."""
    if pixels.ndim == 2:
        return []
    return [(pixels[..., k] - water) / unit for k in range(pixels.shape[2])]


def _some(places, n, rng):
    return places if len(places) <= n else rng.choice(places, n, replace=False)
