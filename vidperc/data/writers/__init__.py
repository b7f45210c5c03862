"""Videos with their truth written to disk in the layouts of the benchmarks: one function per format."""

from .coco import write_coco
from .imagenet_vid import write_imagenet_vid
from .motchallenge import write_motchallenge
from .sot import write_got10k, write_otb
from .youtube_vis import write_youtube_vis

FORMATS = {
    "coco": write_coco,
    "cocovid": write_coco,
    "imagenet_vid": write_imagenet_vid,
    "motchallenge": write_motchallenge,
    "got10k": write_got10k,
    "otb": write_otb,
    "youtube_vis": write_youtube_vis,
}

__all__ = [
    "FORMATS",
    "write_coco",
    "write_got10k",
    "write_imagenet_vid",
    "write_motchallenge",
    "write_otb",
    "write_youtube_vis",
]
