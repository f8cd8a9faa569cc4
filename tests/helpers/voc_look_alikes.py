"""Fabricated Pascal VOC trees, and what came of them. No foreign image is needed."""

import argparse
import csv
import hashlib
from pathlib import Path

from PIL import Image

from akyolo.cli import data as command
from akyolo.datasets.imported.voc import import_voc


def an_object(name="cat", box=(11, 21, 30, 60), extra="<difficult>0</difficult>"):
    sides = "".join(f"<{side}>{v}</{side}>" for side, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object><name>{name}</name>{extra}<bndbox>{sides}</bndbox></object>"


def annotation(*objects, size=(100, 80)):
    claimed = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>" if size else ""
    return f"<annotation><filename>elsewhere.jpg</filename>{claimed}{''.join(objects)}</annotation>"


class Voc:
    """A VOC tree under construction."""

    def __init__(self, root, flat=False):
        self.root = root
        self.images = root if flat else root / "JPEGImages"
        self.annotations = root if flat else root / "Annotations"
        self.images.mkdir(parents=True, exist_ok=True)
        self.annotations.mkdir(parents=True, exist_ok=True)

    def add(self, stem, *objects, suffix=".jpg", size=(100, 80), claims=(100, 80), **save):
        self.image(stem + suffix, size, **save)
        return self.xml(stem, annotation(*(objects or [an_object()]), size=claims))

    def image(self, name, size=(100, 80), **save):
        kinds = {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".gif": "GIF"}
        suffix = Path(name).suffix.lower()
        Image.new("RGB", size, "grey").save(self.images / name, kinds.get(suffix, suffix[1:].upper()), **save)
        return self.images / name

    def xml(self, stem, text):
        (self.annotations / f"{stem}.xml").write_text(text, encoding="utf-8")
        return self

    def lists(self, **lists):
        folder = self.root / "ImageSets" / "Main"
        folder.mkdir(parents=True, exist_ok=True)
        for name, stems in lists.items():
            (folder / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
        return self


def akyolo_data(*arguments):
    parser = argparse.ArgumentParser()
    command.configure(parser)
    command.run(parser.parse_args(["import", "voc-xml", *map(str, arguments)]))


def report(out):
    with (out / "rejected.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def label(out, stem):
    (file,) = out.glob(f"labels/*/{stem}.txt")
    return [[float(number) for number in line.split()] for line in file.read_text().splitlines()]


def fingerprint(folder):
    """Names, contents and times of everything in a folder."""
    sums = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        content = file.read_bytes() if file.is_file() else b""
        sums.update(repr((file.relative_to(folder).as_posix(), file.lstat().st_mtime_ns, content)).encode())
    return sums.hexdigest()


def splits_of(voc, **options):
    content = import_voc(voc.root, **options).content
    return {split: [labelled.image.stem for labelled in images] for split, images in content.splits.items()}


def only_rejection(voc, **options):
    (one,) = import_voc(voc.root, **options).content.rejected
    return one
