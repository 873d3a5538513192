"""The Triton kernels beside the plain path: in Triton's interpreter where there is no GPU."""

from __future__ import annotations

from tests.ops.triton_programs import needs_triton, run_kernels

PROGRAM = """
import torch
from sgkit.ops import act_kernel, bias_act

device = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(0)


def everything(x, bias, options):
    x, bias = x.clone(memory_format=torch.preserve_format).requires_grad_(), bias.clone().requires_grad_()
    y = bias_act(x * 1, bias, **options)
    cotangent = torch.linspace(-1, 1, y.numel(), device=device).view(y.shape)
    first = torch.autograd.grad((y * cotangent).sum() + y.square().sum(), (x, bias), create_graph=True)
    return [y, *first, *torch.autograd.grad(sum(part.pow(3).sum() for part in first), (x, bias))]


used, usable = 0, act_kernel.serves
clamped = {"activation": "lrelu", "clamp": 0.8, "overwrite": True}
cases = ({}, clamped, {"activation": "relu", "gain": 0.5}, {"activation": "lrelu", "gain": 0.7})
for layout in (torch.contiguous_format, torch.channels_last):
    x, bias = torch.randn(2, 3, 4, 5, device=device).contiguous(memory_format=layout), torch.randn(3, device=device)
    for options in cases:
        act_kernel.serves = lambda x: False
        plain = everything(x, bias, options)

        def serves(x):
            global used
            used += usable(x)
            return usable(x)

        act_kernel.serves = serves
        for one, other in zip(plain, everything(x, bias, options)):
            assert other.shape == one.shape
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-5), (layout, options, (one - other).abs().max())
        assert bias_act(x.bfloat16(), bias, **options).dtype == torch.bfloat16
assert used == 16, used
print("equal", used)
"""


@needs_triton
def test_the_kernel_gives_the_plain_path_s_values_and_derivatives() -> None:
    assert run_kernels(PROGRAM).startswith("equal")
