"""Tables of PANGAEA: their comment block, their names, and what is not such a table."""

import pytest

from aqqua_science.samples.pangaea import is_pangaea, read_pangaea
from aqqua_science.schema import SchemaError

BLOCK = """/* DATA DESCRIPTION:
Citation:\tDoe, J; Roe, R (2020): Fluxes. PANGAEA, https://doi.org/10.1594/PANGAEA.1,
\tIn supplement to: Doe (2019): A paper. https://doi.org/10.1/other
License:\tCreative Commons Attribution 4.0 International (CC-BY-4.0)
Parameter(s):\tLATITUDE (Latitude) * GEOCODE
*/
"""


def written(tmp_path, text):
    path = tmp_path / "table.tab"
    path.write_text(text, encoding="utf-8")
    return path


def test_names_keep_their_units_and_the_block_tells_the_source(tmp_path):
    table = read_pangaea(written(tmp_path, BLOCK + "Latitude\tPOC flux [mg/m**2/day] (by trap)\n1.5\t12\n-3\t\n"))
    assert list(table) == ["Latitude", "POC flux [mg/m**2/day]"]
    assert table["POC flux [mg/m**2/day]"].isna().tolist() == [False, True]
    assert table.attrs["doi"] == "10.1594/PANGAEA.1"
    assert table.attrs["citation"].startswith("Doe, J; Roe, R (2020): Fluxes.")
    assert table.attrs["citation"].endswith("10.1/other")
    assert "CC-BY-4.0" in table.attrs["licence"]
    assert table.attrs["comments"] == {"POC flux [mg/m**2/day]": "by trap"}


def test_a_name_that_would_come_twice_keeps_its_comment(tmp_path):
    table = read_pangaea(written(tmp_path, BLOCK + "ID (Cruise)\tID (Station)\tNO3 [µmol/l]\n1\t2\t3\n"))
    assert list(table) == ["ID (Cruise)", "ID (Station)", "NO3 [µmol/l]"]


def test_what_is_no_such_table_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="has no comment block of PANGAEA"):
        read_pangaea(written(tmp_path, "Latitude\tLongitude\n1\t2\n"))
    with pytest.raises(SchemaError, match=r"does not end .*Is the download complete"):
        read_pangaea(written(tmp_path, BLOCK.replace("*/\n", "Latitude\n1\n")))
    assert is_pangaea(written(tmp_path, BLOCK))
    assert not is_pangaea(written(tmp_path, "Latitude\n1\n"))


def test_a_quotation_mark_is_a_letter(tmp_path):
    rows = 'Event\tDepth water [m]\n"Meteor\t5\nB\t6\n7" net\t8\n'
    table = read_pangaea(written(tmp_path, BLOCK + rows))
    assert table["Event"].tolist() == ['"Meteor', "B", '7" net']


def test_real_tables(shared_data):
    paths = list((shared_data / "insitu").rglob("*.tab"))
    assert len(paths) == 2
    for path in paths:
        table = read_pangaea(path)
        assert {"Latitude", "Longitude", "Date/Time"} <= set(table), path
        assert table["Latitude"].between(-90, 90).all()
        assert table.attrs["doi"].startswith("10.1594/PANGAEA.")
        assert table.attrs["licence"].startswith("Creative Commons")
