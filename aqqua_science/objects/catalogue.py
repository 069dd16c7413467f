"""From a store and its features to a table of objects: learn from the labelled ones, name them all."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import clone

from aqqua_science import __version__
from aqqua_science.files import plain, replacing
from aqqua_science.objects.classification import TaxonClassifier
from aqqua_science.objects.feature_input import BLOCK_ROWS, blocks, is_labelled, orient
from aqqua_science.objects.labels import said_by_people
from aqqua_science.objects.masks import check_parquet
from aqqua_science.progress import progress_bar
from aqqua_science.schema import SchemaError, nearest_name

_REMEDY = "Pass the features of this store, or embed it to another place."
"""Never to overwrite: who mixed up two paths would lose the features of the other store."""


def classify_store(store, features, *, label="taxon", to, groups="sample_id", classifier=None, overwrite=False):
    """
    Learn from the labelled objects of a store, and write a table that names all of them.

    Parameters
    ----------
    store : ImageStore
    features : xarray.DataArray, str or pathlib.Path
        Of some or all images of the store, as `features.open_features` gives them, or their path.
    label : str
        Column of the store with the taxa that people gave, empty where they gave none. Of ``taxon``, names whose
        ``taxon_status`` is "predicted" or "dubious" are not learned from.
    to : str or pathlib.Path
        File whose name ends in ``.parquet``; appears when it is whole.
    groups : str or None
        Column that tells which objects lie together; none of these groups is split between learning and testing.
    classifier : TaxonClassifier, optional
        How to learn; a copy of it does. By default ``TaxonClassifier()``. One that is fitted names the objects as it
        is, and learns nothing.
    overwrite : bool

    Returns
    -------
    dict
        ``objects`` (rows written), ``labelled`` (objects learned from), ``unreadable`` (images without features: no
        taxon), ``abstained``, ``classes``, ``untested_classes``, and held-out ``scores`` and ``calibration``, see
        `TaxonClassifier`.

    Raises
    ------
    FileExistsError
        If `to` exists and may not be overwritten.
    SchemaError
        If a column is absent, or features are of another store, or of this one before it was changed.
    ValueError
        If `to` is no name of a Parquet file, or labels are too few, see `TaxonClassifier.fit`.

    Notes
    -----
    Columns: ``row`` (of the store), ``object_id`` and ``sample_id`` where the store has them, ``label`` (what people
    said, as far as it was learned from), ``held_out`` and those of `TaxonClassifier.classify`.

    Objects that were learned from get the answer of a classifier that has not seen them nor their group, see
    `TaxonClassifier.classify_held_out`, and ``held_out`` is true: these may be compared with ``label``. Where it is
    false beside a ``label``, the taxon could not be held out, or the classifier came fitted, and the answer may be no
    better than memory.

    Memory does not grow with the number of unlabelled objects, but for their metadata.

    Examples
    --------
    >>> import tempfile
    >>> from aqqua_science.features import embed
    >>> from aqqua_science.images import ingest
    >>> from aqqua_science.synthetic import images
    >>> folder = tempfile.mkdtemp()
    >>> store = ingest(images(60, rng=0, instruments=["UVP6"]), folder + "/drawn.aqqua")
    >>> features = embed(store, encoder="measured")
    >>> found = classify_store(store, features, to=folder + "/objects.parquet", groups="source")
    Traceback (most recent call last):
    ...
    ValueError: all 60 labelled rows lie in one group, ...
    >>> found = classify_store(store, features, to=folder + "/objects.parquet", groups=None)
    >>> table = pd.read_parquet(folder + "/objects.parquet")
    >>> len(table), bool(table["held_out"].all())
    (60, True)
    """
    to = _place(to, overwrite)
    features = _opened(features)
    table = _known_of(store, features, label, groups)
    model, held_out = _learned(classifier or TaxonClassifier(), features, table, groups=groups, label=label)
    counts = _write(model, features, table, held_out=held_out, to=to)
    return {
        "objects": len(table),
        "labelled": 0 if model is classifier else int(table["label"].notna().sum()),
        "unreadable": int(table["fault"].notna().sum()),
        **counts,
        "classes": len(model.classes_),
        "untested_classes": model.untested_classes_,
        "scores": model.scores_,
        "calibration": model.calibration_,
    }


def _place(to, overwrite):
    """Where the table goes."""
    to = Path(to)
    check_parquet(to, what="objects")
    if to.exists() and not overwrite:
        msg = f"{to} exists. Pass overwrite=True to replace it, or another name."
        raise FileExistsError(msg)
    return to


def _opened(features):
    if isinstance(features, str | Path):
        from aqqua_science.features.archive import open_features

        features = open_features(features)
    if not is_labelled(features) or "object" not in features.coords:
        msg = (
            "features must be an xarray.DataArray whose coordinate `object` holds row numbers of the store. Get one "
            "from features.embed(store) or features.open_features(path)."
        )
        raise SchemaError(msg)
    return orient(features)


def _known_of(store, features, label, groups):
    """What the store knows of each object of the features: identifiers, group, label, and the fault of its image."""
    _refuse_foreign(features, store)
    rows = features.coords["object"].values
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(store)):
        msg = (
            f"features are of rows {rows.min()}..{rows.max()}, but the store has {len(store)} images. They are of "
            f"another store. {_REMEDY}"
        )
        raise SchemaError(msg)
    wanted = dict.fromkeys(["object_id", "sample_id", "taxon_status", label, *([groups] if groups else [])])
    metadata = store.table.loc[rows]
    _require(metadata, label, remedy="Name the one with the taxa as label=.")
    if groups:
        _require(metadata, groups, remedy="Name the one with the samples as groups=, or pass groups=None.")
    metadata = metadata[[name for name in wanted if name in metadata.columns]]
    known = pd.DataFrame({"row": rows}, index=metadata.index)
    for name in ("object_id", "sample_id"):
        if name in metadata.columns:
            known[name] = metadata[name].astype(object)
    _refuse_other_objects(features, known)
    known["fault"] = _faults(features)
    # Whole numbers beside empty rows come as floats: 3, not 3.0, is the name.
    names = metadata[label].convert_dtypes().astype(object).map(str, na_action="ignore")
    known["label"] = names.where(said_by_people(metadata, label) & known["fault"].isna(), None)
    return known.assign(**{"_group": metadata[groups].astype(object)} if groups else {})


def _refuse_foreign(features, store):
    """Stop at features that say they are of another store, or of what this one was."""
    from aqqua_science.features.writing import store_fingerprint

    own, theirs = store_fingerprint(store), features.attrs.get("store_fingerprint")
    if theirs not in (None, own):
        msg = (
            f"features are of another store, or of this one before it was changed: of {features.attrs.get('store')} "
            f"({theirs}), not of {store.path.name} ({own}). {_REMEDY}"
        )
        raise SchemaError(msg)


def _require(table, name, *, remedy):
    """Stop where the store lacks a column."""
    if name not in table.columns:
        near = nearest_name(name, table.columns)
        msg = f"the store has no column {name!r}.{near} {remedy} There are: {', '.join(table.columns)}."
        raise SchemaError(msg)


def _refuse_other_objects(features, known):
    """Stop at features whose objects are others than those of the store in these rows, where both name them."""
    if "object_id" not in features.coords or "object_id" not in known:
        return
    ours, theirs = known["object_id"], pd.Series(features.coords["object_id"].values, known.index, dtype=object)
    other = ours.notna() & theirs.notna() & (theirs != "") & (ours.astype(str) != theirs.astype(str))
    if other.any():
        row = other.idxmax()
        msg = (
            f"{other.sum()} of {len(known)} features are of other objects than the store's: that of row {row} is of "
            f"{theirs[row]!r}, where the store has {ours[row]!r}. {_REMEDY}"
        )
        raise SchemaError(msg)


def _faults(features):
    """Why the image of an object could not be read; None where it could."""
    if "fault" not in features.coords:
        return np.full(features.sizes["object"], None, dtype=object)
    fault = features.coords["fault"].values.astype(object)
    return np.where(pd.isna(fault) | (fault == ""), None, fault)


def _learned(classifier, features, table, *, groups, label):
    """A classifier that knows the taxa, and its held-out answers by place in the table."""
    if hasattr(classifier, "classes_"):
        return classifier, pd.DataFrame()
    places = np.flatnonzero(table["label"].notna())
    if not len(places):
        msg = (
            f"none of {len(table)} objects has a name in {label!r} that people gave (predicted and dubious ones are "
            "not). Label some, of two taxa or more, or name another column as label=."
        )
        raise ValueError(msg)
    model, labelled = clone(classifier), features.isel(object=places).assign_coords(object=places)
    model.fit(labelled, table["label"].to_numpy()[places], groups=_groups(table.iloc[places], groups))
    return model, pd.DataFrame() if model.held_out_ is None else model.classify_held_out()


def _groups(table, groups):
    """What keeps labelled objects together; nothing, which is told, where no object has any."""
    if not groups:
        return None
    if table["_group"].isna().all():
        msg = (
            f"no labelled object has a value of {groups}: objects of one sample may be both learned from and tested, "
            "which flatters the scores. Name another column as groups=, or pass groups=None to say that you know."
        )
        warnings.warn(msg, stacklevel=4)
        return None
    return table["_group"].to_numpy()


def _write(model, features, table, *, held_out, to):
    """Answers of all objects, block by block; how many abstained."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, abstained = _schema(model, features, table), 0
    with replacing(to) as part, pq.ParquetWriter(part, schema) as writer:
        for rows in progress_bar(list(blocks(len(table))), desc="classifying", unit_scale=BLOCK_ROWS):
            found = _answers(model, features, table.iloc[rows], first=rows.start, held_out=held_out)
            abstained += int(found["abstained"].sum())
            writer.write_table(pa.Table.from_pandas(found, schema=schema, preserve_index=False))
    return {"abstained": abstained}


