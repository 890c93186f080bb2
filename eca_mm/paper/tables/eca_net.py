"""The tables of the ECA-Net paper, typed in once: every number of Tables 1-5 and Figure 4 as printed."""

from functools import partial

from eca_mm.analysis.complexity import THOP_MOBILENET, WEIGHTED
from eca_mm.paper.complexity import count_attention, count_classifier, count_detector
from eca_mm.paper.table import ACCURACY, COMPLEXITY, SPEED, Paper, Plot, table

PAPER = Paper(
    name='ECA-Net',
    authors='Q. Wang, B. Wu, P. Zhu, P. Li, W. Zuo, Q. Hu',
    title='ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks',
    venue='CVPR 2020, arXiv:1910.03151',
    url='https://arxiv.org/abs/1910.03151',
    architectures=('ResNet', 'MobileNetV2', 'Efficient Channel Attention'),
    machine='RTX 2080Ti',
)
DETECTORS, CLASSIFIERS = 'configs/metafile.yml', 'configs/imagenet/metafile.yml'
# Weights of one attention layer with C channels; r = 16 and k = 3 in Table 1.
FORMULAS = {
    '0': lambda c: 0,
    '2*C^2/r': lambda c: 2 * c**2 // 16,
    'C': lambda c: c,
    'C^2': lambda c: c**2,
    'C^2/16': lambda c: c**2 // 16,
    '16*C': lambda c: 16 * c,
    '8*C': lambda c: 8 * c,
    'k*C': lambda c: 3 * c,
    'k': lambda c: 3,
}
# The rows of Table 2 whose counts are copied from their own papers, and the convention that comes closest to each, chosen row
# by row: these papers were not at hand. None is all multiply-adds.
COPIED = {
    'imagenet/a2_resnet50': None,
    **dict.fromkeys(('imagenet/gsop_resnet50', 'imagenet/aa_resnet50', 'imagenet/aa_resnet101'), WEIGHTED),
}
COLOURS = {
    **{'ResNet': 'grey', 'SENet': 'blue', 'CBAM': 'green', 'A2-Nets': 'violet', 'GSoP-Net1': 'ochre', 'AA-Net': 'teal'},
    **{'ECA-Net': 'red', 'ECA': 'red'},
}
FIGURE_1 = Plot(
    'operations',
    'Accuracy against FLOPs and parameters',
    'Figure 1. Top-1 accuracy on ImageNet against FLOPs; the area of a circle is proportional to the number of parameters, and '
    "a line joins the depths of one method. (In the paper's figure the sizes are the FLOPs.) MobileNetV2, with less than a "
    'tenth of the FLOPs, is left out.',
    COLOURS,
    groups=('ResNet-50', 'ResNet-101', 'ResNet-152'),
)
REMARK_4 = (
    'The figure prints no numbers: those here stand in Tables 1 and 2. The text says that of the fixed sizes k = 9 is best for '
    'ResNet-50 and k = 5 for ResNet-101.'
)
FIGURE_4 = Plot(
    'kernel_size',
    'Accuracy against the kernel size k',
    'Figure 4. Top-1 accuracy on ImageNet against the kernel size k, the same in all blocks; lines: SENet, and ECA with the '
    f'adaptive k. {REMARK_4}',
    COLOURS,
)

