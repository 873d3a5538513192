"""The words that configurations and options take, in a module that loads no pydantic."""

from typing import Literal

Activation = Literal["linear", "relu", "lrelu"]
Architecture = Literal["orig", "skip", "resnet"]
"""How the layers of a network join (StyleGAN2, figure 7)."""
AugmentKind = Literal["none", "ada", "fixed", "diffaugment"]
LossName = Literal["nonsaturating", "saturating", "wgan", "hinge", "relativistic"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
NonFinitePolicy = Literal["rollback", "skip", "stop"]
CollapsePolicy = Literal["warn", "rollback", "stop"]
FeaturePrecision = Literal["fp32", "bf16"]
"""Number formats of feature networks."""
