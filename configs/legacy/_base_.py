"""What MMDetection 1.x computed otherwise than mmdet 3, by the part of the model; for testing its checkpoints.

Same in both: the image (1333 x 800 at most, ImageNet's mean and deviation in RGB, padded to a multiple of 32), a backbone
with the stride in its 3 x 3 convolutions, NMS per level (`nms_across_levels=False`) of each level's 1000 best anchors and
then the 1000 best proposals, scores over 0.05, NMS per class, 100 boxes per image, masks from 0.5.
"""

legacy_coder = dict(type='LegacyBoxCoder')  # widths are x2 - x1 + 1
legacy_nms = dict(offset=1)  # likewise
legacy_dense_test = dict(min_bbox_size=-1, nms=legacy_nms)  # 0 would leave out boxes of one pixel
legacy_dense_head = dict(  # anchors with their corners in whole pixels, not centred on their cell
    anchor_generator=dict(type='LegacyAnchorGenerator', center_offset=0.5), bbox_coder=legacy_coder
)
legacy_roi_extractor = dict(  # no shift by half a cell, 4 samples per bin
    type='eca_mm.LegacyRoIExtractor', roi_layer=dict(aligned=False, sampling_ratio=2)
)
legacy_roi_head = dict(
    type='eca_mm.LegacyRoIHead', bbox_roi_extractor=legacy_roi_extractor, bbox_head=dict(bbox_coder=legacy_coder)
)
legacy_test = dict(rpn=legacy_dense_test, rcnn=dict(nms=legacy_nms))
