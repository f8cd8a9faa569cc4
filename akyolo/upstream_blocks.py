"""The Ultralytics classes of operators, blocks and heads.

All other imports of Ultralytics are in upstream/. This file imports Ultralytics first. On a new machine Ultralytics
then prints three lines on stdout, which are left out here: stdout may be for JSON or an error message.
"""

import logging


def _is_no_greeting(record: logging.LogRecord) -> bool:
    return "Creating new Ultralytics Settings" not in record.getMessage()


_logger = logging.getLogger("ultralytics")
_logger.addFilter(_is_no_greeting)
try:
    from ultralytics.nn.modules import Bottleneck, Classify, Conv, Detect
    from ultralytics.utils.metrics import bbox_iou
finally:
    _logger.removeFilter(_is_no_greeting)

__all__ = ["Bottleneck", "Classify", "Conv", "Detect", "bbox_iou"]
