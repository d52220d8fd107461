"""Weight-only algorithms on a trained language model: the loss at 4, 3 and 2 bits.

``tinygpt_wikitext2``, every linear layer, the output layer included; weights per output channel and in groups
of 32, asymmetric; calibrated on 128 sequences of the test text, measured on the first 9,984 tokens of the
validation text. Run ``python benchmarks/torch_weight_only.py``; needs the folder that ``INC_ASSETS`` names.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time

import numpy as np
import torch
from assets import Dataset, folder
from timing import print_heading, print_table

from inc_core import Quantization, common
from inc_torch.kernels import kernel_status

ALGORITHMS = ("RTN", "HQQ", "AWQ", "GPTQ")
CONTEXT, CALIBRATION, TOKENS = 128, 128, 9_984


def float_model() -> torch.nn.Module:
    """Return the trained model, whose code lies beside its weights."""
    sys.path.insert(0, str(folder() / "train"))
    from text_models import TinyGPT

    model = TinyGPT()
    path = folder() / "models" / "tinygpt_wikitext2.pt"
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def sequences(part: str, tokens: int) -> Dataset:
    """Return token ids and the ids that follow each, in rows of ``CONTEXT``."""
    ids = np.load(folder() / "data" / "lm_text" / f"wikitext2_{part}_bpe2048.npy").astype(np.int64)
    rows = (-1, CONTEXT)
    return Dataset(ids[:tokens].reshape(rows), ids[1 : tokens + 1].reshape(rows))


def loss(predict, data: Dataset) -> float:
    """Return the mean cross entropy per token, in nats."""
    total = 0.0
    for start in range(0, len(data), 26):
        ids, wanted = data.inputs[start : start + 26], data.labels[start : start + 26]
        logits = torch.from_numpy(np.asarray(predict(ids))).flatten(0, 1)
        sum_of = torch.nn.functional.cross_entropy(
            logits, torch.from_numpy(wanted).flatten(), reduction="sum"
        )
        total += float(sum_of)
    return total / data.labels.size


def quantized(model: torch.nn.Module, bits: int, group_size: int, algorithm: str):
    """Return the converted model and the seconds that the conversion took."""
    weight = {"dtype": f"int{bits}", "scheme": "asym", "algorithm": algorithm}
    weight |= {"granularity": "per_group" if group_size else "per_channel"}
    weight |= {"group_size": group_size} if group_size else {}
    with tempfile.TemporaryDirectory() as workspace:
        quantizer = Quantization(
            {
                "model": {"framework": "pytorch"},
                "quantization": {
                    "approach": "weight_only",
                    "calibration": {"sampling_size": CALIBRATION},
                    "model_wise": {"weight": weight},
                },
                "tuning": {"workspace": {"path": workspace}, "cache": {"enabled": False}},
            }
        )
        quantizer.model = model
        quantizer.calib_dataloader = common.DataLoader(
            sequences("test", CALIBRATION * CONTEXT), batch_size=16
        )
        start = time.process_time()
        return quantizer.fit(), time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 3, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, data = float_model(), sequences("valid", TOKENS)
    print_heading(f"tinygpt, loss per token; kernels: {kernel_status()}", "torch", "inc-torch")
    with torch.no_grad():
        fp32_loss = loss(lambda ids: model(torch.from_numpy(ids)), data)
    rows = []
    for bits in options.bits:
        for group_size in (0, 32):
            losses, seconds = [], []
            for algorithm in ALGORITHMS:
                q_model, took = quantized(model, bits, group_size, algorithm)
                losses.append(f"{loss(q_model.predict, data):.4f}")
                seconds.append(f"{took:.1f}")
            label = f"groups of {group_size}" if group_size else "per channel"
            rows.append([f"{bits} bits, {label}", *losses, " / ".join(seconds)])
    title = f"loss of the float32 model: {fp32_loss:.4f}"
    print_table(title, ["weights", *ALGORITHMS, "CPU s of conversion"], rows)


if __name__ == "__main__":
    main()
