"""Targets and maps of a small two-level head, all lengths different."""

import torch

SIZES = [(6, 10), (3, 5)]  # of an image of 48x80
STRIDES = torch.tensor([8.0, 16.0])
ANCHORS = torch.tensor([[[1.2, 1.6], [2.0, 3.7], [4.1, 2.9]], [[1.9, 3.8], [3.9, 2.8], [3.7, 7.4]]])
IMAGES, CLASSES = 3, 4


def some_targets(seed, number, images=IMAGES):
    """Centres also on cell edges and on the image's edge, sides from tiny to whole."""
    generator = torch.Generator().manual_seed(seed)
    rand = torch.rand(number, 6, generator=generator, dtype=torch.float64)
    on_an_edge = torch.randint(0, 4, (number, 2), generator=generator) == 0
    centre = torch.where(on_an_edge, (rand[:, 2:4] * 10).round() / 10, rand[:, 2:4])
    image, label = (rand[:, 0] * images).floor(), (rand[:, 1] * CLASSES).floor()
    return torch.cat((image[:, None], label[:, None], centre, rand[:, 4:].square()), 1)


def some_raw(seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(IMAGES, 3, *size, 5 + CLASSES) for size in SIZES]
    return [torch.randn(shape, generator=generator, dtype=torch.float64).mul(1.5).to(dtype) for shape in shapes]
