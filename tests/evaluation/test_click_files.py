from __future__ import annotations

import pytest

from napari_inter2former.errors import PromptError
from napari_inter2former.evaluation.click_files import read_clicks, read_stack_clicks, write_clicks
from napari_inter2former.prompts import Click

GOOD = "object,row,column,positive\n2,1.5,2,true\n1,3,4,1\n2,5,6,False\n"


def test_round_trip(tmp_path):
    clicks = {7: (Click(1.25, 123456.75), Click(2, 3, False)), 3: (Click(0, 0),)}
    write_clicks(tmp_path / "c.csv", clicks)
    assert read_clicks(tmp_path / "c.csv") == clicks


def test_order_is_kept(tmp_path):
    (tmp_path / "c.csv").write_text(GOOD)
    read = read_clicks(tmp_path / "c.csv", (10, 10))
    assert list(read) == [2, 1]
    assert read[2] == (Click(1.5, 2), Click(5, 6, False))


def test_columns_in_any_order_blank_lines_and_a_byte_order_mark(tmp_path):
    text = "\ufeffpositive, column, note, row, object\n\nyes, 4, hello, 3, 1\n\n"
    (tmp_path / "c.csv").write_text(text, encoding="utf-8")
    assert read_clicks(tmp_path / "c.csv") == {1: (Click(3, 4),)}


def test_semicolons_and_decimal_commas_of_a_spreadsheet(tmp_path):
    text = "object;row;column;positive\n2;1,5;2;true\n1;3;4;1\n2;5;6;False\n"
    (tmp_path / "c.csv").write_text(text)
    (tmp_path / "d.csv").write_text(GOOD)
    assert read_clicks(tmp_path / "c.csv") == read_clicks(tmp_path / "d.csv")


def test_points_saved_by_napari(tmp_path):
    text = "index,axis-0,axis-1,object,positive\n0.0,3.0,4.0,1,True\n1.0,5.0,6.0,1.0,False\n"
    (tmp_path / "c.csv").write_text(text)
    assert read_clicks(tmp_path / "c.csv") == {1: (Click(3, 4), Click(5, 6, False))}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("object,row,column,positive\n", "no clicks"),
        ("object,row,positive\n1,2,true\n", "'column' is missing"),
        ("object,row,column\n1,2,3\n", "'positive' is missing"),
        ("index,axis-0,axis-1\n0,1,2\n", "'object' is missing"),
        ("index,axis-0,axis-1,axis-2,object,positive\n0,1,2,3,1,1\n", "2-D plane"),
        ("object,row,column,positive\n1,2\n", "line 2: there are only 2 values"),
        ("object,row,column,positive\n1,2,3,true\n1,x,3,true\n", "line 3: row must be a number"),
        ("object,row,column,positive\n1,nan,3,true\n", "line 2: row must be finite"),
        ("object,row,column,positive\n1,2,inf,true\n", "line 2: column must be finite"),
        ("object,row,column,positive\n0,2,3,true\n", "line 2: object must be a whole number"),
        ("object,row,column,positive\n1.5,2,3,true\n", "line 2: object must be a whole number"),
        ("object,row,column,positive\n1,2,3,maybe\n", "line 2: positive must be true or false"),
        ("object,row,column,positive\n1,10,3,true\n", "line 2: .* outside the image of 10 x 20"),
        ("object,row,column,positive\n1,3,-1,true\n", "line 2: .* outside the image of 10 x 20"),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "c.csv"
    path.write_text(text)
    with pytest.raises(PromptError, match=f"c.csv.*{message}"):
        read_clicks(path, (10, 20))


def test_no_csv_at_all(tmp_path):
    with pytest.raises(PromptError, match=r"missing\.csv"):
        read_clicks(tmp_path / "missing.csv")
    (tmp_path / "image.csv").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(PromptError, match=r"image\.csv"):
        read_clicks(tmp_path / "image.csv")


def test_the_edges_of_the_image_are_inside(tmp_path):
    (tmp_path / "c.csv").write_text("object,row,column,positive\n1,-0.5,19.4,true\n")
    assert read_clicks(tmp_path / "c.csv", (10, 20)) == {1: (Click(-0.5, 19.4),)}


STACK = {"t": 2, "z": 3}


@pytest.mark.parametrize(
    "text",
    [
        "object,t,z,row,column,positive\n1,1,2,3,4,1\n1,0,0,5,6,0\n",
        "plane,object,row,column,positive\n5,1,3,4,1\n0,1,5,6,0\n",
        "index,axis-0,axis-1,axis-2,axis-3,object,positive\n0,1.0,2.001,3,4,1,1\n1,0,0,5,6,1,0\n",
    ],
)
def test_planes_of_a_stack(tmp_path, text):
    (tmp_path / "c.csv").write_text(text)
    read = read_stack_clicks(tmp_path / "c.csv", (10, 20), STACK)
    assert read == {5: {1: (Click(3, 4),)}, 0: {1: (Click(5, 6, False),)}}


@pytest.mark.parametrize(
    ("text", "stack", "message"),
    [
        (GOOD, STACK, r"'t' is missing: the image has 6 planes \(t: 2, z: 3\)"),
        ("object,t,row,column,positive\n1,0,3,4,1\n", STACK, "'z' is missing"),
        ("object,t,z,row,column,positive\n1,0,3,3,4,1\n", STACK, "line 2: z must .* 0 to 2, not 3"),
        ("object,t,z,row,column,positive\n1,0,0.5,3,4,1\n", STACK, "z must be a whole number"),
        ("object,t,z,row,column,positive\n1,0,top,3,4,1\n", STACK, "z must be a number"),
        ("object,plane,row,column,positive\n1,6,3,4,1\n", STACK, "plane must .* 0 to 5, not 6"),
        ("object,plane,row,column,positive\n1,-1,3,4,1\n", STACK, "plane must .* not -1"),
        ("object,z,row,column,positive\n1,4,3,4,1\n", {}, "z must .* 1 plane"),
        ("axis-0,axis-1,axis-2,object,positive\n1,3,4,1,1\n", STACK, "3 coordinates.* t, z"),
    ],
)
def test_bad_planes(tmp_path, text, stack, message):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(PromptError, match=rf"c\.csv.*{message}"):
        read_stack_clicks(tmp_path / "c.csv", (10, 20), stack)
