"""Class names of the data sets, in the order of the published checkpoints' outputs."""

from __future__ import annotations

import json
from importlib import resources


def coco_classes() -> tuple[str, ...]:
    """COCO, 80 classes."""
    return (
        "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
        "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse",
        "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie",
        "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove",
        "skateboard", "surfboard", "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon",
        "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut",
        "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse",
        "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book",
        "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
    )  # fmt: skip


def voc_classes() -> tuple[str, ...]:
    """PASCAL VOC, 20 classes."""
    return (
        "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
        "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
    )  # fmt: skip


def cityscapes_classes() -> tuple[str, ...]:
    """Cityscapes, 8 classes."""
    return (
        "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    )  # fmt: skip


def bdd100k_classes() -> tuple[str, ...]:
    """BDD100K, 10 classes."""
    return (
        "pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle", "traffic light",
        "traffic sign",
    )  # fmt: skip


def deepfashion_classes() -> tuple[str, ...]:
    """DeepFashion In-shop, 15 classes."""
    return (
        "top", "skirt", "leggings", "dress", "outer", "pants", "bag", "neckwear", "headwear", "eyeglass",
        "belt", "footwear", "hair", "skin", "face",
    )  # fmt: skip


def mot_classes() -> tuple[str, ...]:
    """MOTChallenge: pedestrians."""
    return ("pedestrian",)


def imagenet_vid_classes() -> tuple[str, ...]:
    """ImageNet VID, 30 classes."""
    return (
        "airplane", "antelope", "bear", "bicycle", "bird", "bus", "car", "cattle", "dog", "domestic_cat",
        "elephant", "fox", "giant_panda", "hamster", "horse", "lion", "lizard", "monkey", "motorcycle",
        "rabbit", "red_panda", "sheep", "snake", "squirrel", "tiger", "train", "turtle", "watercraft",
        "whale", "zebra",
    )  # fmt: skip


def lvis_v1_classes() -> tuple[str, ...]:
    """LVIS v1, 1203 classes."""
    text = (resources.files("vidperc") / "zoo" / "lvis_v1_classes.json").read_text(encoding="utf-8")
    return tuple(json.loads(text))


def youtube_vis_2019_classes() -> tuple[str, ...]:
    """YouTube-VIS 2019, 40 classes."""
    return (
        "person", "giant_panda", "lizard", "parrot", "skateboard", "sedan", "ape", "dog", "snake", "monkey",
        "hand", "rabbit", "duck", "cat", "cow", "fish", "train", "horse", "turtle", "bear", "motorbike",
        "giraffe", "leopard", "fox", "deer", "owl", "surfboard", "airplane", "truck", "zebra", "tiger",
        "elephant", "snowboard", "boat", "shark", "mouse", "frog", "eagle", "earless_seal", "tennis_racket",
    )  # fmt: skip


def youtube_vis_2021_classes() -> tuple[str, ...]:
    """YouTube-VIS 2021, 40 classes."""
    return (
        "airplane", "bear", "bird", "boat", "car", "cat", "cow", "deer", "dog", "duck", "earless_seal",
        "elephant", "fish", "flying_disc", "fox", "frog", "giant_panda", "giraffe", "horse", "leopard",
        "lizard", "monkey", "motorbike", "mouse", "parrot", "person", "rabbit", "shark", "skateboard", "snake",
        "snowboard", "squirrel", "surfboard", "tennis_racket", "tiger", "train", "truck", "turtle", "whale",
        "zebra",
    )  # fmt: skip


def ovis_classes() -> tuple[str, ...]:
    """OVIS, 25 classes, spelt as in its files."""
    return (
        "Person", "Bird", "Cat", "Dog", "Horse", "Sheep", "Cow", "Elephant", "Bear", "Zebra", "Giraffe",
        "Poultry", "Giant_panda", "Lizard", "Parrot", "Monkey", "Rabbit", "Tiger", "Fish", "Turtle", "Bicycle",
        "Motorcycle", "Airplane", "Boat", "Vehical",
    )  # fmt: skip
