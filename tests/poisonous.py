"""A surrogate that does a deed in its backward pass, which no exception reaches, in runs whose k is above 5."""

POISON = """
import os, signal, torch

class Hook(torch.autograd.Function):
    @staticmethod
    def forward(Z, k):
        return Z.clone()
    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[1])
    @staticmethod
    def backward(ctx, g):
        (k,) = ctx.saved_tensors
        if (k > 5).any():
            {deed}
        return g, None
    generate_vmap_rule = False
    @staticmethod
    def vmap(info, dims, Z, k):
        return Hook.apply(Z, k), 0

def S(Z, *, k: float):
    return Hook.apply(Z, k).square().mean()
"""

TELL = 'open("seen", "w").write(open("/proc/self/environ").read())'
"""A deed: it writes down the environment with which the process was begun that trains."""