def _answers(model, features, table, *, first, held_out):
    """Rows of the table to write; without an answer where the image could not be read."""
    block = table.drop(columns="_group", errors="ignore").set_axis(range(first, first + len(table)))
    known = block.index.intersection(held_out.index)
    fresh = block.index[block["fault"].isna()].difference(known)
    block["held_out"] = block.index.isin(known)
    parts = [held_out.loc[known]] if len(known) else []
    if len(fresh):
        parts.append(model.classify(features.isel(object=fresh.to_numpy())).set_axis(fresh))
    if not parts:
        return block.assign(abstained=True)
    found = pd.concat(parts).drop(columns="object_id", errors="ignore").reindex(block.index)
    found["abstained"] = found["abstained"].fillna(True).astype(bool)
    if model.classes_.dtype.kind in "iufb":
        names = [name for name in found if name.startswith("taxon")]
        found[names] = found[names].map(str, na_action="ignore")
    return pd.concat([block, found], axis=1)


def _schema(model, features, table):
    """Columns and their types, the same in every block, and what the table is made of."""
    import pyarrow as pa

    n_top = min(5, len(model.classes_))
    text = ["object_id", "sample_id", "fault", "label"]
    fields = [("row", pa.int64()), *((name, pa.string()) for name in text if name in table.columns)]
    fields += [
        ("held_out", pa.bool_()),
        ("taxon", pa.string()),
        ("probability", pa.float64()),
        ("level", pa.int16()),
        ("rank", pa.string()),
    ]
    fields += [("abstained", pa.bool_()), ("entropy", pa.float64()), ("margin", pa.float64())]
    for place in range(1, n_top + 1):
        fields += [(f"taxon_{place}", pa.string()), (f"probability_{place}", pa.float64())]
    about = {
        "aqqua_science": __version__,
        "encoder": features.attrs.get("encoder"),
        "fingerprint": model.fingerprint_,
        "store": features.attrs.get("store"),
        "classifier": {name: str(value) for name, value in model.get_params(deep=False).items()},
        "scores": model.scores_,
        "calibration": model.calibration_,
    }
    return pa.schema(fields, metadata={"aqqua_science": json.dumps(plain(about), allow_nan=False)})
