"""What only a CUDA device can show. Where there is none, nothing here is collected: no run could have made it green."""

import torch

collect_ignore_glob = [] if torch.cuda.is_available() else ["test_*.py"]
