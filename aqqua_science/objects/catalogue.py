"""From a store and its features to a table of objects: learn from the labelled ones, name them all."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from aqqua_science import __version__
from aqqua_science.files import plain, replacing
from aqqua_science.objects.classification import TaxonClassifier
from aqqua_science.objects.feature_input import BLOCK_ROWS, blocks, is_labelled, orient
from aqqua_science.objects.labels import said_by_people
from aqqua_science.progress import progress_bar
from aqqua_science.schema import SchemaError, require_columns


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
        Parquet file; appears when it is whole.
    groups : str or None
        Column that tells which objects lie together; none of these groups is split between learning and testing.
    classifier : TaxonClassifier, optional
        Not fitted; a copy is. By default ``TaxonClassifier()``.
    overwrite : bool

    Returns
    -------
    dict
        ``objects`` (rows written), ``labelled``, ``unreadable`` (images without features: no taxon), ``abstained``,
        ``classes``, ``untested_classes``, and held-out ``scores`` and ``calibration``, see `TaxonClassifier`.

    Raises
    ------
    FileExistsError
        If `to` exists and may not be overwritten.
    SchemaError
        If a column is absent, or features are not of this store.
    ValueError
        If labels are too few, see `TaxonClassifier.fit`.

    Notes
    -----
    Columns: ``row`` (of the store), ``object_id`` and ``sample_id`` where the store has them, ``label`` (what people
    said, as far as it was learned from) and those of `TaxonClassifier.classify`. Labelled rows get an answer, too: of a
    classifier that has seen them. Memory does not grow with the number of unlabelled objects, but for their metadata.

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
    >>> found["objects"], len(pd.read_parquet(folder + "/objects.parquet"))
    (60, 60)
    """
    to = Path(to)
    if to.exists() and not overwrite:
        msg = f"{to} exists. Pass overwrite=True to replace it, or another name."
        raise FileExistsError(msg)
    features = _opened(features)
    table = _known_of(store, features, label, groups)
    learned = np.flatnonzero(table["label"].notna())
    model = _fitted(classifier or TaxonClassifier(), features, table.iloc[learned], learned, groups)
    counts = _write(model, features, table, to)
    return {
        "objects": len(table),
        "labelled": len(learned),
        "unreadable": int(table["fault"].notna().sum()),
        **counts,
        "classes": len(model.classes_),
        "untested_classes": model.untested_classes_,
        "scores": model.scores_,
        "calibration": model.calibration_,
    }


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
    rows = features.coords["object"].values
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(store)):
        msg = (
            f"features are of rows {rows.min()}..{rows.max()}, but the store has {len(store)} images. They are of "
            "another store; embed this one."
        )
        raise SchemaError(msg)
    wanted = dict.fromkeys(["object_id", "sample_id", "taxon_status", label, *([groups] if groups else [])])
    metadata = store.table.loc[rows]
    require_columns(metadata, [label, *([groups] if groups else [])], what="the store")
    metadata = metadata[[name for name in wanted if name in metadata.columns]]
    known = pd.DataFrame({"row": rows}, index=metadata.index)
    for name in ("object_id", "sample_id"):
        if name in metadata.columns:
            known[name] = metadata[name].astype(object)
    known["fault"] = _faults(features)
    # Whole numbers beside empty rows come as floats: 3, not 3.0, is the name.
    names = metadata[label].convert_dtypes().astype(object).map(str, na_action="ignore")
    known["label"] = names.where(said_by_people(metadata, label) & known["fault"].isna(), None)
    return known.assign(**{"_group": metadata[groups].astype(object)} if groups else {})


def _faults(features):
    """Why the image of an object could not be read; None where it could."""
    if "fault" not in features.coords:
        return np.full(features.sizes["object"], None, dtype=object)
    fault = features.coords["fault"].values.astype(object)
    return np.where(pd.isna(fault) | (fault == ""), None, fault)


def _fitted(classifier, features, table, learned, groups):
    """A copy of the classifier that has learned from the labelled rows."""
    from sklearn.base import clone

    group = table["_group"].to_numpy() if groups else None
    if groups and len(table) and table["_group"].isna().all():
        msg = (
            f"no labelled object has a value of {groups}: objects of one sample may be both learned from and tested, "
            "which flatters the scores. Name another column as groups, or pass groups=None to say that you know."
        )
        warnings.warn(msg, stacklevel=3)
        group = None
    return clone(classifier).fit(features.isel(object=learned), table["label"].to_numpy(), groups=group)


def _write(model, features, table, to):
    """Answers of all objects, block by block; how many abstained."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, abstained = _schema(model, features, table), 0
    with replacing(to) as part, pq.ParquetWriter(part, schema) as writer:
        for rows in progress_bar(list(blocks(len(table))), desc="classifying", unit_scale=BLOCK_ROWS):
            found = _answers(model, features, table, rows)
            abstained += int(found["abstained"].sum())
            writer.write_table(pa.Table.from_pandas(found, schema=schema, preserve_index=False))
    return {"abstained": abstained}


def _answers(model, features, table, rows):
    """Rows of the table to write; without an answer where the image could not be read."""
    block = table.iloc[rows].drop(columns="_group", errors="ignore").reset_index(drop=True)
    readable = np.flatnonzero(block["fault"].isna())
    if not len(readable):
        return block.assign(abstained=True)
    found = model.classify(features.isel(object=rows.start + readable))
    found = found.drop(columns="object_id", errors="ignore").set_axis(readable).reindex(block.index)
    found["abstained"] = found["abstained"].fillna(True).astype(bool)
    return pd.concat([block, found], axis=1)


def _schema(model, features, table):
    """Columns and their types, the same in every block, and what the table is made of."""
    import pyarrow as pa

    n_top = min(5, len(model.classes_))
    text = ["object_id", "sample_id", "fault", "label"]
    fields = [("row", pa.int64()), *((name, pa.string()) for name in text if name in table.columns)]
    fields += [("taxon", pa.string()), ("probability", pa.float64()), ("level", pa.int16()), ("rank", pa.string())]
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
