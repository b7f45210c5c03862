"""Backbones: images to feature maps, one file each."""

from .resnet import ResNet

__all__ = ["ResNet"]
