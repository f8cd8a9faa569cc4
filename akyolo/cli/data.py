"""`akyolo data`: prepare, import and check data sets."""

import argparse
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from akyolo.checks import Numbers
from akyolo.cli.outputs import new_file, writing
from akyolo.datasets.imported.coco_visdrone import import_coco, import_visdrone
from akyolo.datasets.imported.voc import import_voc
from akyolo.datasets.published.prepare import MANIFEST, prepare
from akyolo.datasets.published.spec import find_spec
from akyolo.datasets.yolo.check import SplitCounts, findings
from akyolo.datasets.yolo.contact_sheet import contact_sheet
from akyolo.datasets.yolo.data_yaml import read_data_yaml
from akyolo.datasets.yolo.layout import Imported, check_destination, write_yolo
from akyolo.errors import ConfigError, DatasetError

SUMMARY = "make a data set of another format ready for training"
SHARES = Numbers(above=0, below=1)  # of the images

BOXES_HELP = "exact: the pixels of the annotation (default). paper: as YOLOv5's VOC script"

VOC_HELP = """\
Read Pascal VOC annotations from DIR: JPEGImages/ and Annotations/ in it or below it (VOCdevkit/VOC2007), or each XML
next to its image. Writes OUT/images, OUT/labels, OUT/annotations (COCO json for evaluation, where difficult objects are
ignored), OUT/data.yaml, and OUT/rejected.csv with everything that has no label and why. DIR is never written to.

Splits come from ImageSets/Main where it has train.txt, val.txt, test.txt. trainval.txt is used only where train or val
is missing: it gives the missing half, or all training images. Where no list names a validation set, the share --val of
the training images is drawn for it; a test list is never used for that. Without lists, it is drawn from all images.
"""


COCO_HELP = """\
Read annotations in COCO's format from DIR: one JSON file a split, in it or up to two folders below, images anywhere in
it. Names with train, val or test in them say which split a file is; a file alone is split at random. Writes the same
files as `akyolo data import voc-xml`; OUT/annotations keeps ids, mask areas and crowds for evaluation.
DIR is never written to.
"""

VISDRONE_HELP = """\
Read VisDrone's annotations from DIR: images/ and annotations/ in it, or in folders such as VisDrone2019-DET-train below
it, whose names say which split they are. Boxes of score 0, ignored regions and category 11 get no label;
OUT/annotations has those that the evaluation needs. DIR is never written to.
"""

PREPARE_HELP = """\
Make a published data set ready for training and evaluation, in OUT: archives are downloaded (resumed where a run
stopped) or taken from DIR, compared with the published sizes and sums, unpacked, converted and counted.

OUT gets images/, labels/ (for training), annotations/ (COCO json, for evaluation), data.yaml, rejected.csv (what has no
label, and why) and, at the very end, manifest.json: without it the set is not prepared, and the same command makes it
right. Downloads stay in OUT/archives; delete them when you like.
"""


