"""In which form may vectors be released? `featinv defend` for `accelerate launch`, with every setting as a flag.

    accelerate launch recipes/defend.py --features private.npz --public_features public.npz --labels labels.npy \\
      --out runs/defend
    wandb sweep recipes/configs/defend_sweep.yaml

Leaves in --out: report.html (open it first), decision.json, defence/ (the recommended defence, fitted), settings/ (what
was measured, reused when called again). Exit code 0 where a setting meets policy and utility, 1 where none does.
"""

import featinv as fi
from featinv.defend.settings import DefendSettings


def main(config: DefendSettings) -> int:
    return fi.defend.run_defend(config, attack=fi.audit.attack_vectors).exit_code


if __name__ == "__main__":
    fi.command_line.run(main, DefendSettings, __doc__)
