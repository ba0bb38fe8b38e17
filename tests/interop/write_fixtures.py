"""Write the fixtures of tests/models/formats with the libraries that own the formats: python
tests/interop/write_fixtures.py.

It wants the extra `interop`. Each fixture is a folder as its library saves one, with
`expected.safetensors` beside it: an input, the dense encoding and the reconstruction that the
library itself makes of it.
"""

from pathlib import Path

import torch
from foreign import SAE_LENS_KINDS, SPARSIFY_KINDS, expectations
from safetensors.torch import save_file

FIXTURES = Path(__file__).parents[1] / "models" / "formats" / "fixtures"


def main() -> None:
    for name, make in SAE_LENS_KINDS.items():
        coder = make(torch.Generator().manual_seed(0))
        coder.save_model(FIXTURES / "sae_lens" / name)
        save_file(expectations(coder), FIXTURES / "sae_lens" / name / "expected.safetensors")
    for name, make in SPARSIFY_KINDS.items():
        coder = make(torch.Generator().manual_seed(0))
        folder = FIXTURES / "sparsify" / name / "layers.1.mlp"
        coder.save_to_disk(folder)
        save_file(expectations(coder), folder / "expected.safetensors")


if __name__ == "__main__":
    main()
