"""The Triton kernel beside the plain path: in Triton's interpreter where there is no GPU."""

from __future__ import annotations

from tests.ops.triton_programs import needs_triton, run, run_kernels

PROGRAM = """
import sys
import torch
from sgkit.ops import conv2d, downsample2d, filter2d, fir_filter, fir_kernel, upfirdn2d, upsample2d, upsampling_conv2d
from sgkit.ops.resample import Padding

device = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(0)
if device == "cuda":
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
weight = torch.randn(2, 2, 3, 3, device=device)
short, long = (fir_filter(taps).to(device) for taps in ([1, 3, 2, 1], [1, 2, 5, 3, 2, 1, 1]))
plane = torch.randn(3, 3, device=device)
cases = {
    "upsample": lambda x: upsample2d(x, short),
    "upsample x4": lambda x: upsample2d(x, long, factor=4),
    "downsample": lambda x: downsample2d(x, short),
    "filter 2-D": lambda x: filter2d(x, plane),
    "up and down": lambda x: upfirdn2d(x, short, up=3, down=2, padding=Padding(2, 1), gain=2.0),
    "cropped": lambda x: upfirdn2d(x, short, up=2, padding=Padding(-1, -2)),
    "upsampling conv": lambda x: upsampling_conv2d(x, weight, short),
    "downsampling conv": lambda x: conv2d(x, weight, down=2, taps=short),
}


def everything(case, x):
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = case(x)
    cotangent = torch.linspace(-1, 1, y.numel(), device=device).view(y.shape)
    (first,) = torch.autograd.grad((y * cotangent).sum() + y.square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.pow(3).sum(), x)
    return y, first, second


used = 0
usable = fir_kernel.serves
for layout in (torch.contiguous_format, torch.channels_last):
    x = torch.randn(1, 2, 4, 6, device=device).contiguous(memory_format=layout)
    for name, case in cases.items():
        fir_kernel.serves = lambda *given: False
        plain = everything(case, x)

        def serves(*given):
            global used
            used += usable(*given)
            return usable(*given)

        fir_kernel.serves = serves
        for one, other in zip(plain, everything(case, x)):
            assert one.shape == other.shape, (name, one.shape, other.shape)
            error = float(((one - other).norm() / one.norm()).detach())
            assert error < 1e-5, (name, layout, error)
    for dtype, limit in ((torch.bfloat16, 2e-2), (torch.float16, 2e-3)):
        found = upsample2d(x.to(dtype), short)
        assert found.dtype == dtype and found.is_contiguous(memory_format=layout), dtype
        assert float((found.float() - upsample2d(x, short)).norm()) < limit * float(x.norm()), dtype
assert used >= 2 * len(cases), used
print("equal", used)
"""


@needs_triton
def test_the_kernel_gives_the_plain_path_s_values_and_derivatives() -> None:
    assert run_kernels(PROGRAM).startswith("equal")


COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from sgkit.ops.fir_program import fir

for up, dtype in ((1, "bf16"), (2, "fp32")):
    constants = {"UP_Y": up, "UP_X": up, "DOWN_Y": 1, "DOWN_X": 1, "TAPS_Y": 4, "TAPS_X": 4}
    constants |= {"IS_LAST": True, "BLOCK": 1024, "stride_c": 1}
    pointers = {"x": "*" + dtype, "taps": "*fp32", "out": "*" + dtype}
    names = [parameter.name for parameter in fir.params]
    types = {name: "constexpr" if name in constants else pointers.get(name, "i32") for name in names}
    places = {*pointers, "channels", "stride_n", "stride_y", "stride_x", "row"}
    known = {(index,): [["tt.divisibility", 16]] for index, name in enumerate(names) if name in places}
    values = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=fir, signature=types, constexprs=values, attrs=known)
    code = compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]
    assert "ld.global.v4" in code and "st.global.v4" in code, "values are read one by one"
"""


@needs_triton
def test_the_kernel_compiles_for_a_gpu_that_is_not_here_and_reads_neighbours_together() -> None:
    run(COMPILE)
