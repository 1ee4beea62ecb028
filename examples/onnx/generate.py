"""Words to motion from ONNX files, with onnxruntime and NumPy alone: no torch, no lamp_fast.

lamp-fast export onnx lamp-mini lamp-onnx
python generate.py lamp-onnx "a person waves with the right hand" --seconds 3 --output wave.npz
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np
import onnxruntime


class LampOnnx:
    """The folder that `lamp-fast export onnx` wrote."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.about = json.loads((self.folder / "lamp.json").read_text())
        self.vocabulary = {
            piece: i for i, piece in enumerate((self.folder / "vocab.txt").read_text("utf-8").split("\n"))
        }
        self.sessions = {}

    def run(self, graph, **inputs):
        """The outputs of a graph; every input is given the type that lamp.json names."""
        described = self.about["graphs"][graph]
        if graph not in self.sessions:
            self.sessions[graph] = onnxruntime.InferenceSession(self.folder / described["file"])
        types = {value["name"]: value["dtype"] for value in described["inputs"]}
        return self.sessions[graph].run(None, {name: np.asarray(x, types[name]) for name, x in inputs.items()})

    def words(self, text):
        """Text -> input_ids and attention_mask (1,L): lower case, words and signs apart, the longest known pieces."""
        about, longest = self.about["text"], self.about["graphs"]["text_condition"]["inputs"][0]["shape"][1]
        pieces = [p for word in re.findall(r"[a-z0-9]+|[^\sa-z0-9]", text.lower()) for p in self.split(word)]
        ids = [about["start_id"], *pieces, about["end_id"]]
        if len(ids) > longest:
            raise SystemExit(f"the text has {len(ids)} word pieces, the model reads {longest}")
        pads = longest - len(ids)
        return {"input_ids": [ids + [about["pad_id"]] * pads], "attention_mask": [[1] * len(ids) + [0] * pads]}

    def split(self, word):
        pieces, start = [], 0
        while start < len(word):
            ends = range(len(word), start, -1)
            piece = next((p for end in ends if (p := "##" * (start > 0) + word[start:end]) in self.vocabulary), None)
            if piece is None:
                return [self.vocabulary["[UNK]"]]
            pieces.append(self.vocabulary[piece])
            start += len(piece) - 2 * (start > 0)
        return pieces

    def generate(self, text, length=None, steps=10, guidance_scale=4.0, temperature=1.0, noise=None, seed=0):
        """-> joints (T,J,3) in metres, tokens (length,). noise (steps,N,K): uniform, in place of the seed."""
        about = self.about
        condition, *scores = self.run("text_condition", **self.words(text))
        if length is None:
            if not scores:
                raise SystemExit("this model does not predict lengths; give the seconds")
            length = int(scores[0].argmax()) + 1
        n, codes = about["max_tokens"], about["num_codes"]
        if noise is None:
            noise = np.random.default_rng(seed).random((steps, n, codes), np.float32)
        ids = np.full((1, n), about["pad_id"])
        ids[:, :length] = about["mask_id"]
        # Of the tokens wanted, the share cos(pi t / 2) is masked when a step begins, at least one.
        share = np.cos(np.linspace(0, 1, steps, dtype=np.float32) * np.float32(np.pi) * np.float32(0.5))
        counts = [*np.maximum(1, np.round(share * length)).astype(int), 0]
        for step in range(steps):
            ids, _ = self.run(
                "decode_step",
                ids=ids,
                condition=condition,
                length=[length],
                next_count=[counts[step + 1]],
                noise=noise[step : step + 1],
                guidance_scale=guidance_scale,
                temperature=temperature,
            )
        _, joints = self.run("decoder", ids=ids, length=[length])
        return joints[0, : about["frames_per_token"] * length], ids[0, :length]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("text")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="motion.npz")
    args = parser.parse_args()

    lamp = LampOnnx(args.folder)
    about = lamp.about
    a_token = about["frames_per_token"] / about["frames_per_second"]
    length = args.seconds and min(about["max_tokens"], max(1, round(args.seconds / a_token)))
    joints, tokens = lamp.generate(args.text, length, seed=args.seed)
    np.savez(
        args.output, joints=joints, tokens=tokens, fps=about["frames_per_second"], joint_names=about["joint_names"]
    )
    print(f"{args.output}: {len(joints)} frames, {len(joints) / about['frames_per_second']:.1f} s")


if __name__ == "__main__":
    main()
