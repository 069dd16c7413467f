"""Bundles that EcoTaxa imports as they are."""

import re
import warnings
import zipfile
import zlib
from pathlib import Path

import pandas as pd

from aqqua_science.files import replacing
from aqqua_science.progress import progress_bar
from aqqua_science.schema import SchemaError
from aqqua_science.sources.ecotaxa_contents import cell_text, column_of, table_bytes, table_contents
from aqqua_science.sources.ecotaxa_layouts import FILE_COLUMN, check_objects, lay_out
from aqqua_science.sources.ecotaxa_names import Names, image_stem, plain_name
from aqqua_science.sources.ecotaxa_rules import MAX_TABLES
from aqqua_science.sources.ecotaxa_values import FREE_TEXT
from aqqua_science.sources.pictures import MAX_PIXELS, MAX_SIDE, encode_png
from aqqua_science.sources.record import PictureError
from aqqua_science.sources.tree import MAX_RATIO

_STAMP = (1980, 1, 1, 0, 0, 0)


def write_bundle(objects, store, path, *, overwrite=False):
    """
    Write objects as bundles for EcoTaxa's import.

    Rows that came from a bundle get all their columns back as they were; for others EcoTaxa's columns are made from
    what is known. There is one table per sample and set of columns, with its images beside it as PNG, exactly. An
    image whose name PNG or a file system cannot keep is renamed; its name is then in ``object_aqqua_file``.

    A predicted taxon becomes EcoTaxa's category with the status "predicted", unless a human has validated the object
    or called it dubious, or the store has a taxon without a status, as labels from folders and lists are: these are
    never changed. EcoTaxa sets imported scores to 1, so that scores travel in columns of their own:
    ``object_aqqua_score``, ``_model``, ``_taxon_1`` .. ``_3``, ``_score_1`` .. ``_3``, ``_pc01`` .. ``_pc50``,
    ``_esd_um``, ``_carbon_ug``, ``_trait_...``, ``_aux_...``.

    What EcoTaxa has no room for, or PNG cannot hold, is left out and told. Text is not altered for spreadsheets: a cell
    such as ``=1+1`` is a formula to them, so open tables of strangers with care.

    Parameters
    ----------
    objects : pandas.DataFrame
        Its index holds rows of the store. Columns of the store's table and, if known, ``taxon``, ``probability``,
        ``model``, ``taxon_1`` ..., ``probability_1`` ..., ``pc_1`` ..., ``esd_um``, ``carbon_ug``, ``trait_...``.
    store : object
        ``store[row]`` gives pixels, ``store.raw(rows)`` the original columns as text, ``store.table`` the metadata.
    path : str or pathlib.Path
        Ends in ``.zip``. After 2,000 tables, the most that EcoTaxa takes at once, ``..._2.zip`` and so on follow,
        each a whole bundle.
    overwrite : bool

    Returns
    -------
    pandas.DataFrame
        One row per zip: ``file``, ``tables``, ``objects``, ``images``, and ``remarks``, a list of what was left out or
        changed, which a warning tells as well.

    Raises
    ------
    SchemaError
        If the objects are not rows of the store, a score is not from 0 to 1, or nothing can be written.
    FileExistsError
        If a zip is there already and `overwrite` is False.
    """
    path = Path(path)
    check_objects(objects, store)
    layout = lay_out(objects, store)
    folders = [layout.groups[i : i + MAX_TABLES] for i in range(0, len(layout.groups), MAX_TABLES)]
    paths = [path, *(path.with_name(f"{path.stem}_{i}.zip") for i in range(2, len(folders) + 1))]
    _check_paths(paths, overwrite=overwrite)
    done = []
    with progress_bar(None, total=len(layout.parents), desc=path.name, unit=" images") as bar:
        for target, groups in zip(paths, folders, strict=True):
            counts = _write_zip(target, groups, bar, layout=layout, objects=objects, store=store)
            done += [(str(target), *counts)] if counts else []
    return _report(done, layout.remarks.sentences())


def _report(done, remarks):
    """What was written; remarks hold for all zips together."""
    if not done:
        msg = f"no image could be written, so there is no bundle: {'; '.join(remarks)}."
        raise SchemaError(msg)
    if remarks:
        warnings.warn(f"{done[0][0]} is not all there is: {'; '.join(remarks)}.", stacklevel=4)
    report = pd.DataFrame(done, columns=["file", "tables", "objects", "images"])
    return report.assign(remarks=[remarks] * len(done))


