"""Import the data sets of users from COCO, VisDrone and Pascal VOC."""
