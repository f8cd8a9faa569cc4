"""Tiny archives that look like the published ones: the same trees, names and traps, images of our own."""

import hashlib
import io
import json
import tarfile
import zipfile

import yaml
from PIL import Image

from tests.helpers.voc_look_alikes import an_object, annotation


def jpeg(size, shade=0):
    stream = io.BytesIO()
    Image.new("RGB", size, (shade % 256, 90, 200)).save(stream, "JPEG")
    return stream.getvalue()


def write_zip(file, members):
    with zipfile.ZipFile(file, "w") as archive:  # stored: what is drawn here would shrink more than photographs do
        for name, content in members.items():
            archive.writestr(name, content)


def write_tar(file, members):
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


class Published:
    """Archives in a folder, and the spec beside it that expects them."""

    def __init__(self, folder, form, names, archives, splits):
        self.folder, self.file = folder / "archives", folder / "tiny.yaml"
        self.folder.mkdir(parents=True)
        for name, members in archives.items():
            (write_zip if name.endswith(".zip") else write_tar)(self.folder / name, members)
        self.content = {"format": form, "names": names, "archives": [], "splits": splits}
        for name in archives:
            self.content["archives"].append({"file": name, **self.sums(name), "urls": []})
        self.write()

    def sums(self, name):
        content = (self.folder / name).read_bytes()
        return {"bytes": len(content), "md5": hashlib.md5(content).hexdigest()}

    def write(self, **changes):
        self.content |= changes
        self.file.write_text(yaml.safe_dump(self.content, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return self.file


COCO_BOXES = {
    "train": [
        {"id": 900, "image_id": 9, "category_id": 1, "bbox": [10.5, 8.25, 20, 16], "area": 201.5, "iscrowd": 0},
        {"id": 17, "image_id": 9, "category_id": 90, "bbox": [0, 0, 64, 48], "area": 12.0, "iscrowd": 1},
        {"id": 18, "image_id": 25, "category_id": 3, "bbox": [5, 6, 7, 0], "area": 0.5, "iscrowd": 0},
        {"id": 19, "image_id": 25, "category_id": 90, "bbox": [60, 40, 8, 8.5], "area": 30.0, "iscrowd": 0},
    ],
    "val": [{"id": 5, "image_id": 139, "category_id": 3, "bbox": [1, 2, 30, 20], "area": 333.25, "iscrowd": 0}],
}
COCO_IMAGES = {"train": (9, 25, 30), "val": (139,)}


def instances(split):
    images = [
        {"id": number, "file_name": f"{number:012d}.jpg", "width": 64, "height": 48} for number in COCO_IMAGES[split]
    ]
    # in the file's own order, which is not that of the ids
    categories = [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 3, "name": "car"}]
    boxes = [one | {"segmentation": [[1.5, 2.5, 3, 4, 5, 6]]} for one in COCO_BOXES[split]]
    return {"info": {"year": 2017}, "images": images, "annotations": boxes, "categories": categories}


def without_masks(split):
    return instances(split) | {"annotations": COCO_BOXES[split]}


def coco(folder, more_images=0):
    """Crowd, zero height, gaps in the ids, an image without objects, a box that leaves its image, mask areas."""
    annotations = {f"annotations/instances_{split}2017.json": json.dumps(instances(split)) for split in COCO_BOXES}
    extra = {f"train2017/extra{number:04d}.jpg": jpeg((64, 48), number) for number in range(more_images)}
    archives = {
        "annotations_trainval2017.zip": annotations | {"annotations/captions_val2017.json": "{}"},
        **{
            f"{split}2017.zip": {
                f"{split}2017/": b"",
                **{f"{split}2017/{number:012d}.jpg": jpeg((64, 48), number) for number in COCO_IMAGES[split]},
                **(extra if split == "train" else {}),
            }
            for split in ("val", "train")
        },
    }
    splits = {
        split: {
            "sources": [{"images": f"{split}2017", "annotations": f"annotations/instances_{split}2017.json"}],
            "counts": counts,
        }
        for split, counts in {
            "train": {"images": 3, "annotations": 4, "empty": 1, "degenerate": 1},
            "val": {"images": 1, "considered": 1},
        }.items()
    }
    return Published(folder, "coco-json", ["person", "car", "toothbrush"], archives, splits)


PART = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>"
VOC_OBJECTS = {
    "VOC2007": {
        "000005": [an_object("person", (1, 1, 100, 80), PART), an_object("dog", (11, 21, 30, 60))],
        "000007": [an_object("dog", (5, 5, 50, 50), "<difficult>1</difficult>")],
        "000001": [
            an_object("dog", (48, 24, 95, 71)),
            an_object("person", (8, 12, 52, 79), "<difficult>1</difficult>"),
        ],
    },
    "VOC2012": {"2008_000002": [an_object("person", (34.5, 11.25, 70, 60)), an_object("dog", (9, 9, 9, 40))]},
}
VOC_LISTS = {
    "VOC2007": {"trainval": ["000005", "000007"], "test": ["000001"]},
    "VOC2012": {"trainval": ["2008_000002"]},
}


def _voc_year(year, split):
    root = f"VOCdevkit/{year}"
    members = {f"{root}/ImageSets/Main/{split}.txt": "".join(f"{one}\n" for one in VOC_LISTS[year][split]).encode()}
    for stem in VOC_LISTS[year][split]:
        members[f"{root}/JPEGImages/{stem}.jpg"] = jpeg((100, 80), len(stem))
        members[f"{root}/Annotations/{stem}.xml"] = annotation(*VOC_OBJECTS[year][stem], size=(100, 80)).encode()
    return members


def voc(folder):
    """Two years in three archives of one tree; difficult objects, none said, decimals, parts, a degenerate box."""
    archives = {
        "VOCtrainval_06-Nov-2007.tar": _voc_year("VOC2007", "trainval"),
        "VOCtest_06-Nov-2007.tar": _voc_year("VOC2007", "test"),
        "VOCtrainval_11-May-2012.tar": _voc_year("VOC2012", "trainval"),
    }

    def source(year, split):
        root = f"VOCdevkit/{year}"
        folders = {"images": f"{root}/JPEGImages", "annotations": f"{root}/Annotations"}
        return folders | {"list": f"{root}/ImageSets/Main/{split}.txt"}

    splits = {
        "train": {"sources": [source("VOC2007", "trainval"), source("VOC2012", "trainval")], "counts": {"images": 3}},
        "val": {"sources": [source("VOC2007", "test")], "counts": {"images": 1, "considered": 1}},
    }
    return Published(folder, "voc-xml", ["dog", "person"], archives, splits)


VISDRONE_LINES = {
    "train": {
        "0000002_00005_d_0000014": "10,20,30,25,1,4,0,1,\n0,0,16,24,0,0,0,0\n1,2,3,4,0,1,1,2\n9,9,9,9,1,11,0,0\n",
        "9999985_00000_d_0000020": "50,10,5,0,1,4,0,0\n60,50,12,6,1,10,0,0\n",
        "9999999_00000_d_0000001": "",
    },
    "val": {"0000001_02999_d_0000005": "1,2,30,20,1,1,0,0\n4,4,4,4,0,2,0,0\n"},
    "test-dev": {"0000006_00159_d_0000001": "8,8,16,16,1,9,0,0"},
}


def visdrone(folder):
    """Ignored regions, score 0, category 11, a comma at the end, no height, an empty file; no sums are known."""
    archives = {
        f"VisDrone2019-DET-{split}.zip": {
            f"VisDrone2019-DET-{split}/{kind}/{stem}.{suffix}": content
            for stem, text in files.items()
            for kind, suffix, content in (("images", "jpg", jpeg((72, 56), len(text))), ("annotations", "txt", text))
        }
        for split, files in VISDRONE_LINES.items()
    }
    splits = {
        split.removesuffix("-dev"): {
            "sources": [
                {key: f"VisDrone2019-DET-{split}/{key}" for key in ("images", "annotations")},
            ],
            "counts": {"images": len(files)} | ({"considered": 1} if split == "val" else {}),
        }
        for split, files in VISDRONE_LINES.items()
    }
    names = ["pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle", "bus", "motor"]
    made = Published(folder, "visdrone-txt", names, archives, splits)
    for archive in made.content["archives"]:
        archive |= {"bytes": None, "md5": None}
    made.write()
    return made
