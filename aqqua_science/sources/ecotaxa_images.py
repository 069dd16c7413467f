"""The images of an EcoTaxa import bundle: whether EcoTaxa would find and take them."""

import io
import warnings

from PIL import GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError

from aqqua_science.sources.pictures import MAX_PIXELS, MAX_SIDE
from aqqua_science.sources.record import PictureError
from aqqua_science.sources.tree import beside

_FORMATS = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "GIF": GifImagePlugin.GifImageFile,
}
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, MemoryError)


class ImageChecker:
    """
    Check images as tables name them, each only once.

    Parameters
    ----------
    tree : Tree
    """

    def __init__(self, tree):
        self._tree = tree
        self._good = set()
        self._faults = {}

    def fault(self, table, file):
        """
        Tell what is wrong with an image.

        Parameters
        ----------
        table : str
            The table that names it.
        file : str
            As it is named there.

        Returns
        -------
        tuple of str or None
            Rule and message; None when all is well.
        """
        name = self._place(table, file)
        if name in self._good:
            return None
        if name not in self._tree:
            return self._missing(name, file)
        if name not in self._faults:
            found = self._content_fault(name)
            if not found:
                self._good.add(name)
                return None
            self._faults[name] = found
        rule, message = self._faults[name]
        return rule, f"Error while reading image '{file}': {message}"

    def _place(self, table, file):
        """Name in the tree; None where it leads out. A backslash is no separator for EcoTaxa."""
        if "/" not in file and "\\" not in file and ":" not in file and file not in ("", ".", ".."):
            return table[: table.rfind("/") + 1] + file
        return beside(table, file.replace("\\", "\0")) if file else ""

    def _missing(self, name, file):
        if name is None:
            message = f"Image '{file}' is outside the bundle. Put it there, and name it relative to the table."
            return "image-outside", message
        if not file:
            return "missing-image", "Missing Image ''. Every line must name the file of its image in img_file_name."
        why = f" ({self._tree.refused[name]})" if name in self._tree.refused else ""
        remedy = "Write / between folder and file." if "\\" in file else "Add it, or correct its name, case included."
        return "missing-image", f"Missing Image '{file}'{why}. {remedy}"

    def _content_fault(self, name):
        try:
            content = self._tree.read(name)
        except PictureError as error:
            return "corrupt-image", f"{error}. Copy it again from its origin."
        if not content:
            return "empty-image", "the file has no bytes. Copy it again from its origin."
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return _decode_fault(content)
            except UnidentifiedImageError:
                return "corrupt-image", "cannot identify the image file. Copy it again, or save it as PNG."
            except Image.DecompressionBombError as error:
                return "image-too-large", f"{error} Cut or reduce it."
            except _DAMAGE as error:
                return "corrupt-image", f"{type(error).__name__}, {error}. Copy it again from its origin."


def _decode_fault(content):
    """Rule and message for a file that is an image but not one for EcoTaxa; its pixels are read to the end."""
    with _opened(content) as image:
        width, height = image.size
        if image.format not in _FORMATS:
            return "image-format", f"Unsupported image format: {image.format}. Convert it to PNG, JPEG or GIF."
        if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
            return (
                "image-too-large",
                f"Image too large: {width} x {height} pixels. At most {MAX_SIDE} a side and {MAX_PIXELS:,} in all are "
                "taken; cut or reduce it.",
            )
        image.load()
    return None


def _opened(content):
    """An image whose pixels are not read yet, however many it has."""
    try:
        return Image.open(io.BytesIO(content))
    except Image.DecompressionBombError:
        for signature, name in ((b"\x89PNG", "PNG"), (b"\xff\xd8", "JPEG"), (b"GIF8", "GIF")):
            if content.startswith(signature):
                return _FORMATS[name](io.BytesIO(content))
        raise