def _check_paths(paths, *, overwrite):
    """Nothing is overwritten unasked; zips of an earlier, larger export beside ours would be taken for part of it."""
    if paths[0].suffix.lower() != ".zip":
        msg = f"a bundle is a zip file, but {paths[0].name!r} does not end in .zip. Add it."
        raise SchemaError(msg)
    further = re.compile(re.escape(paths[0].stem) + r"_\d+\.zip")
    beside = [p for p in paths[0].parent.glob("*.zip") if further.fullmatch(p.name)]
    present = [p for p in (*paths, *beside) if p.exists() and not (overwrite and p in paths)]
    if present:
        msg = (
            f"{present[0]} is there already. Remove it, choose another name, or pass overwrite=True for the same zips."
        )
        raise FileExistsError(msg)


class _NothingWritten(Exception):
    """Not one image of a zip could be written."""


def _write_zip(path, groups, bar, *, layout, objects, store):
    """Counts of tables, objects and images; None when there is nothing to write."""
    names, counts, seen = Names(), [0, 0], set()
    try:
        with replacing(path) as part, zipfile.ZipFile(part, "w") as archive:
            for group in groups:
                folder = names.take(f"ecotaxa_{plain_name(group.sample) or 'objects'}", "")
                frame = table_contents(group, layout, objects=objects, store=store)
                frame = _write_images(archive, folder, frame, bar, store=store, layout=layout)
                if len(frame):
                    content = table_bytes(frame, layout.types)
                    _add(archive, f"{folder}/{folder}.tsv", content)
                    counts = [counts[0] + 1, counts[1] + len(frame)]
                    seen.update(frame[column_of(frame, "object_id")].str.strip())
            if not counts[0]:
                raise _NothingWritten
    except _NothingWritten:
        return None
    return counts[0], len(seen), counts[1]


def _add(archive, name, content, *, is_packed=False):
    """A file of an archive, the same bytes at any time; text that packs like a zip bomb stays unpacked."""
    info = zipfile.ZipInfo(name, _STAMP)
    info.external_attr = 0o644 << 16
    is_flat = is_packed or len(zlib.compress(content, 6)) * MAX_RATIO / 2 < len(content)
    info.compress_type = zipfile.ZIP_STORED if is_flat else zipfile.ZIP_DEFLATED
    archive.writestr(info, content)


def _write_images(archive, folder, frame, bar, *, store, layout):
    """Write images; the rows of those that were written, with the images' names."""
    names, written = Names(), {}
    file_column, key = column_of(frame, "img_file_name"), column_of(frame, "object_id")
    ranks = frame[column_of(frame, "img_rank")] if column_of(frame, "img_rank") else [""] * len(frame)
    for row, identity, file, rank in zip(frame.index, frame[key], frame[file_column], ranks, strict=True):
        bar.update()
        try:
            content = _png(store[row])
        except PictureError as error:
            reason, _, particulars = str(error).partition(": ")
            layout.remarks.add(f"image left out, {reason}", f"object {identity}{', ' * bool(particulars)}{particulars}")
            continue
        stem = image_stem(file) if file else image_stem("_".join(filter(None, (plain_name(identity), rank))))
        written[row] = names.take(stem, ".png")
        _add(archive, f"{folder}/{written[row]}", content, is_packed=True)
    frame = frame.loc[list(written)]
    return _renamed(frame, file_column, pd.Series(written, dtype=object), layout)


def _png(pixels):
    """A PNG within EcoTaxa's limits."""
    if pixels.ndim >= 2:
        height, width = pixels.shape[:2]
        if not pixels.size or max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
            msg = f"EcoTaxa takes no image without pixels or as large: {width} x {height} pixels"
            raise PictureError(msg)
    try:
        return encode_png(pixels)
    except PictureError as error:
        msg = f"PNG cannot hold it: type {pixels.dtype}, shape {pixels.shape}"
        raise PictureError(msg) from error


def _renamed(frame, column, names, layout):
    """The table with its images' new names; the first names they had are kept where there is room."""
    before = frame[column].str.strip()
    is_new = (before != "") & (before != names)
    frame = frame.assign(**{column: frame[column].where(before == names, names)})
    if is_new.any():
        known = column_of(frame, FILE_COLUMN)
        kept = frame[known] if known else pd.Series("", index=frame.index)
        fits = is_new & (kept == "") & (before.str.len() <= FREE_TEXT) & (FILE_COLUMN in layout.types)
        if fits.any():
            frame = frame.assign(**{known or FILE_COLUMN: kept.where(~fits, before)})
        for file in before[is_new & (kept == "") & ~fits].map(cell_text):
            layout.remarks.add(f"first name of an image lost, no room for it in {FILE_COLUMN}", file)
    return frame
