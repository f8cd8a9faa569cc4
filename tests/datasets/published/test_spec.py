"""The file that says what is expected of a data set is read strictly."""

import copy

import pytest
import yaml

from akyolo.datasets.published.spec import read_spec
from akyolo.errors import DatasetError
from tests.helpers import published_look_alikes as look_alikes


@pytest.fixture
def made(tmp_path):
    return look_alikes.voc(tmp_path / "published")


def changed(made, path, value):
    """The spec with one value put, or (None) taken out, at a path of keys."""
    content = copy.deepcopy(made.content)
    *way, last = path
    place = content
    for key in way:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    made.file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return made.file


ARCHIVE, SPLIT, SOURCE = ("archives", 0), ("splits", "train"), ("splits", "train", "sources", 0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("nmaes",), ["a"], r"tiny\.yaml: unknown key 'nmaes'(.|\n)*did you mean 'names'"),
        (("format",), "voc", r"unknown format 'voc'(.|\n)*did you mean 'voc-xml'"),
        (("format",), None, "format is missing"),
        (("names",), [], "names must be a list of different class names"),
        (("names",), ["a", "a"], "names must be"),
        (("names",), {0: "a"}, "names must be a list of texts"),
        (("archives",), [], "archives must be a list of different files"),
        (("archives",), {"file": "a"}, "archives must be a list"),
        ((*ARCHIVE, "sha1"), "00", r"archives\[0\]: unknown key 'sha1'"),
        ((*ARCHIVE, "file"), "../a.zip", r"'\.\./a\.zip' must be a name without folders"),
        ((*ARCHIVE, "file"), "/a.zip", "must be a name without folders"),
        ((*ARCHIVE, "file"), ".a.zip", "must be a name without folders"),
        ((*ARCHIVE, "file"), None, "file is missing"),
        ((*ARCHIVE, "bytes"), "12", "bytes '12' must be a whole number"),
        ((*ARCHIVE, "bytes"), -1, "bytes -1 must be a whole number of at least 1"),
        ((*ARCHIVE, "bytes"), True, "bytes True must be"),
        ((*ARCHIVE, "md5"), "0" * 31, "must be 32 hex digits"),
        ((*ARCHIVE, "urls"), ["file:///etc/passwd"], "must begin with http"),
        ((*ARCHIVE, "urls"), None, "urls must be a list of texts"),
        (("splits",), None, "splits: must be a mapping"),
        ((*SPLIT,), None, "splits must have train and val"),
        (("splits", "trian"), {}, r"splits: unknown key 'trian'(.|\n)*did you mean 'train'"),
        ((*SPLIT, "sources"), [], r"splits\.train: sources must not be empty"),
        ((*SPLIT, "counts"), {}, "counts must have images"),
        ((*SPLIT, "counts", "image"), 3, r"counts: unknown key 'image'(.|\n)*did you mean 'images'"),
        ((*SPLIT, "counts", "images"), -3, "images -3 must be a whole number of at least 0"),
        ((*SPLIT, "counts", "images"), "3", "images '3' must be"),
        ((*SOURCE, "images"), "../../home", r"images '\.\./\.\./home' leads out of the archives"),
        ((*SOURCE, "annotations"), "/etc", "annotations '/etc' leads out"),
        ((*SOURCE, "list"), "a/../../b", "list 'a/../../b' leads out"),
        ((*SOURCE, "annotations"), None, "annotations is missing"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_named_with_its_place(made, path, value, message):
    with pytest.raises(DatasetError, match=message):
        read_spec(changed(made, path, value))


@pytest.mark.parametrize("form", ["coco", "visdrone"])
@pytest.mark.parametrize("kind", ["twice", "list"])
def test_what_a_format_would_not_read_is_refused(tmp_path, form, kind):
    """A second source of COCO or VisDrone, or a list of stems."""
    made = getattr(look_alikes, form)(tmp_path / "published")
    source = made.content["splits"]["train"]["sources"][0]
    sources = [source, source] if kind == "twice" else [source | {"list": "train.txt"}]
    with pytest.raises(
        DatasetError, match=r"splits\.train: several sources, or a list of stems, are for voc-xml alone"
    ):
        read_spec(changed(made, (*SPLIT, "sources"), sources))


@pytest.mark.parametrize("text", ["", "[]", "a: [", "a: !!python/name:os.system", "a: \xff", "a: &x [*x, 2001-99-99]"])
def test_what_is_no_mapping_is_named(tmp_path, text):
    (tmp_path / "a.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(DatasetError, match=r"a\.yaml"):
        read_spec(tmp_path / "a.yaml")


def test_the_digest_changes_with_what_the_set_holds_and_not_with_where_it_is_got(made):
    first = read_spec(made.file).digest()
    assert read_spec(changed(made, (*ARCHIVE, "urls"), ["https://example.com/a"])).digest() == first
    assert read_spec(changed(made, ("names",), ["person", "dog"])).digest() != first
    assert read_spec(changed(made, (*SPLIT, "counts", "images"), 4)).digest() != first
