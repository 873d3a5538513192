"""Primitives: tensors in, tensors out. No module, no state, no compiled extension; every one differentiates twice."""

from sgkit.ops.activate import ACTIVATIONS, Activation, bias_act
from sgkit.ops.modulate import demodulation, modulated_conv2d, per_pixel, weight_energy
from sgkit.ops.normalize import equalized_gain, instance_norm, minibatch_stddev, normalize_2nd_moment
from sgkit.ops.resample import (
    Padding,
    conv2d,
    downsample2d,
    filter2d,
    fir_filter,
    transposed_weight,
    upfirdn2d,
    upsample2d,
    upsampling_conv2d,
)
from sgkit.ops.winograd import pays_winograd, winograd_conv2d, winograd_weight

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Padding",
    "bias_act",
    "conv2d",
    "demodulation",
    "downsample2d",
    "equalized_gain",
    "filter2d",
    "fir_filter",
    "instance_norm",
    "minibatch_stddev",
    "modulated_conv2d",
    "normalize_2nd_moment",
    "pays_winograd",
    "per_pixel",
    "transposed_weight",
    "upfirdn2d",
    "upsample2d",
    "upsampling_conv2d",
    "weight_energy",
    "winograd_conv2d",
    "winograd_weight",
]
