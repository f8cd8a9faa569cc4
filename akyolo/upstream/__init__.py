"""The only package that imports ultralytics (with `upstream_blocks`, for what operators build on).

Foreign things we touch, each once, each delegating to the original:
  ultralytics.nn.tasks.parse_model          parser.py      lower -> the original -> fill
  ultralytics.utils.DEFAULT_CFG(_DICT)      settings.py    our hyper-parameters
  torch.serialization.add_safe_globals      parser.py      our classes, for weights-only loading
  ultralytics.utils.callbacks.base.default_callbacks
                                            settings.py    one guard against trainers that ignore our arguments

and for the time of one call in a worker process on CPU, where upstream takes CUDA for granted:
  torch.nn.parallel.DistributedDataParallel, ultralytics.engine.validator.AutoBackend and .get_torch_device_backend
                                            distributed.py
"""

from akyolo.upstream import parser, settings

parser.install()
settings.install()
