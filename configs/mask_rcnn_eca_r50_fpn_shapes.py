"""Mask R-CNN, ECA-ResNet-50, FPN on the embedded shapes; needs no data.

tools/train.py configs/mask_rcnn_eca_r50_fpn_shapes.py
"""
