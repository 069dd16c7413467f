"""Questions to the metadata of a store, answered by DuckDB over its Parquet files."""

import pandas as pd


def query(store, where, *, columns=None):
    """
    Find images by a condition on their metadata.

    Parameters
    ----------
    store : ImageStore
    where : str
        A condition in SQL.
    columns : list of str, optional
        All by default.

    Returns
    -------
    pandas.DataFrame
        Indexed by row number, in row order.

    Raises
    ------
    ValueError
        If the condition is not understood; the message holds DuckDB's own.
    """
    import duckdb

    n_shards = len(store.about["shards"])
    shards = pd.DataFrame([store._source_facts(i) for i in range(n_shards)]).assign(
        shard_file=[str(store._file("metadata", i)) for i in range(n_shards)], start=store._starts[:-1]
    )
    chosen = "*" if columns is None else ", ".join(["row", *(_quoted(c) for c in columns)])
    with duckdb.connect() as connection:
        _confine(connection, store.path / "metadata")
        connection.register("shards", shards)
        files = ", ".join("'" + f.replace("'", "''") + "'" for f in shards["shard_file"])
        sql = f"""
            WITH images AS (
                SELECT s.start + m.file_row_number AS row, s.source, s.contributors, s.use_for_maps,
                       m.* EXCLUDE (filename, file_row_number)
                FROM read_parquet([{files}], filename = true, file_row_number = true, union_by_name = true) m
                JOIN shards s ON m.filename = s.shard_file)
            SELECT {chosen} FROM images WHERE ({where}\n) ORDER BY row
        """
        try:
            found = connection.execute(sql).df()
        except duckdb.Error as error:
            reason = str(error).partition("\n")[0]
            msg = (
                f"the condition {where!r} is not understood: {reason}. "
                "Write it in SQL, as in: depth < 200 and taxon = 'Copepoda'."
            )
            raise ValueError(msg) from error
    return found.set_index("row")


def _quoted(name):
    return '"' + name.replace('"', '""') + '"'


def _confine(connection, folder):
    """A condition can read the metadata of its store, and no other file."""
    path = str(folder).replace("'", "''")
    connection.execute(f"SET allowed_directories = ['{path}']")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
