"""EcoTaxa: its import bundles and its exports."""

from aqqua_science.sources import ecotaxa_portal
from aqqua_science.sources.ecotaxa_bundles import write_bundle
from aqqua_science.sources.ecotaxa_requests import PORTAL
from aqqua_science.sources.ecotaxa_rules import validate_bundle
from aqqua_science.sources.ecotaxa_scores import send_scores
from aqqua_science.sources.ecotaxa_tables import read_table, table_names, table_parts


def recognise(tree):
    """
    Tell by what a tree is known to be EcoTaxa's.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    str
        Evidence in words; empty when it is not.
    """
    names = table_names(tree)
    return f"{len(names)} table{'s' if len(names) > 1 else ''} ecotaxa*.tsv" if names else ""


def parts(tree):
    """
    List the tables, in pieces that can be read one by one.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    list of Part
    """
    return table_parts(tree)


def read(tree, part):
    """
    Read the records of a part.

    Parameters
    ----------
    tree : Tree
    part : Part

    Returns
    -------
    iterator of Record
    """
    return read_table(tree, part)


def validate(path):
    r"""
    Check an import bundle by the rules of EcoTaxa's import, without EcoTaxa.

    Parameters
    ----------
    path : str or pathlib.Path
        A folder, a zip, or one table, whose images lie beside it.

    Returns
    -------
    pandas.DataFrame
        One row per fault: ``file``, ``line`` (1 is the header, 0 the whole file or bundle), ``rule`` (explained in
        `ecotaxa_rules.RULES`) and ``message``; empty when no rule is broken. Whether EcoTaxa knows a taxon or a
        person, and what a project holds already, cannot be told from here.

    Raises
    ------
    SchemaError
        If there is nothing at the path, or a zip cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> table = Path(tempfile.mkdtemp(), "ecotaxa_a.tsv")
    >>> _ = table.write_text("img_file_name\tobject_id\tarea\n[t]\t[t]\t[f]\n1.png\ta1\t5\n")
    >>> validate(table)[["line", "rule"]].to_numpy().tolist()
    [[1, 'header-without-underscore'], [3, 'missing-image']]
    """
    return validate_bundle(path)


def write(objects, store, path, *, overwrite=False):
    """
    Write objects of a store, with what was predicted of them, as a bundle that EcoTaxa imports as it is.

    What came from a bundle goes back unchanged, and nothing that a human has validated, nor a label that is not said
    to be predicted, is ever overwritten. See `ecotaxa_bundles.write_bundle` for the columns.

    Parameters
    ----------
    objects : pandas.DataFrame
        Rows of ``store.table`` under their own index, with predictions: ``taxon``, ``probability``, ``model``,
        ``taxon_1`` .. ``taxon_3``, ``probability_1`` .. ``probability_3``, ``pc_1`` .. ``pc_50``, ``esd_um``,
        ``carbon_ug``, ``trait_...``, as far as there are any.
    store : object
        ``store[row]``, ``store.raw(rows)`` and ``store.table`` are used.
    path : str or pathlib.Path
        Ends in ``.zip``; more than 2,000 tables go on in ``..._2.zip`` and so on.
    overwrite : bool

    Returns
    -------
    pandas.DataFrame
        One row per zip: ``file``, ``tables``, ``objects``, ``images``, ``remarks`` (what was left out or changed).

    Raises
    ------
    SchemaError
        If the objects are no rows of the store, a probability is not from 0 to 1, or nothing can be written.
    FileExistsError
        If a zip is there already and `overwrite` is False.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> class Store(dict):
    ...     table = pd.DataFrame({"object_id": ["a1"], "latitude": [43.7], "longitude": [7.3]})
    ...
    ...     def raw(self, rows):
    ...         return pd.DataFrame(index=rows)
    >>> store = Store({0: np.zeros((2, 2), dtype=np.uint8)})
    >>> path = tempfile.mkdtemp() + "/for_validation.zip"
    >>> report = write(store.table.assign(taxon="Copepoda", probability=0.9), store, path)
    >>> report[["tables", "objects", "images"]].to_numpy().tolist(), len(validate(path))
    ([[1, 1, 1]], 0)
    """
    return write_bundle(objects, store, path, overwrite=overwrite)


def log_in(username, password, *, url=PORTAL):
    """
    Get a token of EcoTaxa for a name and a password.

    Parameters
    ----------
    username : str
        The address that the account was opened with.
    password : str
    url : str

    Returns
    -------
    str
        Put it into the environment variable ECOTAXA_TOKEN, and keep it like a password; it expires.

    Raises
    ------
    PermissionError
        If EcoTaxa does not know them.
    OSError
        If EcoTaxa cannot be reached.

    Examples
    --------
    >>> token = log_in("me@example.org", getpass.getpass())  # doctest: +SKIP
    """
    return ecotaxa_portal.log_in(username, password, url=url)


def push_scores(objects, *, project, progress, taxa=None, url=PORTAL, token=None, wait_s=1.0):
    """
    Send predicted taxa and their scores to EcoTaxa, where a bundle of these objects has been imported.

    Objects that are validated or dubious in EcoTaxa by now are left alone.

    Parameters
    ----------
    objects : pandas.DataFrame
        ``object_id``, and either ``taxon`` and ``probability`` or ``taxon_1``, ``probability_1`` .. ``taxon_3``,
        ``probability_3``. Of an object with several images the first row counts.
    project : int
        EcoTaxa's number of the project.
    progress : str or pathlib.Path
        A small file that remembers what was sent: call again with it after an interruption, and the rest follows.
    taxa : dict of str to int, optional
        Name -> EcoTaxa's number of the taxon; looked up there by default.
    url : str
    token : str, optional
        The environment variable ECOTAXA_TOKEN by default.
    wait_s : float
        Seconds before a failed request is repeated; they double with each further one.

    Returns
    -------
    pandas.DataFrame
        One row per object: ``object_id``, ``objid`` (EcoTaxa's number) and ``result`` in words.

    Raises
    ------
    SchemaError
        If columns are missing, a score is not from 0 to 1, a taxon has no number, or the file of progress is of other
        scores.
    PermissionError
        If there is no token, or it has expired.
    OSError
        If EcoTaxa refuses or cannot be reached.

    Examples
    --------
    >>> push_scores(objects, project=1234, progress="sent.json")  # doctest: +SKIP
    """
    settings = {"project": project, "progress": progress, "taxa": taxa, "url": url, "token": token, "wait_s": wait_s}
    return send_scores(objects, **settings)


def download(project, *, to, url=PORTAL, token=None, timeout_s=86_400, wait_s=5.0):
    """
    Download a project of EcoTaxa with all its images, as a zip that `images.ingest` reads.

    Parameters
    ----------
    project : int
        EcoTaxa's number of the project.
    to : str or pathlib.Path
        A zip that does not exist yet. Call again with it after an interruption: the download goes on where it was.
    url : str
    token : str, optional
        The environment variable ECOTAXA_TOKEN by default.
    timeout_s : float
        Seconds that EcoTaxa may take to prepare the export.
    wait_s : float
        Seconds between looks at it.

    Returns
    -------
    pathlib.Path
        The zip.

    Raises
    ------
    FileExistsError
        If `to` is there already.
    PermissionError
        If there is no token, or it has expired.
    TimeoutError
        If the export is not ready in time.
    OSError
        If the export fails, or EcoTaxa cannot be reached.

    Examples
    --------
    >>> download(1234, to="project_1234.zip")  # doctest: +SKIP
    """
    return ecotaxa_portal.download_project(project, to=to, url=url, token=token, timeout_s=timeout_s, wait_s=wait_s)
