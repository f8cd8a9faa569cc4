"""Import data sets of users in the formats COCO, VisDrone and Pascal VOC."""
