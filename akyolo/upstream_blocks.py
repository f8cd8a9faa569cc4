"""The upstream classes that operators, blocks and heads build on; everything else of upstream stays in upstream/.

It is also the first to import Ultralytics, which on a new machine greets with three lines on stdout: not before
`--json`, and not before an error message.
"""

import logging


def _no_greeting(record: logging.LogRecord) -> bool:
    return "Creating new Ultralytics Settings" not in record.getMessage()


_logger = logging.getLogger("ultralytics")
_logger.addFilter(_no_greeting)
try:
    from ultralytics.nn.modules import Bottleneck, Classify, Conv, Detect
    from ultralytics.utils.metrics import bbox_iou
finally:
    _logger.removeFilter(_no_greeting)

__all__ = ["Bottleneck", "Classify", "Conv", "Detect", "bbox_iou"]