CHECK_HELP = """\
List every fault that a training would meet, one a line: label rows (file:line) with a class or a number out of range,
no area, the wrong number of numbers, or that are repeated; images that cannot be read or are too large; images without
labels and labels without an image. Of poses only the box is checked. Then come the counts by split and class. The exit
code is 2 when there is a fault.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _configure_prepare(actions)
    _configure_check(actions)
    importing = actions.add_parser("import", help="convert annotations to YOLO labels")
    formats = importing.add_subparsers(dest="format", metavar="FORMAT", required=True)
    _add_format(formats, "coco-json", "COCO: one JSON per split", COCO_HELP)
    _add_format(formats, "visdrone-txt", "VisDrone: one text file per image", VISDRONE_HELP)
    voc = _add_format(formats, "voc-xml", "Pascal VOC: one XML per image", VOC_HELP)
    voc.add_argument("--names", metavar="A,B,C", help="classes to keep, in this order (default: all, alphabetically)")
    voc.add_argument(
        "--boxes", choices=("exact", "paper"), default="exact", help=f"{BOXES_HELP}, without difficult objects"
    )


def _add_format(formats: Any, name: str, summary: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = formats.add_parser(
        name, help=summary, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dir", metavar="DIR", help="the folder to read")
    parser.add_argument("--out", required=True, metavar="OUT", help="the folder to write: new, or empty")
    parser.add_argument("--copy", action="store_true", help="copy the images; symbolic links otherwise")
    parser.add_argument(
        "--val", type=_share, default=0.2, metavar="0.2", help="share held out where no validation set is given"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of that draw (default 0)")
    return parser


def _configure_prepare(actions: Any) -> None:
    preparing = actions.add_parser(
        "prepare",
        help="download, check and convert COCO, VOC or VisDrone",
        description=PREPARE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    preparing.add_argument("name", metavar="NAME", help="coco, voc, visdrone, or a SPEC.yaml with the same keys")
    preparing.add_argument("--root", required=True, metavar="OUT", help="the folder of the finished set: new, or begun")
    preparing.add_argument("--from", dest="source", metavar="DIR", help="where the archives are (default: download)")
    preparing.add_argument("--boxes", choices=("exact", "paper"), help=f"VOC only. {BOXES_HELP}")


def _configure_check(actions: Any) -> None:
    checking = actions.add_parser(
        "check",
        help="list every fault of a data set that is ready for training",
        description=CHECK_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    checking.add_argument("data", metavar="data.yaml", help="the data set, as data= of a training")
    checking.add_argument("--sheet", metavar="FILE.png", help="a sheet of labelled images to look at")


def run(options: argparse.Namespace) -> None:
    """Run the selected sub-command.

    Raises:
        AkyoloError: An argument or a file of the user cannot be used.
    """
    if options.action == "prepare":
        _prepare(options)
    elif options.action == "check":
        _check(options)
    else:
        _import(options)


def _share(text: str) -> float:
    with suppress(ValueError):
        if (value := float(text)) in SHARES:
            return value
    raise argparse.ArgumentTypeError(f"{text} is not {SHARES}")


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise ConfigError(f"{text!r} has an empty or repeated name", location="--names", remedy="For example: cat,dog")
    return names


def _import(options: argparse.Namespace) -> None:
    source, out = Path(options.dir), Path(options.out)
    if source.is_file():
        raise DatasetError("is a file", location=options.dir, remedy="unpack an archive first, and name the folder")
    try:
        check_destination(out, source)
        imported = _read_folder(source, options)
    except OSError as error:
        raise DatasetError(
            f"cannot be read: {error.strerror or error}", location=str(error.filename or source)
        ) from error
    write_yolo(imported.content, out, copy=options.copy)
    print(*imported.remarks, sep="\n")
    print(imported.content.summary(options.out))


def _read_folder(source: Path, options: argparse.Namespace) -> Imported:
    if options.format == "voc-xml":
        return import_voc(source, options.boxes, _names(options.names), options.val, options.seed)
    read = import_coco if options.format == "coco-json" else import_visdrone
    return read(source.resolve(), options.val, options.seed)


def _prepare(options: argparse.Namespace) -> None:
    spec = find_spec(options.name)
    if options.boxes and spec.format != "voc-xml":
        raise ConfigError(f"has no meaning for {spec.format}", location=f"--boxes {options.boxes}")
    root = Path(options.root)
    done = prepare(spec, root, Path(options.source) if options.source else None, options.boxes or "exact")
    print(f"{'prepared:' if done.fresh else 'already prepared:'} {done.manifest['name']} in {root}")
    for split, counts in done.manifest["counts"].items():
        dropped = sum(done.manifest["dropped"][split].values())
        print(f"  {split:<5} {counts['images']:>7,} images  {counts['boxes']:>9,} boxes  {dropped:>7,} without a label")
    for remark in done.manifest["remarks"]:
        print(f"  {remark}")
    print(f"sums, counts and reasons: {root / MANIFEST}\nnext: akyolo train MODEL data={root / 'data.yaml'}")


def _check(options: argparse.Namespace) -> None:
    if Path(options.data).is_dir():
        raise DatasetError("is a folder", location=options.data, remedy="name the data YAML in it")
    sheet = new_file(options.sheet, {".png"}, "--sheet") if options.sheet else None
    counts: dict[str, SplitCounts] = {}
    faults = 0
    try:
        data = read_data_yaml(Path(options.data))
        for line in findings(data, counts):
            print(line)
            faults += 1
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}", location=str(error.filename)) from error
    print(*_table(data.names, counts), sep="\n")
    if sheet:
        image = io.BytesIO()
        contact_sheet(data).save(image, "PNG")
        with writing(sheet) as whole:
            whole.write_bytes(image.getvalue())
        print(f"sheet: {sheet}")
    if faults:
        raise DatasetError(f"{faults} fault{'s' * (faults != 1)}", location=options.data)


def _table(names: tuple[str, ...], counts: Mapping[str, SplitCounts]) -> Iterator[str]:
    """Yield a table with a column per split."""
    width = max(len("backgrounds"), *map(len, names))

    def row(name: str, values: Iterable[object]) -> str:
        return f"{name:<{width}}" + "".join(f"{value:>12}" for value in values)

    splits = counts.values()
    yield row("", counts)
    yield row("images", [f"{split.images:,}" for split in splits])
    yield row("backgrounds", [f"{split.backgrounds:,}" for split in splits])
    yield row("boxes", [f"{split.boxes.total():,}" for split in splits])
    for number, name in enumerate(names):
        yield row(name, [f"{split.boxes[number]:,}" for split in splits])
