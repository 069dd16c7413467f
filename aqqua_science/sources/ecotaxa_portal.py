"""EcoTaxa's portal: its objects, its taxa, and whole projects out of it."""

import json
import time
import zipfile
from pathlib import Path

import pandas as pd

from aqqua_science.connections import shown
from aqqua_science.files import write_json
from aqqua_science.progress import progress_bar
from aqqua_science.schema import SchemaError
from aqqua_science.sources.ecotaxa_requests import PORTAL, Portal

_WINDOW = 10_000


def log_in(username, password, *, url=PORTAL):
    """
    Get a token for a name and a password.

    Parameters
    ----------
    username : str
        The address that the account was opened with.
    password : str
    url : str

    Returns
    -------
    str
        Keep it like a password; it expires after some days.

    Raises
    ------
    PermissionError
        If EcoTaxa does not know them.
    OSError
        If EcoTaxa cannot be reached.
    """
    with Portal(url, needs_token=False) as portal:
        token = portal.ask("POST", "/login", json={"username": username, "password": password})
    if not isinstance(token, str) or not token:
        msg = f"{url}/login gave no token. Is it EcoTaxa's API?"
        raise OSError(msg)
    return token


def find_objects(project, *, url=PORTAL, token=None, wait_s=1.0):
    """
    List the objects of a project.

    Parameters
    ----------
    project : int
    url : str
    token : str, optional
        The environment variable ECOTAXA_TOKEN by default.
    wait_s : float
        Seconds before a failed request is repeated; they double with each further one.

    Returns
    -------
    pandas.DataFrame
        ``object_id`` as it was imported, ``objid``, EcoTaxa's own number, in ascending order, and ``status``: P, V, D
        or None.

    Raises
    ------
    OSError
        If EcoTaxa refuses or cannot be reached; `PermissionError` and `FileNotFoundError` are among them.
    """
    with Portal(url, token=token, wait_s=wait_s) as portal:
        return list_objects(portal, project)


def list_objects(portal, project):
    """
    List the objects of a project, window by window, in an order that does not change between them.

    Parameters
    ----------
    portal : Portal
    project : int

    Returns
    -------
    pandas.DataFrame
        As `find_objects` gives it.
    """
    pages, total, found = [], None, 0
    while total is None or found < total:
        window = {"order_field": "obj.objid", "window_start": found, "window_size": _WINDOW}
        fields = {"fields": "obj.orig_id,obj.classif_qual"}
        answer = portal.ask("POST", f"/object_set/{project}/query", params=fields | window, json={})
        total = answer["total_ids"]
        pages += [
            (name, number, state) for number, (name, state) in zip(answer["object_ids"], answer["details"], strict=True)
        ]
        if len(pages) == found:
            break
        found = len(pages)
    frame = pd.DataFrame(pages, columns=["object_id", "objid", "status"])
    return frame.drop_duplicates("objid").sort_values("objid", ignore_index=True)


def find_taxa(names, *, project=None, url=PORTAL, token=None, wait_s=1.0):
    """
    Find the numbers that EcoTaxa has for taxa.

    Parameters
    ----------
    names : iterable of str
        As EcoTaxa shows them, ``Child`` or ``Child<Parent``.
    project : int, optional
        Its taxa come first where a name has several.
    url, token, wait_s
        As in `find_objects`.

    Returns
    -------
    dict of str to int

    Raises
    ------
    SchemaError
        If EcoTaxa has no taxon of a name, or several.
    OSError
        As in `find_objects`.
    """
    with Portal(url, token=token, wait_s=wait_s) as portal:
        return {name: find_taxon(portal, name, project) for name in names}


def find_taxon(portal, name, project):
    """
    Find the number of a taxon.

    Parameters
    ----------
    portal : Portal
    name : str
    project : int or None

    Returns
    -------
    int

    Raises
    ------
    SchemaError
        If EcoTaxa has none of this name, or several.
    """
    where = {"query": name} | ({"project_id": project} if project is not None else {})
    answer = portal.ask("GET", "/taxon_set/search", params=where)
    same = [taxon for taxon in answer if taxon["text"].strip().lower() == name.lower()]
    same = [taxon for taxon in same if taxon["pr"]] or same
    numbers = {taxon.get("renm_id") or taxon["id"] for taxon in same}
    if len(numbers) != 1:
        near = ", ".join(f"{taxon['text']} ({taxon['id']})" for taxon in (same or answer)[:5]) or "none"
        msg = (
            f"EcoTaxa has {len(numbers) or 'no'} taxa named {name!r}; near are: {near}. Pass its number, as in "
            f"taxa={{{name!r}: 12345, ...}}."
        )
        raise SchemaError(msg)
    return numbers.pop()


