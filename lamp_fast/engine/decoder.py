"""The motion decoder as the engine runs it: channels last, upsampling merged into the convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import ops
from ..kernels.upsample_conv import merge_upsample_weight
from ..models.tokenizer import Decoder


class FusedDecoder:
    """A `Decoder` whose weights lie as `ops` reads them; the same function but for rounding in `dtype`.

    With `lengths` a motion is decoded as if it were alone, whatever its padding holds.
    """

    def __init__(self, decoder: Decoder, dtype: torch.dtype):
        self.dtype = dtype
        self.input, self.hidden, self.output = (
            taps(conv, dtype) for conv in (decoder.input, decoder.hidden, decoder.output)
        )
        self.blocks = [
            [(*taps(block.conv1, dtype), *taps(block.conv2, dtype), block.conv1.dilation[0]) for block in blocks]
            for blocks in decoder.blocks
        ]
        self.ups = [self._phases(up) for up in decoder.up]
        stages = torch.arange(len(self.ups) + 1, device=decoder.input.weight.device)
        self.rows_of_a_token = (2**stages)[:, None]

    @torch.no_grad()
    def __call__(self, latents: Tensor, lengths: Tensor | None = None) -> Tensor:
        """latents (B,N,code_dim), lengths (B,) in tokens, or None -> (B,4N,F) of `dtype`; zero beyond a length."""
        # One launch for the lengths of all stages.
        stages = [None] * (len(self.ups) + 1) if lengths is None else (lengths * self.rows_of_a_token).unbind()
        x = ops.conv1d(latents.to(self.dtype), *self.input, relu_output=True, lengths=stages[0])
        for blocks, up, rows in zip(self.blocks, self.ups, stages):
            for block in blocks:
                x = ops.conv_residual(x, *block, lengths=rows)
            x = ops.upsample_conv(x, *up, lengths=rows)
        x = ops.conv1d(x, *self.hidden, relu_output=True, lengths=stages[-1])
        return ops.conv1d(x, *self.output, lengths=stages[-1])

    def _phases(self, conv: nn.Conv1d) -> tuple[Tensor, Tensor]:
        """weight (O,I,3) merged to (2,2,O,I), in memory (2,O,2,I), and the bias."""
        merged = merge_upsample_weight(conv.weight.detach().float()).to(self.dtype)
        return merged.transpose(1, 2).contiguous().transpose(1, 2), conv.bias.detach().to(self.dtype)


def taps(conv: nn.Conv1d, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """weight (O,I,taps) as (taps,O,I), or (O,I) for one tap, in memory (O,taps,I), and the bias."""
    weight = conv.weight.detach().to(dtype).permute(0, 2, 1).contiguous()
    return (weight[:, 0] if weight.shape[1] == 1 else weight.transpose(0, 1)), conv.bias.detach().to(dtype)
