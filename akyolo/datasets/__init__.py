"""Read, convert, check and write data sets."""

from akyolo.datasets.imported.coco_visdrone import import_coco, import_visdrone
from akyolo.datasets.imported.voc import import_voc
from akyolo.datasets.published.prepare import prepare
from akyolo.datasets.published.spec import find_spec
from akyolo.datasets.yolo.check import findings
from akyolo.datasets.yolo.data_yaml import read_data_yaml
from akyolo.datasets.yolo.layout import write_yolo

__all__ = [
    "find_spec",
    "findings",
    "import_coco",
    "import_visdrone",
    "import_voc",
    "prepare",
    "read_data_yaml",
    "write_yolo",
]