TABLES = (
    table(
        'Table 1',
        'Channel attention modules in ResNet-50 on ImageNet',
        PAPER,
        {COMPLEXITY: 'Param.', ACCURACY: 'Top-1 Top-5'},
        """
        [ResNet-50]
        imagenet/resnet50           Vanilla   0         75.30  92.20
        imagenet/se_resnet50        SE        2*C^2/r   76.71  93.38
        imagenet/se_var1_resnet50   SE-Var1   0         76.00  92.90
        imagenet/se_var2_resnet50   SE-Var2   C         77.07  93.31
        imagenet/se_var3_resnet50   SE-Var3   C^2       77.42  93.64
        imagenet/se_gc1_resnet50    SE-GC1    C^2/16    76.95  93.47
        imagenet/se_gc2_resnet50    SE-GC2    16*C      76.98  93.31
        imagenet/se_gc3_resnet50    SE-GC3    8*C       76.96  93.38
        imagenet/eca_ns_resnet50    ECA-NS    k*C       77.35  93.61
        imagenet/eca_k3_resnet50    ECA       k         77.43  93.65
        """,
        benchmark='class',
        remark='Param. is that of one attention module with C channels; r = 16, k = 3. Vanilla is 75.20 / 92.52 in Table 2.',
        count=partial(count_attention, formulas=FORMULAS, layers=16, plain='Vanilla'),
    ),
    table(
        'Table 2',
        'Attention methods on ImageNet',
        PAPER,
        {COMPLEXITY: 'Param. FLOPs', SPEED: 'Training Inference', ACCURACY: 'Top-1 Top-5'},
        """
        [ResNet-50]
        imagenet/resnet50           ResNet       24.37M  3.86G   1024  1855  75.20  92.52
        imagenet/se_resnet50        SENet        26.77M  3.87G   759   1620  76.71  93.38
        imagenet/cbam_resnet50      CBAM         26.77M  3.87G   472   1213  77.34  93.69
        imagenet/a2_resnet50        A2-Nets      33.00M  6.50G   -     -     77.00  93.50
        imagenet/gsop_resnet50      GSoP-Net1    28.05M  6.18G   596   1383  77.68  93.98
        imagenet/aa_resnet50        AA-Net       25.80M  4.15G   -     -     77.70  93.80
        imagenet/eca_resnet50       ECA-Net      24.37M  3.86G   785   1805  77.48  93.68
        [ResNet-101]
        imagenet/resnet101          ResNet       42.49M  7.34G   386   1174  76.83  93.48
        imagenet/se_resnet101       SENet        47.01M  7.35G   367   1044  77.62  93.93
        imagenet/cbam_resnet101     CBAM         47.01M  7.35G   270   635   78.49  94.31
        imagenet/aa_resnet101       AA-Net       45.40M  8.05G   -     -     78.70  94.40
        imagenet/eca_resnet101      ECA-Net      42.49M  7.35G   380   1089  78.65  94.34
        [ResNet-152]
        imagenet/resnet152          ResNet       57.40M  10.82G  281   815   77.58  93.66
        imagenet/se_resnet152       SENet        63.68M  10.85G  268   761   78.43  94.27
        imagenet/eca_resnet152      ECA-Net      57.40M  10.83G  279   785   78.92  94.55
        [MobileNetV2]
        imagenet/mobilenet_v2       MobileNetV2  3.34M   319.4M  711   2086  71.64  90.20
        imagenet/se_mobilenet_v2    SENet        3.40M   320.1M  671   2000  72.42  90.67
        imagenet/eca_mobilenet_v2   ECA-Net      3.34M   319.9M  676   2010  72.56  90.81
        """,
        benchmark='class',
        remark="Training and Inference are images per second on the authors' RTX 2080Ti, compared as ratios to the plain "
        'network. Param. and FLOPs of A2-Nets, GSoP-Net1 and AA-Net are copied from their papers, in 10^6 and 10^9 '
        'multiply-adds; the others are in 2^20 and 2^30. Those rows and CBAM are reconstructed: where sources were silent, '
        'places, ratios and the counting convention are those that come closest to the printed numbers.',
        count=partial(count_classifier, kilo=1024, by_group={'MobileNetV2': THOP_MOBILENET}, copied=COPIED),
        timed=True,
        metafile=CLASSIFIERS,
        plot=FIGURE_1,
        explained={
            ('imagenet/se_mobilenet_v2', 'FLOPs', '320.0M'): 'the pooling before the classifier is not counted, as in the rows '
            'of MobileNetV2 and ECA-Net, which agree; counted, it would give the 320.1 that is printed',
            ('imagenet/cbam_resnet101', 'FLOPs', '7.36G'): 'without its 7x7 convolutions it would be the 7.35 '
            'that is printed, as for SENet',
            ('imagenet/a2_resnet50', 'Param.', '32.91M'): 'copied from the A2-Nets paper, which prints 33.0; five layers that '
            'halve the channels give 0.3 % less',
            ('imagenet/a2_resnet50', 'FLOPs', '6.43G'): 'copied from the A2-Nets paper, which prints 6.5; ours is 1.1 % less, '
            'and would be 6.66 with the stride in the 3x3 convolutions',
            ('imagenet/aa_resnet50', 'Param.', '25.82M'): 'copied from the AA-Net paper, which prints 25.8',
            ('imagenet/aa_resnet50', 'FLOPs', '4.23G'): 'copied from the AA-Net paper, half of the 8.3 that it prints; ours is '
            '1.9 % more, and the products of queries, keys and values, which the row of ResNet-101 leaves out, make it 4.72',
        },
    ),
    table(
        'Table 3',
        'Other CNN models on ImageNet',
        PAPER,
        {ACCURACY: 'Top-5'},
        """
        [CNN models]
        imagenet/resnet152          ResNet-152    93.66
        imagenet/se_resnet152       SENet-152     94.27
        imagenet/resnet200          ResNet-200    94.00
        imagenet/resnext101         ResNeXt-101   94.40
        imagenet/densenet264        DenseNet-264  93.78
        imagenet/eca_resnet50       ECA-Net50     93.68
        imagenet/eca_resnet101      ECA-Net101    94.34
        """,
        benchmark='class',
        remark='Only the last column is legible in the text of the paper that we have.',
    ),
    table(
        'Table 4',
        'Object detection on COCO val2017',
        PAPER,
        {COMPLEXITY: 'Param. GFLOPs', ACCURACY: 'AP AP50 AP75 APS APM APL'},
        """
        [Faster R-CNN, ResNet-50]
        faster_rcnn_r50_fpn_1x       ResNet-50   41.53M  207.07  36.4  58.2  39.2  21.8  40.0  46.2
        faster_rcnn_se_r50_fpn_1x    +_SE_block  44.02M  207.18  37.7  60.1  40.9  22.9  41.9  48.2
        faster_rcnn_eca_r50_fpn_1x   +_ECA       41.53M  207.18  38.0  60.6  40.9  23.4  42.1  48.0
        [Faster R-CNN, ResNet-101]
        faster_rcnn_r101_fpn_1x      ResNet-101  60.52M  283.14  38.7  60.6  41.9  22.7  43.2  50.4
        faster_rcnn_se_r101_fpn_1x   +_SE_block  65.24M  283.33  39.6  62.0  43.1  23.7  44.0  51.4
        faster_rcnn_eca_r101_fpn_1x  +_ECA       60.52M  283.32  40.3  62.9  44.0  24.5  44.7  51.3
        [Mask R-CNN, ResNet-50]
        mask_rcnn_r50_fpn_1x         ResNet-50   44.18M  275.58  37.2  58.9  40.3  22.2  40.7  48.0
        mask_rcnn_se_r50_fpn_1x      +_SE_block  46.67M  275.69  38.7  60.9  42.1  23.4  42.7  50.0
        mask_rcnn_eca_r50_fpn_1x     +_ECA       44.18M  275.69  39.0  61.3  42.1  24.2  42.8  49.9
        [Mask R-CNN, ResNet-101]
        mask_rcnn_r101_fpn_1x        ResNet-101  63.17M  351.65  39.4  60.9  43.3  23.0  43.7  51.4
        mask_rcnn_se_r101_fpn_1x     +_SE_block  67.89M  351.84  40.7  62.5  44.3  23.9  45.2  52.8
        mask_rcnn_eca_r101_fpn_1x    +_ECA       63.17M  351.83  41.3  63.1  44.8  25.1  45.8  52.9
        """,
        benchmark='bbox',
        remark='Param. are the trained ones. They and GFLOPs are counted with the heads of MMDetection 1.x, as the paper has '
        'them: 81 classes, with a box regressor and a mask for the background.',
        count=count_detector,
        timed=True,
        metafile=DETECTORS,
    ),
    table(
        'Table 5',
        'Instance segmentation with Mask R-CNN on COCO val2017',
        PAPER,
        {ACCURACY: 'AP AP50 AP75 APS APM APL'},
        """
        [Mask R-CNN, ResNet-50]
        mask_rcnn_r50_fpn_1x         ResNet-50   34.1  55.5  36.2  16.1  36.7  50.0
        mask_rcnn_se_r50_fpn_1x      +_SE_block  35.4  57.4  37.8  17.1  38.6  51.8
        mask_rcnn_eca_r50_fpn_1x     +_ECA       35.6  58.1  37.7  17.6  39.0  51.8
        [Mask R-CNN, ResNet-101]
        mask_rcnn_r101_fpn_1x        ResNet-101  35.9  57.7  38.4  16.8  39.1  53.6
        mask_rcnn_se_r101_fpn_1x     +_SE_block  36.8  59.3  39.2  17.2  40.3  53.6
        mask_rcnn_eca_r101_fpn_1x    +_ECA       37.4  59.9  39.8  18.1  41.1  54.1
        """,
        benchmark='segm',
        metafile=DETECTORS,
    ),
    table(
        'Figure 4',
        'ECA with a fixed kernel size k in every block, against the adaptive choice and SE',
        PAPER,
        {ACCURACY: 'Top-1'},
        """
        [ResNet-50]
        imagenet/se_resnet50      SENet         76.71
        imagenet/eca_k3_resnet50  ECA_k=3       77.43
        imagenet/eca_k5_resnet50  ECA_k=5       -
        imagenet/eca_k7_resnet50  ECA_k=7       -
        imagenet/eca_k9_resnet50  ECA_k=9       -
        imagenet/eca_resnet50     ECA_adaptive  77.48
        [ResNet-101]
        imagenet/se_resnet101      SENet         77.62
        imagenet/eca_k3_resnet101  ECA_k=3       -
        imagenet/eca_k5_resnet101  ECA_k=5       -
        imagenet/eca_k7_resnet101  ECA_k=7       -
        imagenet/eca_k9_resnet101  ECA_k=9       -
        imagenet/eca_resnet101     ECA_adaptive  78.65
        """,
        benchmark='class',
        remark=REMARK_4,
        plot=FIGURE_4,
    ),
)  # fmt: skip