def download_project(project, *, to, url=PORTAL, token=None, timeout_s=86_400, wait_s=5.0):
    """
    Download a project with all its images, as a bundle.

    EcoTaxa prepares it first, which can take hours. Call again with the same `to` after an interruption, or when the
    time was up: the same export is waited for, and the download goes on where it was cut.

    Parameters
    ----------
    project : int
    to : str or pathlib.Path
        A zip that does not exist yet; beside it two hidden files keep what has come so far.
    url, token
        As in `find_objects`.
    timeout_s : float
        Seconds to wait for EcoTaxa to prepare the export.
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
    TimeoutError
        If the export is not ready in time.
    OSError
        If the export fails, what comes is no zip, or as in `find_objects`.
    """
    to = Path(to)
    if to.exists():
        msg = f"{to} is there already. Remove it, or choose another name."
        raise FileExistsError(msg)
    to.parent.mkdir(parents=True, exist_ok=True)
    with Portal(url, token=token, wait_s=wait_s) as portal:
        note = to.with_name(f".{to.name}.job.json")
        job = _known_job(portal, note, project) or _start_export(portal, note, project)
        _wait_for(portal, job, timeout_s)
        part = to.with_name(f".{to.name}.{job}.part")
        portal.download(f"/jobs/{job}/file", part)
    if not zipfile.is_zipfile(part):
        part.unlink()
        note.unlink()
        msg = f"what EcoTaxa gave for job {job} is no zip file. Try again; if it stays so, look at the job on its site."
        raise OSError(msg)
    part.replace(to)
    note.unlink()
    return to


def _known_job(portal, note, project):
    """The export that an earlier call has started, if EcoTaxa still has it and it did not fail."""
    try:
        known = json.loads(note.read_text("utf-8"))
        if (known["url"], known["project"]) != (portal.url, int(project)):
            return None
        return int(known["job"]) if _job(portal, known["job"])["state"] in "PRF" else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _start_export(portal, note, project):
    """Ask for a backup: all objects with all images, in the form that EcoTaxa imports."""
    content = {"filters": {}, "request": {"project_id": int(project), "out_to_ftp": False}}
    answer = portal.ask("POST", "/object_set/export/backup", json=content)
    if answer.get("errors") or not answer.get("job_id"):
        msg = f"EcoTaxa cannot export project {project}: {shown('; '.join(answer.get('errors', [])))}."
        raise OSError(msg)
    write_json({"url": portal.url, "project": int(project), "job": answer["job_id"]}, note)
    return answer["job_id"]


def _job(portal, job):
    return portal.ask("GET", f"/jobs/{job}/")


def _wait_for(portal, job, timeout_s):
    """Return when a job has finished well."""
    end = time.monotonic() + timeout_s
    with progress_bar(None, total=100, desc="EcoTaxa prepares the export", unit=" %") as bar:
        while True:
            answer = _job(portal, job)
            state, said = answer["state"], shown(answer.get("progress_msg") or "")
            bar.update(max((answer.get("progress_pct") or 0) - bar.n, 0))
            if state == "F":
                return
            if state in "EA":
                what = "has failed" if state == "E" else "asks a question, which only its site can answer"
                msg = f"EcoTaxa's job {job} {what}: {said}; {shown('; '.join(answer.get('errors') or []))}."
                raise OSError(msg)
            if time.monotonic() + portal.wait_s > end:
                msg = (
                    f"EcoTaxa's job {job} has not finished within {timeout_s:g} s: "
                    f"{answer.get('progress_pct') or 0} %, {said}. Call again with the same `to`: "
                    "it waits for the same job."
                )
                raise TimeoutError(msg)
            time.sleep(portal.wait_s)
